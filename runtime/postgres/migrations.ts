import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PlatformError } from '@nubo/base'
import { sql, type Kysely, type Transaction } from 'kysely'
import { isRetryableConflict } from './database.ts'

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

/**
 * The oldest servers that may run on what this migration makes: those that know the migration with this number. Undefined:
 * all that could run before it. Said by a line of its own, `-- Oldest server: 0002`.
 */
export function oldestServerOf({ name, text }: Migration): number | undefined {
  const found = /^-- Oldest server: (.*)$/m.exec(text)?.[1]
  if (found === undefined) return undefined
  const number = Number(found)
  if (!/^\d{4}$/.test(found) || number < 1 || number > numberOf(name))
    throw new Error(`migration ${name}: "Oldest server" is the number of it or an earlier one`)
  return number
}

function numberOf(name: string): number {
  return Number(name.slice(0, 4))
}

// Any number that no other lock of ours uses; two processes that start together take turns.
const MIGRATION_LOCK = 7_201_001
/**
 * A change of a table waits for every transaction that uses it, and every later one waits behind the change. So it
 * gives way after this time and tries again, instead of holding up the servers that run.
 */
const TABLE_WAIT_MS = 2_000
const ATTEMPTS_MAX = 10
const LOCK_NOT_AVAILABLE = '55P03'

interface Applied {
  readonly name: string
  readonly sha256: string
  /** Null also where a program wrote it that did not know of it. */
  readonly oldestServer: number | null
}

/**
 * Applies what is missing, each file in one transaction with its record, so that an interrupted run resumes.
 * Idempotent. A database that a newer version has migrated is left as it is if this version may run on it.
 * SCHEMA_MISMATCH if it may not, and for a migration whose text has changed since.
 */
export async function migrate<Tables>(
  database: Kysely<Tables>,
  migrations: readonly Migration[],
): Promise<string[]> {
  const done: string[] = []
  await locked(database, async (tx) => {
    await sql`create table if not exists migration (name text primary key, sha256 text not null)`.execute(
      tx,
    )
    await sql`alter table migration add column if not exists oldest_server integer`.execute(tx)
  })
  for (const [index, migration] of migrations.entries()) {
    const isNew = await locked(database, async (tx) => {
      const applied = await readApplied(tx)
      requireFitting(applied, migrations)
      if (applied[index] !== undefined) return false
      for (const statement of statementsOf(migration.text)) await sql.raw(statement).execute(tx)
      const { name } = migration
      await sql`insert into migration (name, sha256, oldest_server)
        values (${name}, ${sha256Of(migration)}, ${oldestServerOf(migration) ?? null})`.execute(tx)
      return true
    })
    if (isNew) done.push(migration.name)
  }
  return done
}

/**
 * For a server that starts: whether all that it needs is there, and nothing that it must not run on. A newer schema is
 * fine unless one of its migrations says otherwise: while a region is upgraded, servers of both versions start and end.
 * SCHEMA_MISMATCH if not.
 */
export async function requireSchema<Tables>(
  database: Kysely<Tables>,
  migrations: readonly Migration[],
): Promise<void> {
  const { rows } = await sql<{
    at: string | null
  }>`select to_regclass('migration')::text as at`.execute(database)
  const isPrepared = rows.some(({ at }) => at !== null)
  const applied = isPrepared ? await readApplied(database) : []
  requireFitting(applied, migrations)
  const missing = migrations[applied.length]
  if (missing !== undefined)
    throw mismatch(`The database lacks the migration ${missing.name}.`, {
      migration: missing.name,
      next: 'run `prepare` of this version first',
    })
}

function requireFitting(applied: readonly Applied[], migrations: readonly Migration[]): void {
  const newest = migrations.at(-1)
  for (const [at, record] of applied.entries()) {
    const known = migrations[at]
    if (known !== undefined && known.name !== record.name)
      throw mismatch(
        `The database has the migration ${record.name} where this version has ${known.name}.`,
        { migration: record.name, next: 'use the version that made this database' },
      )
    if (known !== undefined && sha256Of(known) !== record.sha256)
      throw mismatch(`The migration ${known.name} was changed after it was applied.`, {
        migration: known.name,
        next: 'restore its text; what shall differ is a new migration',
      })
    if (known !== undefined || record.oldestServer === null) continue
    if (newest === undefined || numberOf(newest.name) < record.oldestServer)
      throw mismatch(
        `The database is of a newer version: servers as old as this one must not run on its migration ${record.name}.`,
        {
          migration: record.name,
          limit: `servers that know migration ${String(record.oldestServer).padStart(4, '0')}`,
          newestKnown: newest?.name ?? null,
          next: 'start the newer version, or restore the backup that was made before the upgrade',
        },
      )
  }
}

function mismatch(message: string, details: Record<string, unknown>): PlatformError {
  return new PlatformError('SCHEMA_MISMATCH', details, { message })
}

async function readApplied<Tables>(database: Kysely<Tables>): Promise<Applied[]> {
  // As JSON, since a database that only older programs have prepared has no column for the last one.
  const { rows } = await sql<{
    row: { name: string; sha256: string; oldest_server?: number | null }
  }>`select to_jsonb(m) as row from migration m order by name`.execute(database)
  return rows.map(({ row }) => ({
    name: row.name,
    sha256: row.sha256,
    oldestServer: row.oldest_server ?? null,
  }))
}

/** One transaction at a time in the whole region; it gives way to servers that use what it changes. */
async function locked<Tables, Value>(
  database: Kysely<Tables>,
  work: (tx: Transaction<Tables>) => Promise<Value>,
): Promise<Value> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await database.transaction().execute(async (tx) => {
        await sql`select pg_advisory_xact_lock(${MIGRATION_LOCK})`.execute(tx)
        await sql.raw(`set local lock_timeout = ${TABLE_WAIT_MS}`).execute(tx)
        return work(tx)
      })
    } catch (error) {
      if (!isInTheWay(error) || attempt >= ATTEMPTS_MAX) throw error
    }
  }
}

function isInTheWay(error: unknown): boolean {
  if (isRetryableConflict(error)) return true
  return error instanceof Error && 'code' in error && error.code === LOCK_NOT_AVAILABLE
}

function sha256Of({ text }: Migration): string {
  return createHash('sha256').update(text).digest('hex')
}

/** A statement ends with a semicolon at the end of a line; comments are whole lines. Bodies with such lines inside are not used. */
export function statementsOf(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => !line.trimStart().startsWith('--'))
    .join('\n')
    .split(/;\s*(?:\n|$)/)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '')
}
