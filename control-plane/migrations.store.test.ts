// Proves that migrations lead to the schema that is written down, may be repeated and interrupted, and lose no row.
// A NEW MIGRATION IS COVERED BY ITSELF: every test runs from each migration to the newest one.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { migrate, readMigrations, type Migration } from '@nubo/runtime'
import { sql, type Kysely } from 'kysely'
import { openTestDatabase } from '../tests/support/database.ts'
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
  await migrate(database.query, [])
  const done = await Promise.all([1, 2, 3].map(() => migrate(database.query, migrations)))
  assert.deepEqual(
    done.flat(),
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

test('a database of a newer version is refused', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  await migrate(database.query, [...migrations, next])
  await assert.rejects(
    migrate(database.query, migrations),
    new RegExp(`${next.name}, which this version does not know`),
  )
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
