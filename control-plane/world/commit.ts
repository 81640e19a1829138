import type { Clock, ProjectId, Random } from '@nubo/base'
import {
  databaseUnavailable,
  isDatabaseUnavailable,
  isRetryableConflict,
  type Database,
} from '@nubo/runtime'
import { sql, type Transaction } from 'kysely'
import { actNow, type Act } from './acting.ts'
import { bindToApplies } from './apply-steps.ts'
import { auditInsert, auditRows, isTold, type RowChange } from './audit.ts'
import { jsonLines } from './json-lines.ts'
import { quotaClauses, quotaError, UsageChanges, type Exceeded, type Usage } from './quota.ts'
import type { QuotaLimits, Tables, WorldTables } from './tables.ts'

export type WorldKind = keyof WorldTables
export type Tx = Transaction<Tables>

/** Collects which rows a transaction changed; their bodies are read back from the tables just before it commits. */
export interface Touched {
  /** The row was inserted, updated or deleted. Calling it twice for one row is fine. */
  touch(kind: WorldKind, id: string): void
  /** The project uses so much more from now on; below 0: less. Whoever inserts, changes or deletes what counts says so. */
  use(project: ProjectId, usage: Usage): void
  /** For the audit alone: a change of a row that the world does not hold. */
  tell(change: RowChange): void
  /** The same transaction, for another act: what is touched through it is told as that one's. */
  as(act: Act | undefined): Touched
}

export interface CommitDeps {
  readonly database: Database<Tables>
  readonly clock: Clock
  /** Of projects for which nothing else was set; no limits if absent. */
  readonly quotaDefaults?: QuotaLimits | undefined
  /** What the audit needs: rows as they were, and ids. Without it nothing is audited. */
  readonly audit?: { readonly rowBefore: RowBefore; readonly random: Random } | undefined
}

/**
 * A row as this process knows it. Another process may have changed it a moment ago: then the digest `before` is that of
 * what the caller's server believed to change.
 */
export type RowBefore = (kind: WorldKind, id: string) => object | undefined

export interface Committed<Value> {
  readonly value: Value
  /** Undefined when nothing was touched. */
  readonly revision: number | undefined
}

export const FEED_CHANNEL = 'nubo_feed'
const CONFLICT_ATTEMPTS_MAX = 5
const TABLE_ROWS_AT_ONCE = 1_000
/** Below every id. */
const NIL_ID = '00000000-0000-0000-0000-000000000000'

const tableOfKind: Record<WorldKind, string> = {
  account: 'account',
  project: 'project',
  member: 'member',
  token: 'token',
  host: 'host',
  network: 'network',
  subnet: 'subnet',
  image: 'image',
  set: 'set',
  setFound: 'set_found',
  vm: 'vm',
  vmFound: 'vm_found',
  port: 'port',
  operation: 'operation',
  brake: 'brake',
  manifest: 'manifest',
  applied: 'applied',
}

/**
 * Runs `work` in one transaction and appends what it touched to the feed. The revision row is locked last, so that
 * the feed is gapless and in commit order; its holders are short. Just before it, in the same statement, the project's
 * usage changes and the audit row is written. A deadlock undoes the whole transaction, so `work` runs again: it must
 * have no effect outside the transaction.
 * Errors: DATABASE_UNAVAILABLE, QUOTA_EXCEEDED; whatever `work` throws.
 */
export async function commit<Value>(
  deps: CommitDeps,
  work: (tx: Tx, touched: Touched) => Promise<Value>,
): Promise<Committed<Value>> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await deps.database.query.transaction().execute(async (tx) => {
        const effects = new Effects()
        const value = await work(tx, effects.of(actNow()))
        return { value, revision: await append(tx, deps, effects) }
      })
    } catch (error) {
      if (isRetryableConflict(error) && attempt < CONFLICT_ATTEMPTS_MAX) continue
      const exceeded = exceededOf(error)
      if (exceeded !== undefined) throw quotaError(exceeded)
      if (isDatabaseUnavailable(error)) throw databaseUnavailable(error)
      throw error
    }
  }
}

