// Proves that the database itself refuses what must never be, whatever a program believes: every constraint of the schema
// is violated here on purpose, and a constraint without such a case fails the test.
import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { violatedConstraint } from '@nubo/runtime'
import { sql, type Kysely } from 'kysely'
import { openTestDatabase } from '../tests/support/database.ts'
import {
  fillTables,
  insertRow,
  sampleId,
  sampleRow,
  tableNames,
  type SampleRow,
} from './testing/filled-tables.ts'
import type { Tables } from './world/index.ts'

type Query = Kysely<Tables>
const fresh = sampleId(99)

/** Inserts the sample row of the table a second time, so changed that it collides in one way only. */
const again =
  (table: string, change: SampleRow) =>
  (query: Query): Promise<void> =>
    insertRow(query, table, sampleRow(table, change))

const statement =
  (text: string) =>
  async (query: Query): Promise<void> =>
    void (await sql.raw(text).execute(query))

const attempts: Readonly<Record<string, (query: Query) => Promise<void>>> = {
  account_name_key: again('account', { id: fresh }),
  project_name: again('project', { id: fresh }),
  token_secret_sha256_key: again('token', { id: fresh }),
  token_role_check: statement(`update token set role = 'root'`),
  // Neither an operator's, nor of a project, nor of an account.
  token_scope: statement(`update token set role = 'owner', project_id = null`),
  member_of_project: again('member', { id: fresh }),
  member_role_check: statement(`update member set role = 'operator'`),
  quota_instances_check: statement(`update quota set instances = -1`),
  quota_cpu_millis_check: statement(`update quota set cpu_millis = -1`),
  quota_memory_bytes_check: statement(`update quota set memory_bytes = -1`),
  quota_addresses_check: statement(`update quota set addresses = -1`),
  quota_networks_check: statement(`update quota set networks = -1`),
  quota_volumes_check: statement(`update quota set volumes = -1`),
  audit_outcome_check: statement(`update audit set outcome = 'lost'`),
  audit_count_check: statement(`update audit set count = 0`),
  // Refused without a code.
  audit_check: statement(`update audit set outcome = 'refused'`),
  host_name: again('host', { id: fresh }),
  host_state_check: statement(`update host set state = 'gone'`),
  network_name: again('network', { id: fresh, vni: 8 }),
  network_vni: again('network', { id: fresh, name: 'back' }),
  // 24 bits, and 0 is no network.
  network_vni_check: statement(`update network set vni = 16777216`),
  subnet_name: again('subnet', { id: fresh }),
  image_name: again('image', { id: fresh }),
  image_kind: statement(`update image set kind = 'zip'`),
  image_source_check: statement(`update image set source = 'zip'`),
  set_name: again('set', { id: fresh }),
  set_wanted_check: statement(`update set set wanted = 'paused'`),
  set_generation_check: statement(`update set set generation = 0`),
  set_priority: statement(`update set set priority = 1001`),
  set_recovery_check: statement(`update set set recovery = 'never'`),
  // A set on a host has been placed at least once.
  set_check: statement(`update set set epoch = 0`),
  vm_name: again('vm', { id: fresh }),
  vm_wanted_check: statement(`update vm set wanted = 'gone'`),
  vm_generation_check: statement(`update vm set generation = 0`),
  vm_priority_check: statement(`update vm set priority = 1001`),
  vm_recovery_check: statement(`update vm set recovery = 'never'`),
  vm_check: statement(`update vm set epoch = 0`),
  port_name: again('port', { id: fresh, mac: '0a:00:00:00:00:03', address: '10.0.1.4' }),
  port_address: again('port', { id: fresh, name: 'other', mac: '0a:00:00:00:00:03' }),
  port_mac: again('port', { id: fresh, name: 'other', address: '10.0.1.4' }),
  // Attached to a set and to an interface at once.
  port_check: statement(`update port set host_id = '${sampleId(3)}', interface_name = 'eth7'`),
  // A set's and a VM's at once.
  port_of_one: statement(`update port set vm_id = '${sampleId(13)}'`),
  port_vm_id_fkey: statement(`update port set set_id = null, vm_id = '${fresh}'`),
  address_rest_host_id_fkey: statement(`update address_rest set host_id = '${fresh}'`),
  // A host without an interface.
  port_check1: statement(`update port set set_id = null, host_id = '${sampleId(3)}'`),
  port_host_id_fkey: statement(
    `update port set set_id = null, host_id = '${fresh}', interface_name = 'eth7'`,
  ),
  operation_state_check: statement(`update operation set state = 'lost', ended_at_ms = 5`),
  // Ended without a time, or a time without an end.
  operation_check: statement(`update operation set state = 'done'`),
  brake_only_row: again('brake', { id: fresh }),
  brake_only_row_check: statement(`update brake set only_row = false`),
  manifest_name: again('manifest', { id: fresh }),
  // Its steps would lose it too, so it is a new one that names nothing.
  apply_operation_id_fkey: again('apply', { operation_id: fresh }),
  applied_kind: statement(`update applied set kind = 'host'`),
  apply_step_action: statement(`update apply_step set action = 'move'`),
  apply_step_kind: statement(`update apply_step set kind = 'host'`),
  apply_step_number_check: statement(`update apply_step set number = -1`),
  apply_step_state_check: statement(`update apply_step set state = 'lost'`),
  placement_term_only_row_check: statement(
    `insert into placement_term (only_row, value) values (false, 1)`,
  ),
  placement_term_pkey: statement(`insert into placement_term (value) values (1)`),
  revision_only_row_check: statement(`insert into revision (only_row, value) values (false, 1)`),
  revision_pkey: statement(`insert into revision (value) values (1)`),
}

