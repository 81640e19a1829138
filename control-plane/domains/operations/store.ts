import type { OperationId } from '@nubo/base'
import type { Reason } from '@nubo/contracts'
import type { OperationRow, Touched, Tx } from '../../world/index.ts'

function json(reason: Reason | null): string | null {
  return reason === null ? null : JSON.stringify(reason)
}

export async function insertOperation(tx: Tx, touched: Touched, row: OperationRow): Promise<void> {
  await tx
    .insertInto('operation')
    .values({ ...row, reason: json(row.reason) })
    .execute()
  touched.touch('operation', row.id)
}

export interface OperationEnd {
  readonly id: OperationId
  readonly state: 'done' | 'failed' | 'superseded' | 'cancelled'
  readonly reason: Reason | null
  readonly progress: string
  readonly atMs: number
}

/** Ends an operation that is still open; an ended one stays as it is. Idempotent. */
export async function endOperation(tx: Tx, touched: Touched, end: OperationEnd): Promise<void> {
  await tx
    .updateTable('operation')
    .set({
      state: end.state,
      reason: json(end.reason),
      progress: end.progress,
      endedAtMs: end.atMs,
      updatedAtMs: end.atMs,
    })
    .where('id', '=', end.id)
    .where('endedAtMs', 'is', null)
    .execute()
  touched.touch('operation', end.id)
}

/** Ends every open operation on a resource as done: what they wanted, or what was wanted after them, is so. */
export async function endOperationsOf(
  tx: Tx,
  touched: Touched,
  end: { resourceId: string; progress: string; atMs: number },
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
    .where('resourceId', '=', end.resourceId)
    .where('endedAtMs', 'is', null)
    .returning('id')
    .execute()
  for (const row of rows) touched.touch('operation', row.id)
}

/** What an open operation is doing, and why it waits. */
export async function progressOperation(
  tx: Tx,
  touched: Touched,
  change: { id: OperationId; progress: string; reason: Reason | null; atMs: number },
): Promise<void> {
  await tx
    .updateTable('operation')
    .set({
      state: 'running',
      progress: change.progress,
      reason: json(change.reason),
      updatedAtMs: change.atMs,
    })
    .where('id', '=', change.id)
    .where('endedAtMs', 'is', null)
    .execute()
  touched.touch('operation', change.id)
}

/** Ends every open operation on a resource in favour of a newer one. */
export async function supersedeOperations(
  tx: Tx,
  touched: Touched,
  change: { resourceId: string; by: string; atMs: number },
): Promise<void> {
  const rows = await tx
    .updateTable('operation')
    .set({
      state: 'superseded',
      reason: json({
        code: 'NOT_ALLOWED_NOW',
        text: `replaced by a newer operation (${change.by})`,
      }),
      endedAtMs: change.atMs,
      updatedAtMs: change.atMs,
    })
    .where('resourceId', '=', change.resourceId)
    .where('endedAtMs', 'is', null)
    .returning('id')
    .execute()
  for (const row of rows) touched.touch('operation', row.id)
}

export async function deleteOperations(
  tx: Tx,
  touched: Touched,
  ids: readonly OperationId[],
): Promise<void> {
  if (ids.length === 0) return
  await tx.deleteFrom('operation').where('id', 'in', ids).execute()
  for (const id of ids) touched.touch('operation', id)
}
