import { createHash } from 'node:crypto'
import { newId, type Clock, type Random } from '@nubo/base'
import { sql, type RawBuilder } from 'kysely'
import type { Act, CallAct, SystemAct } from './acting.ts'
import type { AuditTable, WorldTables } from './tables.ts'

type WorldKind = keyof WorldTables

export type AuditRow = Omit<AuditTable, 'count'> & { readonly count: number }

/** A row before and after a transaction; null where there was or is none. */
export interface RowChange {
  readonly kind: WorldKind | 'quota'
  readonly id: string
  readonly before: object | null
  readonly after: object | null
}

const NOTE_CHARACTERS_MAX = 300

/** Whether the audit looks at changes of this kind: what is under way says nothing of what is wanted. */
export function isTold(act: Act, kind: WorldKind): boolean {
  if (act.by === 'system') return decisiveFields[kind] !== undefined
  return (
    !['operation', 'setFound', 'vmFound', 'applied'].includes(kind) || kind === act.resourceKind
  )
}

/** One row for a call; for a reconciler one for each decision among the changes. */
export function auditRows(
  act: Act,
  changes: readonly RowChange[],
  deps: { clock: Clock; random: Random },
): AuditRow[] {
  const atMs = deps.clock.nowMs()
  const id = (): AuditRow['id'] => newId<'audit'>({ ...deps.clock, nowMs: () => atMs }, deps.random)
  return act.by === 'call'
    ? [{ id: id(), atMs, ...rowOfCall(act, changes) }]
    : changes.flatMap((change) => {
        const decision = decisionOf(act, change)
        return decision === undefined ? [] : [{ id: id(), atMs, ...decision }]
      })
}

function rowOfCall(act: CallAct, changes: readonly RowChange[]): Omit<AuditRow, 'id' | 'atMs'> {
  const ofKind = changes.filter(({ kind }) => kind === act.resourceKind)
  const change =
    ofKind.find(({ id, before, after }) =>
      [id, text(before ?? after, 'name')].includes(act.resource),
    ) ?? ofKind[0]
  const row = change?.after ?? change?.before ?? null
  return {
    actor: act.actor,
    tokenId: act.tokenId,
    accountId: act.accountId,
    projectId: projectIdOf(act, change, row),
    requestId: act.requestId,
    call: act.call,
    resourceKind: act.resourceKind,
    resourceId: change?.id ?? null,
    resourceName: text(row, 'name') ?? text(row, 'resourceName') ?? act.resource,
    outcome: 'done',
    code: null,
    note: null,
    count: 1,
    beforeSha256: digest(changes.map(({ kind, id, before }) => ({ kind, id, row: before }))),
    afterSha256: digest(changes.map(({ kind, id, after }) => ({ kind, id, row: after }))),
  }
}

function projectIdOf(
  act: CallAct,
  change: RowChange | undefined,
  row: object | null,
): string | null {
  if (change === undefined || row === null) return act.projectId
  return change.kind === 'project' ? change.id : text(row, 'projectId')
}

/**
 * What makes a change of the control plane itself worth telling: what is wanted, and where it is placed. A NEW FIELD
 * THAT A RECONCILER DECIDES NEEDS A PLACE HERE.
 */
const decisiveFields: Partial<Record<RowChange['kind'], readonly string[]>> = {
  set: ['wanted', 'hostId', 'epoch'],
  host: ['cordoned', 'state'],
  brake: ['hosts'],
}

/** Without digests: tens of thousands of placements an hour must cost next to nothing, and the note says what was decided. */
function decisionOf(
  act: SystemAct,
  { kind, id, before, after }: RowChange,
): Omit<AuditRow, 'id' | 'atMs'> | undefined {
  const row = after ?? before
  const decided = (decisiveFields[kind] ?? []).filter(
    (key) => !isSame(field(before, key), field(after, key)),
  )
  // Of what the control plane makes by itself only a brake is a decision; the rest follows from a call.
  const isBegun = before === null && kind !== 'brake'
  if (row === null || isBegun || decided.length === 0) return undefined
  return {
    actor: act.actor,
    tokenId: null,
    accountId: null,
    projectId: text(row, 'projectId'),
    requestId: null,
    call: act.call,
    resourceKind: kind,
    resourceId: id,
    resourceName: text(row, 'name'),
    outcome: 'done',
    code: null,
    note:
      after === null
        ? 'removed'
        : decided.map((key) => `${key} ${JSON.stringify(field(after, key))}`).join(', '),
    count: 1,
    beforeSha256: null,
    afterSha256: null,
  }
}

function isSame(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b)
}

function field(row: object | null, key: string): unknown {
  return row === null ? undefined : (row as Record<string, unknown>)[key] // proof: a non-null object
}
function text(row: object | null, key: string): string | null {
  const value = field(row, key)
  return typeof value === 'string' ? value : null
}

/** Hashes of secrets could be tried against dictionaries too; of an environment only the names are told. */
const secretKeys = new Set(['secretSha256', 'inviteSha256', 'inviteExpiresAtMs'])

/** Null if there are no rows. The order of rows, and of keys in them, makes no difference. */
export function digest(
  rows: readonly { kind: string; id: string; row: object | null }[],
): string | null {
  const there = rows.flatMap(({ kind, id, row }) =>
    row === null ? [] : [`${kind}/${id} ${canonical(row)}`],
  )
  if (there.length === 0) return null
  return createHash('sha256').update(there.toSorted().join('\n')).digest('hex')
}

function canonical(value: unknown, isEnvironment = false): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item)).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const entries = Object.entries(value)
    .filter(([key]) => !secretKeys.has(key))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) =>
      isEnvironment
        ? JSON.stringify(key)
        : `${JSON.stringify(key)}:${canonical(item, key === 'env')}`,
    )
  return `{${entries.join()}}`
}

const columns = sql.raw(
  'id, at_ms, actor, token_id, account_id, project_id, request_id, call, resource_kind, resource_id, resource_name, outcome, code, note, count, before_sha256, after_sha256',
)

/** `insert into audit …` of any number of rows: one parameter, since it is part of every change. */
export function auditInsert(rows: readonly AuditRow[]): RawBuilder<unknown> {
  const stored = rows.map((row) => ({
    id: row.id,
    at_ms: row.atMs,
    actor: row.actor,
    token_id: row.tokenId,
    account_id: row.accountId,
    project_id: row.projectId,
    request_id: row.requestId,
    call: row.call,
    resource_kind: row.resourceKind,
    resource_id: row.resourceId,
    resource_name: row.resourceName,
    outcome: row.outcome,
    code: row.code,
    note: row.note?.slice(0, NOTE_CHARACTERS_MAX) ?? null,
    count: row.count,
    before_sha256: row.beforeSha256,
    after_sha256: row.afterSha256,
  }))
  return sql`insert into audit (${columns}) select ${columns} from jsonb_populate_recordset(null::audit, ${JSON.stringify(stored)}::jsonb)`
}
