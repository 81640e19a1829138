// Proves that migrations lead to the schema that is written down, may be repeated and interrupted, and lose no row.
// A NEW MIGRATION IS COVERED BY ITSELF: every test runs from each migration to the newest one.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isPlatformError } from '@nubo/base'
import {
  migrate,
  oldestServerOf,
  readMigrations,
  requireSchema,
  type Migration,
} from '@nubo/runtime'
import { sql, type Kysely } from 'kysely'
import { openTestDatabase } from '../tests/support/database.ts'
import { waitUntil } from '../tests/support/wait.ts'
import { schemaText } from '../tools/schema-text.ts'
import { fillTables, tableNames } from './testing/filled-tables.ts'
import type { Tables } from './world/index.ts'

type Query = Kysely<Tables>
const folder = join(import.meta.dirname, 'migrations')
const migrations = await readMigrations(folder)

/** Comes after the newest one, to show what a later migration meets. */
const next: Migration = {
  name: `${String(migrations.length + 1).padStart(4, '0')}-planted`,
  text: `alter table project add column note text not null default 'none';\nalter table feed add column hint text;\n`,
}

async function applied(query: Query): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`select name from migration order by 1`.execute(query)
  return rows.map(({ name }) => name)
}

/** Rows of all tables with the columns that they have now. */
async function rowsOf(query: Query): Promise<{ table: string; row: Record<string, unknown> }[]> {
  const all: { table: string; row: Record<string, unknown> }[] = []
  for (const table of await tableNames(query)) {
    const { rows } = await sql<{
      row: Record<string, unknown>
    }>`select to_jsonb(t) as row from ${sql.table(table)} t`.execute(query)
    all.push(...rows.map(({ row }) => ({ table, row })))
  }
  return all
}

test('all migrations make the schema that is written down; else: node tools/emit-schema.ts', async (context) => {
  const { url } = await openTestDatabase<Tables>(context)
  assert.equal(await schemaText(url), await readFile(join(folder, 'schema.sql'), 'utf8'))
})

test('each migration a second time does nothing, one by one or all at once', async (context) => {
  const { url, database } = await openTestDatabase<Tables>(context, { migrated: false })
  for (let count = 1; count <= migrations.length; count++) {
    const some = migrations.slice(0, count)
    assert.deepEqual(await migrate(database.query, some), [migrations[count - 1]?.name])
    const before = await schemaText(url)
    assert.deepEqual(await migrate(database.query, some), [])
    assert.equal(await schemaText(url), before)
  }
})

test('several processes that migrate at once take turns', async (context) => {
  const { database } = await openTestDatabase<Tables>(context, { migrated: false })
  const done = await Promise.all([1, 2, 3].map(() => migrate(database.query, migrations)))
  // Each is applied once, whoever's turn it is.
  assert.deepEqual(
    done.flat().toSorted(),
    migrations.map(({ name }) => name),
  )
})

test('a run whose connection is cut in the middle leaves nothing half-made, and the next one goes on', async (context) => {
  const { url, database } = await openTestDatabase<Tables>(context)
  const { query } = database
  const before = await schemaText(url)
  // Between the two statements of the migration: the first is done, the second never is.
  const [first, second] = next.text.split(';\n')
  const cut = {
    ...next,
    text: `${first};\nselect pg_terminate_backend(pg_backend_pid());\n${second};\n`,
  }
  await assert.rejects(migrate(query, [...migrations, cut]))
  assert.equal(await schemaText(url), before)
  assert.deepEqual(
    await applied(query),
    migrations.map(({ name }) => name),
  )
  assert.deepEqual(await migrate(query, [...migrations, next]), [next.name])
  assert.notEqual(await schemaText(url), before)
})

test('a migration that fails in the middle is undone as a whole', async (context) => {
  const { url, database } = await openTestDatabase<Tables>(context)
  const before = await schemaText(url)
  const broken = { ...next, text: `${next.text}insert into nowhere values (1);\n` }
  await assert.rejects(migrate(database.query, [...migrations, broken]), /nowhere/)
  assert.equal(await schemaText(url), before)
})

test('a migration that was changed after it was applied is refused, and nothing after it is applied', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  const changed = migrations.map((one, at) => (at === 0 ? { ...one, text: `${one.text}\n` } : one))
  await assert.rejects(
    migrate(database.query, [...changed, next]),
    new RegExp(`${migrations[0]?.name} was changed after it was applied`),
  )
  assert.ok(!(await applied(database.query)).includes(next.name))
})