/** What one act does within a transaction. */
class ActEffects implements Touched {
  readonly act: Act | undefined
  readonly rows = new Map<WorldKind, Set<string>>()
  readonly told: RowChange[] = []
  readonly #all: Effects

  constructor(all: Effects, act: Act | undefined) {
    this.#all = all
    this.act = act
  }

  touch(kind: WorldKind, id: string): void {
    addRow(this.rows, kind, id)
    addRow(this.#all.rows, kind, id)
  }
  use(project: ProjectId, usage: Usage): void {
    this.#all.usage.add(project, usage)
  }
  tell(change: RowChange): void {
    this.told.push(change)
  }
  as(act: Act | undefined): Touched {
    return this.#all.of(act)
  }
}

/** What a whole transaction does. */
class Effects {
  readonly rows = new Map<WorldKind, Set<string>>()
  readonly usage = new UsageChanges()
  readonly byAct = new Map<Act | undefined, ActEffects>()

  of(act: Act | undefined): ActEffects {
    const known = this.byAct.get(act) ?? new ActEffects(this, act)
    this.byAct.set(act, known)
    return known
  }
}

function addRow(rows: Map<WorldKind, Set<string>>, kind: WorldKind, id: string): void {
  const ids = rows.get(kind) ?? new Set()
  rows.set(kind, ids.add(id))
}

interface Change {
  readonly kind: WorldKind
  readonly id: string
  /** Null when the row is gone. */
  readonly body: string | null
}

const REFUSED = 'quota exceeded: '
/** Fails, with what was exceeded in the words of its error, where there is anything. */
const refusal = sql`(select (${sql.lit(REFUSED)} || jsonb_agg(exceeded)::text)::integer from exceeded having count(1) > 0)`

function exceededOf(error: unknown): [Exceeded, ...Exceeded[]] | undefined {
  if (!(error instanceof Error)) return undefined
  const from = error.message.indexOf(REFUSED)
  const to = error.message.lastIndexOf('"')
  if (from < 0 || to < from) return undefined
  // proof: the text was made by the clause above, from rows of the clause `exceeded`, of which there is one at least
  return JSON.parse(error.message.slice(from + REFUSED.length, to)) as [Exceeded, ...Exceeded[]]
}

/** Undefined if there is nothing that the world should hear of. */
async function append(tx: Tx, deps: CommitDeps, effects: Effects): Promise<number | undefined> {
  await bindToApplies(tx, effects.byAct.values())
  const changes = await readTouched(tx, effects.rows)
  const audit = [...effects.byAct.values()].flatMap((own) => auditOf(deps, changes, own))
  const usage = effects.usage.entries()
  if (changes.length === 0) {
    if (audit.length > 0) await auditInsert(audit).execute(tx)
    return undefined
  }
  // A statement takes its rows in an order of its own; two that want the same two would wait for each other.
  if (usage.length > 1)
    await sql`select 1 from quota where project_id = any(${usage.map(([id]) => id)}::uuid[])
      order by project_id for no key update`.execute(tx)
  const counted = usage.length > 0
  // Whoever waits for the revision waits for all of this and the commit, so both come with one message. Nothing that
  // was found wrong afterwards could hold up the commit: a broken limit is an error of the statement itself.
  const reply = await sql<{ value: number | null }>`
    with ${counted ? sql`${quotaClauses(usage, deps.quotaDefaults ?? {})},` : sql``}
    ${audit.length > 0 ? sql`audited as (${auditInsert(audit)}),` : sql``}
    r as (update revision set value = value + 1 ${counted ? sql`where not exists (select 1 from exceeded)` : sql``} returning value),
    f as (
      insert into feed (revision, sequence, at_ms, kind, id, body)
      select r.value, c.ordinality, ${deps.clock.nowMs()}, c.kind, c.id, c.body::json
      from r, unnest(${changes.map((c) => c.kind)}::text[], ${changes.map((c) => c.id)}::uuid[], ${jsonLines(changes.map((c) => c.body))})
        with ordinality as c (kind, id, body, ordinality)
    )
    select (select value from r) as value, (select pg_notify(${FEED_CHANNEL}, value::text) from r) as notified,
      ${counted ? refusal : sql`null`} as refused${sql.raw(deps.database.andCommit)}`.execute(tx)
  const value = reply.rows[0]?.value ?? null
  if (value === null) throw new Error('the revision row is missing')
  return Number(value)
}

async function readTouched(
  tx: Tx,
  rows: ReadonlyMap<WorldKind, ReadonlySet<string>>,
): Promise<Change[]> {
  if (rows.size === 0) return []
  const kinds = [...rows.keys()]
  const names = kinds.map((_kind, at) => sql.raw(`touched_${at}`))
  // Locked, since a row that was touched but not changed could change before the revision is ours: what we then
  // append would be older than what the revision before it says, and every world would keep it.
  const clauses = kinds.map(
    (kind, at) => sql`${names[at]} as materialized (
      select ${sql.lit(kind)} as kind, id::text as id, to_jsonb(t)::text as body
      from ${sql.table(tableOfKind[kind])} t where id = any(${[...(rows.get(kind) ?? [])]}::uuid[]) for share)`,
  )
  const found = await sql<Change>`
    with ${sql.join(clauses)} ${sql.join(
      names.map((name) => sql`select kind, id, body from ${name}`),
      sql` union all `,
    )}`.execute(tx)
  const bodies = new Map(found.rows.map((row) => [`${row.kind}/${row.id}`, row.body]))
  return [...rows].flatMap(([kind, ids]) =>
    [...ids].map((id) => ({ kind, id, body: bodies.get(`${kind}/${id}`) ?? null })),
  )
}

function auditOf(
  { audit, clock }: CommitDeps,
  changes: readonly Change[],
  { act, rows, told }: ActEffects,
): ReturnType<typeof auditRows> {
  if (audit === undefined || act === undefined) return []
  const own = changes
    .filter(({ kind, id }) => isTold(act, kind) && rows.get(kind)?.has(id) === true)
    .map(({ kind, id, body }): RowChange => ({
      kind,
      id,
      before: audit.rowBefore(kind, id) ?? null,
      after: body === null ? null : parseBody(body),
    }))
  return auditRows(act, [...own, ...told], { clock, random: audit.random })
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
      for (const kind of worldKinds)
        for await (const body of bodiesOf(tx, kind)) rows.push({ kind, body })
      return { revision: Number(at.value), rows }
    })
}

