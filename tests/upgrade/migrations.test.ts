// Proves that every migration gets a large database of the first release to the newest schema, also when its connection is
// cut after any of its statements, and that each says so if older servers cannot run on what it makes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { quotaMismatches, type Tables } from '@nubo/control-plane'
import { migrate, oldestServerOf, statementsOf, type Migration } from '@nubo/runtime'
import { sql, type Kysely } from 'kysely'
import { openTestDatabase } from '../support/database.ts'
import { breakingStatements } from './breaking-statements.ts'
import { fillRegion, SETS } from './filled-region.ts'
import { migrations } from './next-release.ts'

type Query = Kysely<Tables>
type Columns = ReadonlyMap<string, readonly string[]>

async function columnsOf(query: Query): Promise<Columns> {
  const { rows } = await sql<{ table: string; columns: string[] }>`
    select table_name as table, array_agg(column_name::text order by column_name) as columns
    from information_schema.columns where table_schema = 'public' and table_name <> 'migration'
    group by 1 order by 1`.execute(query)
  return new Map(rows.map(({ table, columns }) => [table, columns]))
}

/** One line for each table: how many rows, and a sum over what these columns hold. */
async function contentOf(query: Query, columns: Columns): Promise<string[]> {
  const lines: string[] = []
  for (const [table, names] of columns) {
    const row = sql.join(names.map((name) => sql.ref(name)))
    const { rows } = await sql<{ count: number; sum: string }>`
      select count(*)::int as count, coalesce(sum(hashtextextended(row(${row})::text, 0)), 0)::text as sum
      from ${sql.table(table)}`.execute(query)
    lines.push(`${table}: ${rows[0]?.count} rows, ${rows[0]?.sum}`)
  }
  return lines
}

/** The migration, ended by the loss of its connection after so many statements. */
function cutAfter(migration: Migration, count: number): Migration {
  const statements = statementsOf(migration.text).slice(0, count)
  const text = [...statements, 'select pg_terminate_backend(pg_backend_pid())'].join(';\n')
  return { ...migration, text: `${text};\n` }
}

test(`each migration of a region of ${SETS} sets may be cut off after any statement: nothing is half-made, and the next run goes on`, async (t) => {
  const { database } = await openTestDatabase<Tables>(t, { migrated: false })
  const { query } = database
  await migrate(query, migrations.slice(0, 1))
  await fillRegion(query)
  const columns = await columnsOf(query)
  const content = await contentOf(query, columns)
  let cuts = 0
  for (const [index, migration] of migrations.entries()) {
    if (index === 0) continue
    const earlier = migrations.slice(0, index)
    const before = await columnsOf(query)
    for (let count = 1; count <= statementsOf(migration.text).length; count++, cuts++)
      await assert.rejects(migrate(query, [...earlier, cutAfter(migration, count)]))
    assert.deepEqual(await columnsOf(query), before)
    assert.deepEqual(await migrate(query, [...earlier, migration]), [migration.name])
    assert.deepEqual(await contentOf(query, columns), content, `${migration.name} changes no row`)
  }
  t.diagnostic(`cut off ${cuts} times`)
  assert.deepEqual(await quotaMismatches(database), [])
})

test('a migration that takes something away from older servers says which are too old', () => {
  for (const migration of migrations) {
    if (oldestServerOf(migration) !== undefined) continue
    assert.deepEqual(
      breakingStatements(migration.text),
      [],
      `${migration.name}: see docs/guides/how-to-upgrade.md, "What a migration may do"`,
    )
  }
})

test('statements that break older servers are found, and others are not', () => {
  const breaking = [
    'drop table project',
    'alter table set drop column labels',
    'alter table set rename column labels to tags',
    'alter table project rename to space',
    'alter table set alter column labels type text',
    'alter table port alter column set_id set not null',
    'alter table project add column note text not null',
    'alter table project add column a text, add column b text not null',
    'alter table project add constraint short check (length(name) < 9)',
    'create unique index network_cidr on network (cidr)',
    'create table a (id uuid);\nalter table set drop column labels',
  ]
  for (const text of breaking) assert.equal(breakingStatements(`${text};\n`).length, 1, text)
  const harmless = [
    'alter table feed alter column body type json using body::json',
    'create table note (id uuid primary key, text text not null)',
    'create table note (id uuid not null);\ncreate unique index n on note (id)',
    "alter table project add column note text not null default 'none'",
    'alter table project add column note text',
    'alter table token drop constraint token_check',
    'alter table token drop constraint c;\nalter table token add constraint c check (true)',
    'create index port_host on port (host_id)',
    'alter table set alter column labels drop not null',
  ]
  for (const text of harmless) assert.deepEqual(breakingStatements(`${text};\n`), [], text)
})