test('on a database of a newer version an older server runs, unless a migration of it says how old is too old', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  const { query } = database
  await migrate(query, [...migrations, next])
  assert.deepEqual(await migrate(query, migrations), [], 'an older `prepare` changes nothing')
  await requireSchema(query, migrations)

  const number = migrations.length + 2
  const harsh: Migration = {
    name: `${String(number).padStart(4, '0')}-harsh`,
    text: `-- Oldest server: ${next.name.slice(0, 4)}\nalter table project drop column note;\n`,
  }
  await migrate(query, [...migrations, next, harsh])
  await requireSchema(query, [...migrations, next])
  const before = await applied(query)
  const isRefused = (error: unknown): boolean =>
    isPlatformError(error, 'SCHEMA_MISMATCH') &&
    error.message.includes(harsh.name) &&
    error.details['limit'] === `servers that know migration ${next.name.slice(0, 4)}` &&
    /newer version/.test(String(error.details['next']))
  await assert.rejects(requireSchema(query, migrations), isRefused)
  await assert.rejects(migrate(query, migrations), isRefused)
  assert.deepEqual(await applied(query), before)
})

test('a server does not start on a database that was not prepared by its version', async (context) => {
  const { database } = await openTestDatabase<Tables>(context, { migrated: false })
  const saysPrepare = (error: unknown): boolean =>
    isPlatformError(error, 'SCHEMA_MISMATCH') && /prepare/.test(String(error.details['next']))
  await assert.rejects(requireSchema(database.query, migrations), saysPrepare)
  await migrate(database.query, migrations.slice(0, 1))
  await assert.rejects(requireSchema(database.query, migrations), saysPrepare)
  await migrate(database.query, migrations)
  await requireSchema(database.query, migrations)
})

test('a migration that has to wait for a transaction of a server gives way to the others, and is applied in the end', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  const { query } = database
  const release = Promise.withResolvers<void>()
  const locked = Promise.withResolvers<void>()
  const holder = query.transaction().execute(async (tx) => {
    await sql`select 1 from project`.execute(tx)
    locked.resolve()
    await release.promise
  })
  await locked.promise
  const migrated = migrate(query, [...migrations, next])
  // Waits behind the migration, which waits for the holder; it is done long before the holder ends.
  await waitUntil(
    async () => {
      const { rows } = await sql<{ count: number }>`
        select count(*)::int as count from pg_stat_activity
        where wait_event_type = 'Lock' and datname = current_database()`.execute(query)
      return rows[0]?.count ?? 0
    },
    (count) => count > 0,
    { what: 'the migration waits for the table' },
  )
  await query.selectFrom('project').selectAll().execute()
  release.resolve()
  await holder
  assert.deepEqual(await migrated, [next.name])
})

test('what a migration says of the oldest server is one of the numbers up to its own', () => {
  const saying = (text: string): Migration => ({
    name: '0007-x',
    text: `-- Oldest server: ${text}\n`,
  })
  assert.equal(oldestServerOf(saying('0006')), 6)
  assert.equal(oldestServerOf({ name: '0007-x', text: 'select 1;\n' }), undefined)
  for (const wrong of ['0008', '0000', '6', 'six'])
    assert.throws(() => oldestServerOf(saying(wrong)), /0007-x/)
  for (const migration of migrations) oldestServerOf(migration)
})

test('the rows of a full database survive every later migration', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  const { query } = database
  await fillTables(query)
  const before = await rowsOf(query)
  assert.deepEqual(
    new Set(before.map(({ table }) => table)),
    new Set(await tableNames(query)),
    'a table has no sample row: control-plane/testing/filled-tables.ts',
  )
  await migrate(query, [...migrations, next])
  const after = await rowsOf(query)
  assert.equal(after.length, before.length)
  for (const { table, row } of before) {
    const still = after.some(
      (one) =>
        one.table === table &&
        Object.entries(row).every(
          ([column, value]) => JSON.stringify(one.row[column]) === JSON.stringify(value),
        ),
    )
    assert.ok(still, `a row of ${table} is gone or changed`)
  }
  const projects = after.filter(({ table }) => table === 'project')
  assert.ok(projects.every(({ row }) => row['note'] === 'none'))
})

test('numbers of migrations have no gaps, and names say what they do', () => {
  for (const [at, { name }] of migrations.entries())
    assert.match(name, new RegExp(`^${String(at + 1).padStart(4, '0')}-[a-z0-9]+(-[a-z0-9]+)*$`))
})
