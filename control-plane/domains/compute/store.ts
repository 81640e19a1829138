import type { HostId, InstanceId, OperationId, SetId, VmId } from '@nubo/base'
import type { Reason } from '@nubo/contracts'
import type { FoundInstance } from '@nubo/contracts/host'
import { withNext } from '@nubo/runtime'
import { sql, type RawBuilder } from 'kysely'
import {
  columnsOf,
  isLeaving,
  jsonLines,
  kindOf,
  type HostRow,
  type InstanceKind,
  type InstanceLeaving,
  type InstanceRow,
  type Placement,
  type SetRow,
  type Touched,
  type Tx,
  type VmRow,
  type WorldKind,
} from '../../world/index.ts'
import { canStop } from './drain.ts'
import { lockHost } from '../fleet/index.ts'

const setColumns = columnsOf('set', {
  id: true,
  projectId: true,
  name: true,
  wanted: true,
  generation: true,
  restartCount: true,
  recovery: true,
  cpuMillis: true,
  memoryBytes: true,
  labels: true,
  containers: true,
  placementRule: true,
  priority: true,
  hostId: true,
  epoch: true,
  placement: true,
  createdAtMs: true,
  moved: true,
  leaving: true,
  localGeneration: true,
})

const vmColumns = columnsOf('vm', {
  id: true,
  projectId: true,
  name: true,
  wanted: true,
  generation: true,
  restartCount: true,
  recovery: true,
  cpuMillis: true,
  memoryBytes: true,
  labels: true,
  imageId: true,
  machine: true,
  placementRule: true,
  priority: true,
  hostId: true,
  epoch: true,
  placement: true,
  createdAtMs: true,
  moved: true,
  leaving: true,
  localGeneration: true,
})

/** The row, kept from changing until the transaction ends; undefined if it is gone. */
export async function lockSet(tx: Tx, id: SetId): Promise<SetRow | undefined> {
  return tx.selectFrom('set').select(setColumns).where('id', '=', id).forUpdate().executeTakeFirst()
}

/** Of a set that may run elsewhere from now on, its host holds what it had before until it has heard of it. */
function localGeneration(before: SetRow, { recovery }: SetRow): number | null {
  const isNews = before.recovery === 'local' && recovery === 'elsewhere' && before.hostId !== null
  return isNews ? before.generation : (before.localGeneration ?? null)
}

/** Writes what people ask of a set, and raises its generation. The caller has locked the row. */
export async function rewriteSet(
  tx: Tx,
  touched: Touched,
  { before, row }: { before: SetRow; row: SetRow },
): Promise<number> {
  const { generation } = await tx
    .updateTable('set')
    .set((expression) => ({
      recovery: row.recovery,
      localGeneration: localGeneration(before, row),
      cpuMillis: row.cpuMillis,
      memoryBytes: row.memoryBytes,
      labels: JSON.stringify(row.labels),
      containers: JSON.stringify(row.containers),
      placementRule: JSON.stringify(row.placementRule),
      priority: row.priority,
      generation: expression('generation', '+', 1),
    }))
    .where('id', '=', row.id)
    .returning('generation')
    .executeTakeFirstOrThrow()
  touched.touch('set', row.id)
  touched.use(before.projectId, {
    cpuMillis: row.cpuMillis - before.cpuMillis,
    memoryBytes: row.memoryBytes - before.memoryBytes,
  })
  return generation
}

/** In the order in which all transactions lock them. */
const kinds: readonly InstanceKind[] = ['set', 'vm']

/** Runs a statement for each kind of which there is something; returns the ids of the rows that it gave, and touches them. */
export async function eachKind<Item extends { readonly kind: InstanceKind }>(
  { tx, touched }: { tx: Tx; touched: Touched },
  items: readonly Item[],
  statement: (table: RawBuilder<unknown>, items: readonly Item[]) => RawBuilder<{ id: InstanceId }>,
): Promise<ReadonlySet<InstanceId>> {
  const ids = new Set<InstanceId>()
  for (const kind of kinds) {
    const own = items.filter((item) => item.kind === kind)
    if (own.length === 0) continue
    const { rows } = await statement(sql.table(kind), own).execute(tx)
    for (const { id } of rows) {
      touched.touch(kind, id)
      ids.add(id)
    }
  }
  return ids
}

/**
 * Instances of a host of which nothing runs there any more wait for a place again: these, or, if none are named, everything
 * that the host itself knows to be `elsewhere` (`mayRunElsewhere`). What the host said last no longer counts.
 */
export async function releaseInstances(
  tx: Tx,
  touched: Touched,
  change: {
    host: Pick<HostRow, 'id' | 'name'>
    atMs: number
    reason: Reason
    ids?: readonly InstanceId[]
  },
): Promise<InstanceId[]> {
  const released: InstanceId[] = []
  for (const kind of kinds) {
    const ids = await releaseOfKind(tx, kind, change)
    if (ids.length === 0) continue
    await sql`delete from ${sql.table(`${kind}_found`)} where id = any(${ids}::uuid[])`.execute(tx)
    for (const id of ids) {
      touched.touch(kind, id)
      touched.touch(foundKind[kind], id)
    }
    released.push(...ids)
  }
  return released
}

