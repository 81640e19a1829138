import { type HostId, type OperationId, type SetId } from '@nubo/base'
import type { Reason } from '@nubo/contracts'
import type { FoundSet } from '@nubo/contracts/host'
import { withNext } from '@nubo/runtime'
import { sql } from 'kysely'
import type { HostFacts } from '../placement/index.ts'
import {
  columnsOf,
  isLeaving,
  jsonLines,
  type HostRow,
  type SetLeaving,
  type SetPlacement,
  type SetRow,
  type Touched,
  type Tx,
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

/**
 * Begins a term of placing: batches of earlier terms are refused from now on, and all that they recorded is in the feed
 * at this revision. A batch that is under way ends first.
 */
export async function beginPlacementTerm(tx: Tx): Promise<{ term: number; revision: number }> {
  const { value: term } = await tx
    .updateTable('placementTerm')
    .set((expression) => ({ value: expression('value', '+', 1) }))
    .returning('value')
    .executeTakeFirstOrThrow()
  const { value: revision } = await tx
    .selectFrom('revision')
    .select('value')
    .executeTakeFirstOrThrow()
  return { term, revision }
}

/** Whether the term still lasts; if so, until this transaction ends at least. */
export async function holdPlacementTerm(tx: Tx, term: number): Promise<boolean> {
  const now = await tx.selectFrom('placementTerm').select('value').forShare().executeTakeFirst()
  return now?.value === term
}

/** A host that may be placed on, and what the sets on it may take. */
export interface HostRoom {
  readonly host: Pick<HostRow, keyof HostFacts | 'reserve'>
  readonly taken: { cpuMillis: number; memoryBytes: number }
}

const hostFields = [
  'id',
  'name',
  'zone',
  'rack',
  'roles',
  'labels',
  'state',
  'cordoned',
  'maintenance',
  'capacity',
  'reserve',
] as const

/**
 * These hosts as the tables know them, kept from changing and from other placements until the transaction ends: one may
 * have been cordoned, or a set on it have grown, since the world was read.
 */
export async function lockRooms(
  tx: Tx,
  ids: readonly HostId[],
): Promise<ReadonlyMap<HostId, HostRoom>> {
  const wanted = [...new Set(ids)]
  if (wanted.length === 0) return new Map()
  const hosts = await tx
    .selectFrom('host')
    .select(hostFields)
    .where('id', '=', sql<HostId>`any(${wanted}::uuid[])`)
    .orderBy('id')
    .forNoKeyUpdate()
    .execute()
  const sums = await tx
    .selectFrom('set')
    .select(({ fn }) => [
      'hostId',
      fn.sum<string>('cpuMillis').as('cpuMillis'),
      fn.sum<string>('memoryBytes').as('memoryBytes'),
    ])
    .where('hostId', '=', sql<HostId>`any(${wanted}::uuid[])`)
    .groupBy('hostId')
    .execute()
  const takenOn = new Map(sums.map((row) => [row.hostId, row]))
  return new Map(
    hosts.map((host) => {
      const taken = takenOn.get(host.id)
      return [
        host.id,
        {
          host,
          taken: {
            cpuMillis: Number(taken?.cpuMillis ?? 0),
            memoryBytes: Number(taken?.memoryBytes ?? 0),
          },
        },
      ]
    }),
  )
}

/** What was decided for a set of this generation; of another one something else may be asked. */
interface Decided {
  readonly id: SetId
  readonly generation: number
  readonly placement: SetPlacement
}

/** Those that still wait for a host, and are what was decided about. Locks rows in the order of their ids. */
const stillWaiting = (decided: readonly Decided[]) => sql`
  select set.id from set join unnest(
    ${decided.map(({ id }) => id)}::uuid[], ${decided.map(({ generation }) => generation)}::integer[]
  ) as d (id, generation) on d.id = set.id and d.generation = set.generation
  where set.host_id is null and set.wanted <> 'removed' order by set.id for no key update of set`

/** Records placements; returns of which sets, see `stillWaiting`. */
export async function placeSets(
  tx: Tx,
  touched: Touched,
  changes: readonly (Decided & { hostId: HostId })[],
): Promise<ReadonlySet<SetId>> {
  if (changes.length === 0) return new Set()
  const { rows } = await sql<{ id: SetId }>`
    with waiting as (${stillWaiting(changes)})
    update set as s set host_id = c.host_id, epoch = s.epoch + 1, placement = c.placement::jsonb, local_generation = null
    from waiting w join unnest(
      ${changes.map(({ id }) => id)}::uuid[],
      ${changes.map(({ hostId }) => hostId)}::uuid[],
      ${jsonLines(changes.map(({ placement }) => JSON.stringify(placement)))}
    ) as c (id, host_id, placement) on c.id = w.id
    where s.id = w.id returning s.id`.execute(tx)
  for (const { id } of rows) touched.touch('set', id)
  return new Set(rows.map(({ id }) => id))
}

/** Why sets wait for a host; returns of which, see `stillWaiting`. */
export async function recordNotPlaced(
  tx: Tx,
  touched: Touched,
  changes: readonly Decided[],
): Promise<ReadonlySet<SetId>> {
  if (changes.length === 0) return new Set()
  const { rows } = await sql<{ id: SetId }>`
    with waiting as (${stillWaiting(changes)})
    update set as s set placement = c.placement::jsonb
    from waiting w join unnest(
      ${changes.map(({ id }) => id)}::uuid[],
      ${jsonLines(changes.map(({ placement }) => JSON.stringify(placement)))}
    ) as c (id, placement) on c.id = w.id
    where s.id = w.id returning s.id`.execute(tx)
  for (const { id } of rows) touched.touch('set', id)
  return new Set(rows.map(({ id }) => id))
}

/**
 * Sets of a host of which nothing runs there any more wait for a place again: these, or, if none are named, everything that
 * the host itself knows to be `elsewhere` (`mayRunElsewhere`). What the host said last no longer counts.
 */
export async function releaseSets(
  tx: Tx,
  touched: Touched,
  change: {
    host: Pick<HostRow, 'id' | 'name'>
    atMs: number
    reason: Reason
    setIds?: readonly SetId[]
  },
): Promise<SetId[]> {
  const { host, atMs, reason, setIds } = change
  const placement: SetPlacement = {
    score: 0,
    decidedAtMs: null,
    reason: { code: reason.code, text: `${reason.text}; waits to be placed` },
    rejected: [],
  }
  const rows = await tx
    .updateTable('set')
    .set({
      hostId: null,
      // What was held for a move is held until it is placed.
      placement: sql`${JSON.stringify(placement)}::jsonb || jsonb_strip_nulls(jsonb_build_object('heldOn', leaving->'toHostId'))`,
      moved: sql`jsonb_build_object('fromHost', ${host.name}::text, 'fromEpoch', epoch, 'atMs', ${atMs}::bigint, 'reason', ${reason.text}::text)`,
      leaving: null,
    })
    .where('hostId', '=', host.id)
    .where((row) =>
      setIds === undefined
        ? row.and([
            row('recovery', '=', 'elsewhere'),
            sql<boolean>`(local_generation is null or exists (
              select from set_found f where f.id = set.id and f.epoch = set.epoch and f.generation > set.local_generation))`,
          ])
        : row('id', '=', sql<SetId>`any(${setIds}::uuid[])`),
    )
    .where('wanted', '!=', 'removed')
    .returning('id')
    .execute()
  const ids = rows.map(({ id }) => id)
  if (ids.length === 0) return ids
  await tx
    .deleteFrom('setFound')
    .where('id', '=', sql<SetId>`any(${ids}::uuid[])`)
    .execute()
  for (const id of ids) {
    touched.touch('set', id)
    touched.touch('setFound', id)
  }
  return ids
}

export interface MovesBegun {
  readonly hostId: HostId
  /** Nothing begins unless it is still open. */
  readonly operationId: OperationId
  readonly moves: readonly Move[]
  readonly reason: string
  readonly atMs: number
}

/** `toHostId`: where room is held for the set. */
export interface Move {
  readonly setId: SetId
  readonly toHostId: HostId | undefined
}

/** Whether it was asked for on the very host that it is on. One that was asked for on another since may move there. */
export function isPinnedHere({ placementRule, hostId }: SetRow): boolean {
  return placementRule.hostId !== null && placementRule.hostId === hostId
}

/**
 * Takes sets out of the slice of their host, which ends them. Sets that left, are removed or were pinned meanwhile are
 * left out. Nothing happens if the host is lost, fenced or takes new sets again, or the operation has ended.
 */
export async function beginMoves(tx: Tx, touched: Touched, begun: MovesBegun): Promise<void> {
  const { hostId, moves, reason, atMs } = begun
  const host = await lockHost(tx, hostId)
  if (host === undefined || !canStop(host) || !host.cordoned) return
  const rows = await lockSets(
    tx,
    moves.map(({ setId }) => setId),
  )
  const operation = await tx
    .selectFrom('operation')
    .select('endedAtMs')
    .where('id', '=', begun.operationId)
    .forShare()
    .executeTakeFirst()
  if (operation?.endedAtMs !== null) return
  const ids = [...rows.values()]
    .filter(
      (row) =>
        row.hostId === hostId && row.wanted !== 'removed' && !isPinnedHere(row) && !isLeaving(row),
    )
    .map(({ id }) => id)
  if (ids.length === 0) return
  // Last of all locks, as for every commit; held from here, so that the next revision is this one's for sure.
  const { value } = await tx
    .selectFrom('revision')
    .select('value')
    .forNoKeyUpdate()
    .executeTakeFirstOrThrow()
  const leaving: SetLeaving = { revision: Number(value) + 1, sinceMs: atMs, reason }
  const targets = new Map(moves.map(({ setId, toHostId }) => [setId, toHostId]))
  await sql`
    update set as s set leaving = c.leaving::jsonb
    from unnest(${ids}::uuid[], ${jsonLines(ids.map((id) => JSON.stringify({ ...leaving, toHostId: targets.get(id) })))})
      as c (id, leaving) where s.id = c.id`.execute(tx)
  for (const id of ids) touched.touch('set', id)
}

/** Rows of sets by id, kept from changing until the transaction ends; those that are gone are left out. */
export async function lockSets(tx: Tx, ids: readonly string[]): Promise<Map<string, SetRow>> {
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

export interface FoundChange {
  readonly hostId: HostId
  readonly found: FoundSet
  readonly sinceMs: number
}

/** What was found of sets whose rows the caller has locked; at most one change of each. */
export async function upsertFound(
  tx: Tx,
  touched: Touched,
  changes: readonly FoundChange[],
): Promise<void> {
  if (changes.length === 0) return
  const rows = changes.map(({ hostId, sinceMs, found }) => ({ ...found, hostId, sinceMs }))
  // One parameter, so that a batch of any size is one statement that the database knows already.
  await sql`
    insert into set_found (id, host_id, epoch, generation, state, progress, reason, containers, since_ms)
    select id, "hostId", epoch, generation, state, progress, reason, containers, "sinceMs"
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r (
      id uuid, "hostId" uuid, epoch integer, generation integer, state text, progress text, reason jsonb,
      containers jsonb, "sinceMs" bigint)
    on conflict (id) do update set
      host_id = excluded.host_id, epoch = excluded.epoch, generation = excluded.generation, state = excluded.state,
      progress = excluded.progress, reason = excluded.reason, containers = excluded.containers,
      since_ms = excluded.since_ms ${withNext}`.execute(tx)
  for (const { found } of changes) touched.touch('setFound', found.id)
}

export async function deleteSets(tx: Tx, touched: Touched, ids: readonly SetId[]): Promise<void> {
  const these = sql<SetId>`any(${ids}::uuid[])`
  await tx.deleteFrom('setFound').where('id', '=', these).modifyEnd(withNext).execute()
  const deleted = await tx
    .deleteFrom('set')
    .where('id', '=', these)
    .returning(['projectId', 'cpuMillis', 'memoryBytes'])
    .execute()
  for (const { projectId, cpuMillis, memoryBytes } of deleted)
    touched.use(projectId, { instances: -1, cpuMillis: -cpuMillis, memoryBytes: -memoryBytes })
  for (const id of ids) {
    touched.touch('setFound', id)
    touched.touch('set', id)
  }
}
