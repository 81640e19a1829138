import { PlatformError, type Clock } from '@nubo/base'
import { isDatabaseUnavailable, isRetryableConflict, type Database } from '@nubo/runtime'
import { sql, type Transaction } from 'kysely'
import type { Tables, WorldTables } from './tables.ts'

export type WorldKind = keyof WorldTables
export type Tx = Transaction<Tables>

/** Collects which rows a transaction changed; their bodies are read back from the tables just before it commits. */
export interface Touched {
  /** The row was inserted, updated or deleted. Calling it twice for one row is fine. */
  touch(kind: WorldKind, id: string): void
}

export interface Committed<Value> {
  readonly value: Value
  /** Undefined when nothing was touched. */
  readonly revision: number | undefined
}

export const FEED_CHANNEL = 'nubo_feed'
const CONFLICT_ATTEMPTS_MAX = 5

const tableOfKind: Record<WorldKind, string> = {
  account: 'account',
  project: 'project',
  token: 'token',
  host: 'host',
  network: 'network',
  subnet: 'subnet',
  image: 'image',
  set: 'set',
  setFound: 'set_found',
  port: 'port',
  operation: 'operation',
}

/**
 * Runs `work` in one transaction and appends what it touched to the feed. The revision row is locked last, so that
 * the feed is gapless and in commit order; its holders are short. A deadlock undoes the whole transaction, so `work`
 * runs again: it must have no effect outside the transaction.
 * Errors: DATABASE_UNAVAILABLE; whatever `work` throws.
 */
export async function commit<Value>(
  deps: { database: Database<Tables>; clock: Clock },
  work: (tx: Tx, touched: Touched) => Promise<Value>,
): Promise<Committed<Value>> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await deps.database.query.transaction().execute(async (tx) => {
        const rows = new Map<WorldKind, Set<string>>()
        const touch = (kind: WorldKind, id: string): void => {
          const ids = rows.get(kind) ?? new Set()
          rows.set(kind, ids.add(id))
        }
        const value = await work(tx, { touch })
        return {
          value,
          revision: rows.size === 0 ? undefined : await append(tx, rows, deps.clock.nowMs()),
        }
      })
    } catch (error) {
      if (isRetryableConflict(error) && attempt < CONFLICT_ATTEMPTS_MAX) continue
      if (isDatabaseUnavailable(error))
        throw new PlatformError('DATABASE_UNAVAILABLE', {}, { cause: error })
      throw error
    }
  }
}

async function append(tx: Tx, rows: Map<WorldKind, Set<string>>, atMs: number): Promise<number> {
  const changes: { kind: WorldKind; id: string; body: string | null }[] = []
  for (const [kind, ids] of rows) {
    // Locked, since a row that was touched but not changed could change before the revision is ours: what we then
    // append would be older than what the revision before it says, and every world would keep it.
    const found = await sql<{ id: string; body: string }>`
      select id::text as id, to_jsonb(t)::text as body from ${sql.table(tableOfKind[kind])} t where id = any(${[...ids]}::uuid[]) for share`.execute(
      tx,
    )
    const bodies = new Map(found.rows.map((row) => [row.id, row.body]))
    for (const id of ids) changes.push({ kind, id, body: bodies.get(id) ?? null })
  }
  const reply = await sql<{ value: number }>`
    with r as (update revision set value = value + 1 returning value),
    f as (
      insert into feed (revision, sequence, at_ms, kind, id, body)
      select r.value, c.ordinality, ${atMs}, c.kind, c.id, c.body
      from r, unnest(${changes.map((c) => c.kind)}::text[], ${changes.map((c) => c.id)}::uuid[], ${changes.map((c) => c.body)}::jsonb[])
        with ordinality as c (kind, id, body, ordinality)
    )
    select value, pg_notify(${FEED_CHANNEL}, value::text) from r`.execute(tx)
  const revision = reply.rows[0]?.value
  if (revision === undefined) throw new Error('the revision row is missing')
  return Number(revision)
}

/** The first form of every body, read from the tables themselves; with the revision at which they were read. */
export async function readTables(
  database: Database<Tables>,
): Promise<{ revision: number; rows: { kind: WorldKind; body: Record<string, unknown> }[] }> {
  return database.query
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (tx) => {
      const at = await tx.selectFrom('revision').select('value').executeTakeFirstOrThrow()
      const rows: { kind: WorldKind; body: Record<string, unknown> }[] = []
      for (const kind of worldKinds) {
        const found = await sql<{
          body: string
        }>`select to_jsonb(t)::text as body from ${sql.table(tableOfKind[kind])} t`.execute(tx)
        for (const row of found.rows) rows.push({ kind, body: parseBody(row.body) })
      }
      return { revision: Number(at.value), rows }
    })
}

// proof of the cast: the record above has exactly the kinds as its keys
export const worldKinds = Object.keys(tableOfKind) as readonly WorldKind[]

function parseBody(text: string): Record<string, unknown> {
  const body: unknown = JSON.parse(text)
  if (typeof body !== 'object' || body === null) throw new Error('a row is not an object')
  return camelKeys(body)
}

/** Top-level keys only: what lies inside jsonb columns is ours and in camelCase already. */
export function camelKeys(row: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(row).map(([key, value]) => [
      key.replaceAll(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase()),
      value,
    ]),
  )
}