async function releaseOfKind(
  tx: Tx,
  kind: InstanceKind,
  { host, atMs, reason, ids }: Parameters<typeof releaseInstances>[2],
): Promise<InstanceId[]> {
  const placement: Placement = {
    score: 0,
    decidedAtMs: null,
    reason: { code: reason.code, text: `${reason.text}; waits to be placed` },
    rejected: [],
  }
  const which =
    ids === undefined
      ? sql`s.recovery = 'elsewhere' and (s.local_generation is null or exists (
          select from ${sql.table(`${kind}_found`)} f where f.id = s.id and f.epoch = s.epoch and f.generation > s.local_generation))`
      : sql`s.id = any(${ids}::uuid[])`
  // What was held for a move is held until it is placed.
  const { rows } = await sql<{ id: InstanceId }>`
    update ${sql.table(kind)} as s set
      host_id = null,
      placement = ${JSON.stringify(placement)}::jsonb || jsonb_strip_nulls(jsonb_build_object('heldOn', s.leaving->'toHostId')),
      moved = jsonb_build_object('fromHost', ${host.name}::text, 'fromEpoch', s.epoch, 'atMs', ${atMs}::bigint, 'reason', ${reason.text}::text),
      leaving = null
    where s.host_id = ${host.id}::uuid and s.wanted <> 'removed' and ${which} returning s.id`.execute(
    tx,
  )
  return rows.map(({ id }) => id)
}

/** What a host says of an instance is a row of its own. */
const foundKind = { set: 'setFound', vm: 'vmFound' } as const satisfies Record<
  InstanceKind,
  WorldKind
>

export interface MovesBegun {
  readonly hostId: HostId
  /** Nothing begins unless it is still open. */
  readonly operationId: OperationId
  readonly moves: readonly Move[]
  readonly reason: string
  readonly atMs: number
}

/** `toHostId`: where room is held for it. */
export interface Move {
  readonly id: InstanceId
  readonly kind: InstanceKind
  readonly toHostId: HostId | undefined
}

/** Whether it was asked for on the very host that it is on. One that was asked for on another since may move there. */
export function isPinnedHere({ placementRule, hostId }: InstanceRow): boolean {
  return placementRule.hostId !== null && placementRule.hostId === hostId
}

/**
 * Takes instances out of the slice of their host, which ends them. Those that left, are removed or were pinned meanwhile are
 * left out. Nothing happens if the host is lost, fenced or takes new ones again, or the operation has ended.
 */
export async function beginMoves(tx: Tx, touched: Touched, begun: MovesBegun): Promise<void> {
  const { hostId, moves, reason, atMs } = begun
  const host = await lockHost(tx, hostId)
  if (host === undefined || !canStop(host) || !host.cordoned) return
  const rows = await lockInstances(tx, moves)
  const operation = await tx
    .selectFrom('operation')
    .select('endedAtMs')
    .where('id', '=', begun.operationId)
    .forShare()
    .executeTakeFirst()
  if (operation?.endedAtMs !== null) return
  const moving = [...rows.values()]
    .filter(
      (row) =>
        row.hostId === hostId && row.wanted !== 'removed' && !isPinnedHere(row) && !isLeaving(row),
    )
    .map((row) => ({ id: row.id, kind: kindOf(row) }))
  if (moving.length === 0) return
  // Last of all locks, as for every commit; held from here, so that the next revision is this one's for sure.
  const { value } = await tx
    .selectFrom('revision')
    .select('value')
    .forNoKeyUpdate()
    .executeTakeFirstOrThrow()
  const leaving: InstanceLeaving = { revision: Number(value) + 1, sinceMs: atMs, reason }
  const targets = new Map(moves.map(({ id, toHostId }) => [id, toHostId]))
  await eachKind({ tx, touched }, moving, (table, own) => {
    const leavings = own.map(({ id }) => JSON.stringify({ ...leaving, toHostId: targets.get(id) }))
    return sql`
      update ${table} as s set leaving = c.leaving::jsonb
      from unnest(${own.map(({ id }) => id)}::uuid[], ${jsonLines(leavings)}) as c (id, leaving)
      where s.id = c.id returning s.id`
  })
}

/** Rows by id, kept from changing until the transaction ends; those that are gone are left out. */
export async function lockInstances(
  tx: Tx,
  refs: readonly { readonly id: string; readonly kind: InstanceKind }[],
): Promise<Map<string, InstanceRow>> {
  const idsOf = (kind: InstanceKind): string[] =>
    refs.filter((ref) => ref.kind === kind).map(({ id }) => id)
  const sets = await lockSets(tx, idsOf('set'))
  const vms = await lockVms(tx, idsOf('vm'))
  return new Map<string, InstanceRow>([...sets, ...vms])
}