/** In pieces: the texts of a whole table would be several times as large as its rows, and that memory stays taken. */
async function* bodiesOf(tx: Tx, kind: WorldKind): AsyncGenerator<Record<string, unknown>> {
  let after = NIL_ID
  for (;;) {
    const found = await sql<{ id: string; body: string }>`
      select id::text as id, to_jsonb(t)::text as body from ${sql.table(tableOfKind[kind])} t
      where id > ${after}::uuid order by id limit ${TABLE_ROWS_AT_ONCE}`.execute(tx)
    for (const row of found.rows) yield parseBody(row.body)
    const last = found.rows.at(-1)
    if (last === undefined || found.rows.length < TABLE_ROWS_AT_ONCE) return
    after = last.id
  }
}

// proof of the cast: the record above has exactly the kinds as its keys
export const worldKinds = Object.keys(tableOfKind) as readonly WorldKind[]

function parseBody(text: string): Record<string, unknown> {
  const body: unknown = JSON.parse(text)
  if (typeof body !== 'object' || body === null) throw new Error('a row is not an object')
  return camelKeys(body)
}

/** Columns in camelCase, by their names: a hundred in all, asked for with every row that any process reads. */
const camelNames = new Map<string, string>()

function camelName(column: string): string {
  const known = camelNames.get(column)
  if (known !== undefined) return known
  const name = column.replaceAll(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase())
  camelNames.set(column, name)
  return name
}

/** Top-level keys only: what lies inside jsonb columns is ours and in camelCase already. */
export function camelKeys(row: object): Record<string, unknown> {
  const renamed: Record<string, unknown> = {}
  for (const [column, value] of Object.entries(row)) renamed[camelName(column)] = value
  return renamed
}
