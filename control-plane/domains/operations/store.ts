import type { OperationId } from '@nubo/base'
import type { Reason } from '@nubo/contracts'
import { withNext } from '@nubo/runtime'
import { sql } from 'kysely'
import {
  insertRows,
  jsonLines,
  type OperationRow,
  type Touched,
  type Tx,
} from '../../world/index.ts'

function json(reason: Reason | null): string | null {
  return reason === null ? null : JSON.stringify(reason)
}

export function insertOperation(tx: Tx, touched: Touched, row: OperationRow): Promise<void> {
  return insertOperations(tx, [{ touched, row }])
}

/** One statement for any number. */
export async function insertOperations(
  tx: Tx,
  made: readonly { touched: Touched; row: OperationRow }[],
): Promise<void> {
  const [first, ...others] = made.map(({ row }) => row)
  if (first === undefined) return
  await sql`${insertRows('operation', [first, ...others])} ${withNext}`.execute(tx)
  for (const { touched, row } of made) touched.touch('operation', row.id)
}

export interface OperationEnd {
  readonly id: OperationId
  readonly state: 'done' | 'failed' | 'superseded' | 'cancelled'
  readonly reason: Reason | null
  readonly progress: string
  readonly atMs: number
}

export interface OperationProgress {
  readonly id: OperationId
  readonly state: 'running'
  readonly reason: Reason | null
  readonly progress: string
  readonly atMs: number
}

/**
 * Changes or ends operations that are still open, at most one change of each; ended ones stay as they are. Idempotent.
 * One statement for any number.
 */
export async function changeOperations(
  tx: Tx,
  touched: Touched,
  changes: readonly (OperationProgress | OperationEnd)[],
): Promise<void> {
  if (changes.length === 0) return
  const rows = changes.map((change) => ({
    ...change,
    endedAtMs: change.state === 'running' ? null : change.atMs,
  }))
  await sql`
    update operation as o set
      state = r.state, reason = r.reason, progress = r.progress, updated_at_ms = r."atMs", ended_at_ms = r."endedAtMs"
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r (
      id uuid, state text, reason jsonb, progress text, "atMs" bigint, "endedAtMs" bigint)
    where o.id = r.id and o.ended_at_ms is null ${withNext}`.execute(tx)
  for (const { id } of changes) touched.touch('operation', id)
}

/** Ends an operation that is still open; an ended one stays as it is. Idempotent. */
export function endOperation(tx: Tx, touched: Touched, end: OperationEnd): Promise<void> {
  return changeOperations(tx, touched, [end])
}

/** Ends every open operation on these resources as done: what they wanted, or what was wanted after them, is so. */
export async function endOperationsOf(
  tx: Tx,
  touched: Touched,
  end: { resourceIds: readonly string[]; progress: string; atMs: number },
): Promise<void> {
  const rows = await tx
    .updateTable('operation')
    .set({
      state: 'done',
      reason: null,
      progress: end.progress,
      endedAtMs: end.atMs,
      updatedAtMs: end.atMs,
    })
    .where('resourceId', '=', sql<string>`any(${end.resourceIds}::uuid[])`)
    .where('endedAtMs', 'is', null)
    .returning('id')
    .execute()
  for (const row of rows) touched.touch('operation', row.id)
}

/** What an open operation is doing, and why it waits. */
export function progressOperation(
  tx: Tx,
  touched: Touched,
  change: Omit<OperationProgress, 'state'>,
): Promise<void> {
  return changeOperations(tx, touched, [{ ...change, state: 'running' }])
}

/** What the open operations on many resources are doing. Locks rows in the order of their ids. */
export async function progressOperationsOf(
  tx: Tx,
  touched: Touched,
  { changes, atMs }: { changes: readonly { resourceId: string; progress: string }[]; atMs: number },
): Promise<void> {
  if (changes.length === 0) return
  const { rows } = await sql<{ id: string }>`
    with open as (
      select id from operation where resource_id = any(${changes.map((one) => one.resourceId)}::uuid[])
      and ended_at_ms is null order by id for no key update
    )
    update operation as o set state = 'running', progress = c.progress, reason = null, updated_at_ms = ${atMs}
    from open, unnest(
      ${changes.map((one) => one.resourceId)}::uuid[],
      ${changes.map((one) => one.progress)}::text[]
    ) as c (resource_id, progress)
    where o.id = open.id and o.resource_id = c.resource_id returning o.id`.execute(tx)
  for (const { id } of rows) touched.touch('operation', id)
}

/** Ends the open operations on many resources as failed. Locks rows in the order of their ids. */
export async function failOperationsOf(
  tx: Tx,
  touched: Touched,
  {
    changes,
    progress,
    atMs,
  }: {
    changes: readonly { resourceId: string; reason: Reason }[]
    progress: string
    atMs: number
  },
): Promise<void> {
  if (changes.length === 0) return
  const { rows } = await sql<{ id: string }>`
    with open as (
      select id from operation where resource_id = any(${changes.map((one) => one.resourceId)}::uuid[])
      and ended_at_ms is null order by id for no key update
    )
    update operation as o set state = 'failed', progress = ${progress}, reason = c.reason,
      ended_at_ms = ${atMs}, updated_at_ms = ${atMs}
    from open, unnest(
      ${changes.map((one) => one.resourceId)}::uuid[],
      ${changes.map((one) => json(one.reason))}::jsonb[]
    ) as c (resource_id, reason)
    where o.id = open.id and o.resource_id = c.resource_id returning o.id`.execute(tx)
  for (const { id } of rows) touched.touch('operation', id)
}

/** An operation that takes the place of those which are open on its resource. */
export interface Superseding {
  readonly touched: Touched
  readonly resourceId: string
  /** What kind of operation it is. */
  readonly by: string
}

/** Ends every open operation on a resource in favour of a newer one. Returns how many there were. */
export function supersedeOperations(
  tx: Tx,
  touched: Touched,
  change: { resourceId: string; by: string; atMs: number },
): Promise<number> {
  return supersedeOperationsOf(tx, [{ touched, ...change }], change.atMs)
}

/** The same for many resources, each of them once. Locks rows in the order of their ids. */
export async function supersedeOperationsOf(
  tx: Tx,
  changes: readonly Superseding[],
  atMs: number,
): Promise<number> {
  if (changes.length === 0) return 0
  const byResource = new Map(changes.map((change) => [change.resourceId, change]))
  const reasons = changes.map(({ by }) =>
    json({ code: 'NOT_ALLOWED_NOW', text: `replaced by a newer operation (${by})` }),
  )
  const { rows } = await sql<{ id: string; resourceId: string }>`
    with open as (
      select id from operation where resource_id = any(${[...byResource.keys()]}::uuid[])
      and ended_at_ms is null order by id for no key update
    )
    update operation as o set state = 'superseded', reason = c.reason::jsonb, ended_at_ms = ${atMs}, updated_at_ms = ${atMs}
    from open, unnest(
      ${changes.map(({ resourceId }) => resourceId)}::uuid[],
      ${jsonLines(reasons)}
    ) as c (resource_id, reason)
    where o.id = open.id and o.resource_id = c.resource_id returning o.id, o.resource_id`.execute(
    tx,
  )
  for (const { id, resourceId } of rows) byResource.get(resourceId)?.touched.touch('operation', id)
  return rows.length
}

export async function deleteOperations(
  tx: Tx,
  touched: Touched,
  ids: readonly OperationId[],
): Promise<void> {
  if (ids.length === 0) return
  await sql`delete from operation where id = any(${ids}::uuid[])`.execute(tx)
  for (const id of ids) touched.touch('operation', id)
}
