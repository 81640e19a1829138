import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sql, type Kysely } from 'kysely'

export interface Migration {
  /** '0001-initial' */
  readonly name: string
  readonly text: string
}

/** What all migrations together make; for people and for the test that holds it equal, never applied. */
const WHOLE_SCHEMA = 'schema.sql'

/** Reads `NNNN-name.sql` files in order. Numbers must be 0001, 0002, … without gaps. */
export async function readMigrations(folder: string): Promise<Migration[]> {
  const files = (await readdir(folder))
    .filter((file) => file.endsWith('.sql') && file !== WHOLE_SCHEMA)
    .toSorted()
  return Promise.all(
    files.map(async (file, index) => {
      if (Number(file.slice(0, 4)) !== index + 1)
        throw new Error(`migration ${file} should have number ${index + 1}`)
      return { name: file.slice(0, -4), text: await readFile(join(folder, file), 'utf8') }
    }),
  )
}

// Any number that no other lock of ours uses; two processes that start together take turns.
const MIGRATION_LOCK = 7_201_001

/**
 * Applies what is missing, each file in one transaction with its record, so that an interrupted run resumes.
 * Idempotent. Refuses a database that has a migration this program does not know, or one whose text has changed.
 */
export async function migrate<Tables>(
  database: Kysely<Tables>,
  migrations: readonly Migration[],
): Promise<string[]> {
  const applied: string[] = []
  await sql`create table if not exists migration (name text primary key, sha256 text not null)`.execute(
    database,
  )
  for (const [index, migration] of migrations.entries()) {
    const sha256 = createHash('sha256').update(migration.text).digest('hex')
    await database.transaction().execute(async (tx) => {
      await sql`select pg_advisory_xact_lock(${MIGRATION_LOCK})`.execute(tx)
      const done = await sql<{
        name: string
        sha256: string
      }>`select name, sha256 from migration order by name`.execute(tx)
      const unknown = done.rows.find((row, at) => row.name !== migrations[at]?.name)
      if (unknown !== undefined)
        throw new Error(
          `the database has migration ${unknown.name}, which this version does not know`,
        )
      const record = done.rows[index]
      if (record !== undefined) {
        if (record.sha256 !== sha256)
          throw new Error(`migration ${migration.name} was changed after it was applied`)
        return
      }
      for (const statement of statementsOf(migration.text)) await sql.raw(statement).execute(tx)
      await sql`insert into migration (name, sha256) values (${migration.name}, ${sha256})`.execute(
        tx,
      )
      applied.push(migration.name)
    })
  }
  return applied
}

/** A statement ends with a semicolon at the end of a line; comments are whole lines. Bodies with such lines inside are not used. */
function statementsOf(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => !line.trimStart().startsWith('--'))
    .join('\n')
    .split(/;\s*(?:\n|$)/)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '')
}
