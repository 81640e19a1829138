import type { ManifestId, OperationId, ProjectId } from '@nubo/base'
import type { ManifestKind, Reason } from '@nubo/contracts'
import type { Database } from '@nubo/runtime'
import { sql } from 'kysely'
import type { ManifestRow, Tables, Touched, Tx, World } from '../../world/index.ts'
import type { SeenSet } from './draft-plan.ts'
import type { PlannedStep, StepState } from './steps.ts'

/** Who asked, and for what. */
export interface ApplyRow {
  readonly operationId: OperationId
  readonly manifestId: ManifestId
  readonly tokenId: Tables['apply']['tokenId']
  readonly tokenName: string
  readonly accountId: Tables['apply']['accountId']
  readonly role: Tables['apply']['role']
}

/** A step as it stands in the record, without what it asks for. */
export interface StepRow extends StepState {
  readonly action: PlannedStep['action']
  readonly waitsFor: OperationId | null
  readonly begunAtMs: number | null
}

/** The manifest of this name, made if it is new, locked: applies of one manifest are admitted one after the other. */
export async function lockManifest(
  tx: Tx,
  touched: Touched,
  fresh: ManifestRow,
): Promise<ManifestId> {
  const made = await tx
    .insertInto('manifest')
    .values(fresh)
    .onConflict((conflict) => conflict.columns(['projectId', 'name']).doNothing())
    .executeTakeFirst()
  if (made.numInsertedOrUpdatedRows === 1n) touched.touch('manifest', fresh.id)
  const row = await tx
    .selectFrom('manifest')
    .select('id')
    .where('projectId', '=', fresh.projectId)
    .where('name', '=', fresh.name)
    .forNoKeyUpdate() // steps of the one before may still record what belongs to it
    .executeTakeFirstOrThrow()
  return row.id
}

/** The first set that is not as it was seen, or gone; undefined if all are. */
export async function findMoved(tx: Tx, seen: readonly SeenSet[]): Promise<SeenSet | undefined> {
  if (seen.length === 0) return undefined
  const rows = await tx
    .selectFrom('set')
    .select(['id', 'generation'])
    .where(
      'id',
      'in',
      // proof: an id that does not exist finds nothing
      seen.map(({ id }) => id as Tables['set']['id']),
    )
    .execute()
  const now = new Map<string, number>(rows.map((row) => [row.id, row.generation]))
  return seen.find(({ id, generation }) => now.get(id) !== generation)
}

/** Whether anything has come to belong to the manifest, or may have been removed from it, since a revision. */
export async function hasMovedSince(
  tx: Tx,
  manifestId: ManifestId,
  revision: number,
): Promise<boolean> {
  const { rows } = await sql`
    select 1 from feed where revision > ${revision} and (
      (kind = 'applied' and (body is null or body ->> 'manifest_id' = ${manifestId}))
      or (kind in ('network', 'subnet', 'port') and body is null)
    ) limit 1`.execute(tx)
  return rows.length > 0
}

const INSERT_ROWS_MAX = 500

export async function insertApply(
  tx: Tx,
  apply: ApplyRow,
  steps: readonly PlannedStep[],
): Promise<void> {
  await tx.insertInto('apply').values(apply).execute()
  for (let from = 0; from < steps.length; from += INSERT_ROWS_MAX) {
    const rows = steps.slice(from, from + INSERT_ROWS_MAX).map((step, at) => ({
      ...step,
      operationId: apply.operationId,
      number: from + at,
      needs: JSON.stringify(step.needs),
      body: JSON.stringify(step.body),
      state: 'pending' as const,
    }))
    await tx.insertInto('applyStep').values(rows).execute()
  }
}

export async function readApply(
  { query }: Database<Tables>,
  id: OperationId,
): Promise<ApplyRow | undefined> {
  return query.selectFrom('apply').selectAll().where('operationId', '=', id).executeTakeFirst()
}