interface Constraint {
  name: string
  table: string
  type: 'p' | 'u' | 'f' | 'c'
  columns: string[]
}

async function constraints(query: Query): Promise<Constraint[]> {
  const { rows } = await sql<Constraint>`
    select c.conname as name, t.relname as table, c.contype as type,
      array(select a.attname::text from unnest(c.conkey) k join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k) as columns
    from pg_constraint c join pg_class t on t.oid = c.conrelid
    where c.connamespace = 'public'::regnamespace and t.relname <> 'migration' order by 1`.execute(
    query,
  )
  return rows
}

/** A row twice breaks a primary key, an id of nothing a foreign key; everything else is written above. */
function attemptOf({ name, table, type, columns }: Constraint): (query: Query) => Promise<void> {
  const written = attempts[name]
  if (written !== undefined) return written
  if (type === 'p') return again(table, {})
  if (type === 'f') return statement(`update "${table}" set "${columns[0] ?? ''}" = '${fresh}'`)
  throw new Error(`the constraint ${name} of ${table} needs a case that violates it`)
}

async function filledDatabase(context: TestContext): Promise<Query> {
  const { database } = await openTestDatabase<Tables>(context)
  await fillTables(database.query)
  return database.query
}

async function contents(query: Query): Promise<string[]> {
  const all: string[] = []
  for (const table of await tableNames(query)) {
    const { rows } = await sql<{
      row: string
    }>`select to_jsonb(t)::text as row from ${sql.table(table)} t order by 1`.execute(query)
    all.push(...rows.map(({ row }) => `${table} ${row}`))
  }
  return all
}

describe('the schema', () => {
  test('refuses each violation by the constraint that is meant, and nothing is changed', async (context) => {
    const query = await filledDatabase(context)
    const before = await contents(query)
    const all = await constraints(query)
    assert.ok(all.length >= 55, `${all.length} constraints`)
    for (const constraint of all) {
      await assert.rejects(attemptOf(constraint)(query), (error) => {
        assert.equal(violatedConstraint(error), constraint.name)
        return true
      })
    }
    assert.deepEqual(await contents(query), before)
    const known = new Set(all.map(({ name }) => name))
    assert.deepEqual(
      Object.keys(attempts).filter((name) => !known.has(name)),
      [],
      'cases of constraints that are gone',
    )
  })

  test('lets no column be empty that must not be', async (context) => {
    const query = await filledDatabase(context)
    const { rows } = await sql<{ table: string; column: string }>`
      select table_name as table, column_name as column from information_schema.columns
      where table_schema = 'public' and is_nullable = 'NO' and table_name <> 'migration'`.execute(
      query,
    )
    assert.ok(rows.length > 90)
    for (const { table, column } of rows) {
      await assert.rejects(
        sql`update ${sql.table(table)} set ${sql.ref(column)} = null`.execute(query),
        /violates not-null constraint/,
        `${table}.${column}`,
      )
    }
  })

  test('allows the neighbours of what it refuses', async (context) => {
    const query = await filledDatabase(context)
    // The ends of the 24 bits; one name in two networks; one address and MAC in two subnets and networks.
    await insertRow(query, 'network', sampleRow('network', { id: sampleId(20), name: 'a', vni: 1 }))
    await insertRow(
      query,
      'network',
      sampleRow('network', { id: sampleId(21), name: 'b', vni: 16_777_215 }),
    )
    const subnet = sampleRow('subnet', { id: sampleId(22), network_id: sampleId(20) })
    await insertRow(query, 'subnet', subnet)
    const place = { network_id: sampleId(20), subnet_id: sampleId(22), set_id: null }
    await insertRow(
      query,
      'port',
      sampleRow('port', { id: sampleId(23), name: 'twin', owned_by_set: false, ...place }),
    )
    // An operator needs no project; neither does the token of an account; a set that waits has no host; an operation of the region has no project.
    await statement(`update token set role = 'operator', project_id = null`)(query)
    await statement(`update token set role = 'owner', account_id = '${sampleId(1)}'`)(query)
    await statement(`update set set host_id = null, epoch = 0`)(query)
    await statement(`update operation set project_id = null, state = 'done', ended_at_ms = 5`)(
      query,
    )
  })

  test('takes with a row only what is nothing without it', async (context) => {
    const query = await filledDatabase(context)
    const count = async (table: string): Promise<number> => {
      const { rows } = await sql<{ count: number }>`
        select count(*) as count from ${sql.table(table)}`.execute(query)
      return Number(rows[0]?.count)
    }
    await assert.rejects(statement('delete from set')(query), /port_set_id_fkey/)
    await statement('delete from port')(query)
    await statement('delete from set')(query)
    assert.equal(await count('set_found'), 0)
    await statement('delete from vm')(query)
    assert.equal(await count('vm_found'), 0)
    await statement('delete from subnet')(query)
    assert.equal(await count('address_rest'), 0)
    await statement('delete from host')(query)
    assert.equal(await count('host_liveness'), 0)
    await assert.rejects(statement('delete from project')(query), /_project_id_fkey/)
    assert.equal(await count('quota'), 1, 'nothing went with a project that stays')
  })
})