/** Rows of sets by id, kept from changing until the transaction ends; those that are gone are left out. */
export async function lockSets(tx: Tx, ids: readonly string[]): Promise<Map<string, SetRow>> {
  if (ids.length === 0) return new Map()
  const rows = await tx
    .selectFrom('set')
    .select(setColumns)
    .where('id', '=', sql<SetId>`any(${[...new Set(ids)]}::uuid[])`)
    // One order for all servers, so that two batches cannot wait for each other.
    .orderBy('id')
    .forUpdate()
    .execute()
  return new Map(rows.map((row) => [row.id, row]))
}

/** As `lockSets`. */
export async function lockVms(tx: Tx, ids: readonly string[]): Promise<Map<string, VmRow>> {
  if (ids.length === 0) return new Map()
  const rows = await tx
    .selectFrom('vm')
    .select(vmColumns)
    .where('id', '=', sql<VmId>`any(${[...new Set(ids)]}::uuid[])`)
    .orderBy('id')
    .forUpdate()
    .execute()
  return new Map(rows.map((row) => [row.id, row]))
}

/** The session of each host that is in force. */
export async function sessionsOf(
  tx: Tx,
  hostIds: readonly HostId[],
): Promise<ReadonlyMap<HostId, string | null>> {
  if (hostIds.length === 0) return new Map()
  const rows = await tx
    .selectFrom('hostLiveness')
    .select(['hostId', 'sessionId'])
    .where('hostId', '=', sql<HostId>`any(${[...new Set(hostIds)]}::uuid[])`)
    .execute()
  return new Map(rows.map(({ hostId, sessionId }) => [hostId, sessionId]))
}

export interface FoundChange<Found extends FoundInstance = FoundInstance> {
  readonly hostId: HostId
  readonly found: Found
  readonly sinceMs: number
}

/** What was found of instances whose rows the caller has locked; at most one change of each. */
export async function upsertFound(
  tx: Tx,
  touched: Touched,
  changes: readonly FoundChange[],
): Promise<void> {
  const rows = changes.map(({ hostId, sinceMs, found }) => ({ ...found, hostId, sinceMs }))
  const sets = rows.filter(({ kind }) => kind === 'set')
  const vms = rows.filter(({ kind }) => kind === 'vm')
  // One parameter, so that a batch of any size is one statement that the database knows already.
  if (sets.length > 0)
    await sql`
    insert into set_found (id, host_id, epoch, generation, state, progress, reason, containers, since_ms)
    select id, "hostId", epoch, generation, state, progress, reason, containers, "sinceMs"
    from jsonb_to_recordset(${JSON.stringify(sets)}::jsonb) as r (
      id uuid, "hostId" uuid, epoch integer, generation integer, state text, progress text, reason jsonb,
      containers jsonb, "sinceMs" bigint)
    on conflict (id) do update set
      host_id = excluded.host_id, epoch = excluded.epoch, generation = excluded.generation, state = excluded.state,
      progress = excluded.progress, reason = excluded.reason, containers = excluded.containers,
      since_ms = excluded.since_ms ${withNext}`.execute(tx)
  if (vms.length > 0)
    await sql`
    insert into vm_found (id, host_id, epoch, generation, state, progress, reason, machine, restarts, since_ms)
    select id, "hostId", epoch, generation, state, progress, reason, machine, restarts, "sinceMs"
    from jsonb_to_recordset(${JSON.stringify(vms)}::jsonb) as r (
      id uuid, "hostId" uuid, epoch integer, generation integer, state text, progress text, reason jsonb,
      machine jsonb, restarts integer, "sinceMs" bigint)
    on conflict (id) do update set
      host_id = excluded.host_id, epoch = excluded.epoch, generation = excluded.generation, state = excluded.state,
      progress = excluded.progress, reason = excluded.reason, machine = excluded.machine,
      restarts = excluded.restarts, since_ms = excluded.since_ms ${withNext}`.execute(tx)
  for (const { found } of changes) touched.touch(foundKind[found.kind], found.id)
}

/** An instance as it is named where the difference does not matter. */
export interface InstanceRef {
  readonly id: InstanceId
  readonly kind: InstanceKind
}

export async function deleteInstances(
  tx: Tx,
  touched: Touched,
  refs: readonly InstanceRef[],
): Promise<void> {
  for (const kind of kinds) {
    const ids = refs.filter((ref) => ref.kind === kind).map(({ id }) => id)
    if (ids.length === 0) continue
    const found = sql.table(`${kind}_found`)
    await sql`delete from ${found} where id = any(${ids}::uuid[]) ${withNext}`.execute(tx)
    const { rows } = await sql<Pick<InstanceRow, 'projectId' | 'cpuMillis' | 'memoryBytes'>>`
      delete from ${sql.table(kind)} where id = any(${ids}::uuid[])
      returning project_id, cpu_millis, memory_bytes`.execute(tx)
    for (const { projectId, cpuMillis, memoryBytes } of rows)
      touched.use(projectId, {
        instances: -1,
        cpuMillis: -cpuMillis,
        memoryBytes: -memoryBytes,
      })
    for (const id of ids) {
      touched.touch(foundKind[kind], id)
      touched.touch(kind, id)
    }
  }
}