/** In order, so that the number of a step is its place. */
export async function readSteps({ query }: Database<Tables>, id: OperationId): Promise<StepRow[]> {
  return query
    .selectFrom('applyStep')
    .select(['number', 'action', 'kind', 'name', 'needs', 'isPrune', 'state', 'reason'])
    .select(['waitsFor', 'begunAtMs'])
    .where('operationId', '=', id)
    .orderBy('number')
    .execute()
}

/** What steps ask for, by their numbers. */
export async function readBodies(
  { query }: Database<Tables>,
  id: OperationId,
  numbers: readonly number[],
): Promise<ReadonlyMap<number, unknown>> {
  const rows = await query
    .selectFrom('applyStep')
    .select(['number', 'body'])
    .where('operationId', '=', id)
    .where('number', 'in', numbers)
    .execute()
  return new Map(rows.map(({ number, body }) => [number, body]))
}

export interface StepChange {
  readonly number: number
  readonly state: StepState['state']
  readonly reason: Reason | null
  readonly waitsFor: OperationId | null
  readonly begunAtMs: number
  /** Things that belong to the manifest from now on, or no longer. */
  readonly owns: { readonly id: string; readonly kind: ManifestKind } | null
  readonly disowns: string | null
}

/** Idempotent; a step that has ended stays as it is. */
export async function recordSteps(
  tx: Tx,
  touched: Touched,
  at: { apply: ApplyRow; projectId: ProjectId; changes: readonly StepChange[] },
): Promise<void> {
  const { apply, projectId, changes } = at
  const { operationId, manifestId } = apply
  const open = await tx
    .selectFrom('operation')
    .select('id')
    .where('id', '=', operationId)
    .where('endedAtMs', 'is', null)
    .forNoKeyUpdate()
    .executeTakeFirst()
  const rows = changes.map(({ number, state, reason, waitsFor, begunAtMs }) => ({
    number,
    state,
    reason,
    waits_for: waitsFor,
    begun_at_ms: begunAtMs,
  }))
  await sql`
    update apply_step s set state = c.state, reason = c.reason, waits_for = c.waits_for, begun_at_ms = c.begun_at_ms
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
      as c (number integer, state text, reason jsonb, waits_for uuid, begun_at_ms bigint)
    where s.operation_id = ${operationId} and s.number = c.number and s.state in ('pending', 'running')`.execute(
    tx,
  )
  // What it did is recorded, but the manifest is somebody else's business now.
  if (open === undefined) return
  const owned = new Map(changes.flatMap(({ owns }) => (owns === null ? [] : [[owns.id, owns]])))
  if (owned.size > 0)
    await tx
      .insertInto('applied')
      .values([...owned.values()].map(({ id, kind }) => ({ id, projectId, manifestId, kind })))
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ manifestId }))
      .execute()
  const disowned = changes.flatMap(({ disowns }) => (disowns === null ? [] : [disowns]))
  if (disowned.length > 0) await tx.deleteFrom('applied').where('id', 'in', disowned).execute()
  for (const id of [...owned.keys(), ...disowned]) touched.touch('applied', id)
}

const SWEPT_ROWS_MAX = 500

/** Forgets whose things were that are gone, and manifests of which nothing is left. */
export async function sweepTraces(tx: Tx, touched: Touched, world: World): Promise<void> {
  const stale = [...world.applied.values()]
    .filter(({ kind, id }) => world[kind].get(id) === undefined)
    .slice(0, SWEPT_ROWS_MAX)
  const ids = stale.map(({ id }) => id)
  if (ids.length > 0) await tx.deleteFrom('applied').where('id', 'in', ids).execute()
  for (const id of ids) touched.touch('applied', id)
  const empty = [...world.manifest.values()]
    .filter(({ id }) => world.applied.countBy('manifest', id) === 0)
    .slice(0, SWEPT_ROWS_MAX)
  if (empty.length === 0) return
  const gone = await tx
    .deleteFrom('manifest')
    .where(
      'id',
      'in',
      empty.map(({ id }) => id),
    )
    .where(
      sql<boolean>`not exists (select from applied where manifest_id = manifest.id)
        and not exists (select from apply where manifest_id = manifest.id)`,
    )
    .returning('id')
    .execute()
  for (const { id } of gone) touched.touch('manifest', id)
}
