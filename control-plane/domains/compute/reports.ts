import { isPlatformError, unreachable, type Clock, type HostId } from '@nubo/base'
import type { FoundInstance } from '@nubo/contracts/host'
import { Batcher, type Log } from '@nubo/runtime'
import {
  foundOf,
  instancesBy,
  isLeaving,
  kindOf,
  type InstanceRow,
  type Recorder,
  type SetFoundRow,
  type VmFoundRow,
  type Touched,
  type Tx,
  type World,
} from '../../world/index.ts'
import {
  changeOperations,
  endOperationsOf,
  type OperationEnd,
  type OperationProgress,
} from '../operations/index.ts'
import { outcomeOf } from './outcome.ts'
import { removeRows } from './removal.ts'
import { lockInstances, releaseInstances, sessionsOf, upsertFound } from './store.ts'

export interface ReportDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly clock: Clock
  readonly log: Log
}

/** What a host said in one piece. */
export interface HostReport {
  readonly instances: readonly FoundInstance[]
  /** What is not `mentioned` does not exist on the host. */
  readonly full: boolean
  /** Everything that it spoke of, also what was refused. */
  readonly mentioned: ReadonlySet<string>
  /** The session in which it was said; nothing is recorded of an earlier one. Absent: whichever it was. */
  readonly sessionId?: string | undefined
}

export interface ReportOfHost {
  readonly hostId: HostId
  readonly report: HostReport
}

interface News {
  readonly hostId: HostId
  readonly sessionId: string | undefined
  readonly found: FoundInstance
}

/** Of one transaction. Locks are held for as long as it lasts, and whoever reports waits for it. */
const REPORTS_PER_COMMIT_MAX = 256
/** What is told is at most so much older for it, and only where others tell at the same time. */
const PAUSE = { perItemMs: 5, mostMs: 50 }

/**
 * Takes what hosts say about their instances: found state, ends of operations, ends of removals. Reports that come while
 * others are being recorded go together in one transaction, since commits are what the region has fewest of. One that
 * fails alone fails only its own host.
 */
export function createFoundRecorder(
  deps: ReportDeps,
): (hostId: HostId, report: HostReport) => Promise<void> {
  const batcher = new Batcher<ReportOfHost>({
    itemsMax: REPORTS_PER_COMMIT_MAX,
    run: (reports) => recordReports(deps, reports),
    // Without its database each would fail in the same way, one after the other.
    isWorthSplitting: (error) => !isPlatformError(error) || error.kind !== 'unavailable',
    pause: { clock: deps.clock, ...PAUSE },
  })
  return (hostId, report) => batcher.add({ hostId, report })
}

/**
 * All of it in one transaction. Only the host that an instance is placed on, at its present epoch, is believed. Idempotent.
 */
export async function recordReports(
  deps: ReportDeps,
  reports: readonly ReportOfHost[],
): Promise<void> {
  const news = new Map<string, News>()
  for (const { hostId, report } of reports)
    for (const found of newsOf(deps, hostId, report))
      news.set(found.id, { hostId, sessionId: report.sessionId, found })
  if (news.size === 0) return
  await deps.recorder.write(async (tx, touched) => {
    // The world may be a moment behind: the rows decide.
    const rows = await lockInstances(
      tx,
      [...news.values()].map(({ found }) => found),
    )
    // Looked at behind the locks: what a later session says of these is recorded after this, or its arrival is seen here.
    const hostIds = [...news.values()].flatMap(({ hostId, sessionId }) =>
      sessionId === undefined ? [] : [hostId],
    )
    const sessions = await sessionsOf(tx, hostIds)
    const placed = [...news.values()].filter(({ hostId, sessionId, found }) => {
      const row = rows.get(found.id)
      if (sessionId !== undefined && sessions.get(hostId) !== sessionId) return false
      return row?.hostId === hostId && row.epoch === found.epoch
    })
    const isGone = ({ found }: News): boolean =>
      found.state === 'absent' && rows.get(found.id)?.wanted === 'removed'
    const left = placed.filter((one) => !isGone(one))
    const isFreed = ({ found }: News): boolean => {
      const row = rows.get(found.id)
      return found.state === 'absent' && row !== undefined && isLeaving(row)
    }
    await recordGone(deps, { tx, touched, news: placed.filter(isGone) })
    await recordFreed(deps, { tx, touched, news: left.filter(isFreed) }, rows)
    await recordPresent(deps, { tx, touched, news: left.filter((one) => !isFreed(one)) })
  })
}

function newsOf(deps: ReportDeps, hostId: HostId, report: HostReport): FoundInstance[] {
  const { world } = deps
  const said = report.instances.filter((found) => isBelieved(deps, hostId, found))
  const gone = report.full ? unmentioned(world, hostId, report.mentioned) : []
  return [...said, ...gone].filter((found) => isNews(world, found))
}

function isBelieved({ world, log }: ReportDeps, hostId: HostId, found: FoundInstance): boolean {
  const row = world[found.kind].get(found.id)
  if (row === undefined) return false
  if (row.hostId === hostId && row.epoch === found.epoch) return true
  log.warn('a host reports an instance that is placed elsewhere', {
    hostId,
    id: found.id,
    epoch: found.epoch,
    current: row.epoch,
  })
  return false
}

/** A full report that leaves something out says that nothing of it exists; the host will act on it if it should. */
function unmentioned(
  world: World,
  hostId: HostId,
  mentioned: ReadonlySet<string>,
): FoundInstance[] {
  return instancesBy(world, 'host', hostId)
    .filter(
      (row) =>
        !mentioned.has(row.id) &&
        // Its end is a word of its own: what is not here yet may still be on its way to the host.
        (row.wanted === 'removed' || !isLeaving(row)) &&
        (row.wanted === 'removed' || foundOf(world, row)?.epoch === row.epoch),
    )
    .map((row) =>
      row.wanted === 'removed'
        ? nothingOf(row, { state: 'absent', generation: row.generation })
        : nothingOf(row, { state: 'pending', generation: 0 }),
    )
}

/**
 * What a host says of an instance of which it has nothing. `generation`: one that does not have it has done with a removal
 * (the present one), and not begun with anything else (0).
 */
export function nothingOf(
  row: InstanceRow,
  { state, generation }: { state: 'absent' | 'pending'; generation: number },
): FoundInstance {
  const { id, epoch } = row
  const common = { id, epoch, generation, state, progress: '', reason: null }
  return kindOf(row) === 'set'
    ? { ...common, kind: 'set', containers: [] }
    : { ...common, kind: 'vm', machine: null, restarts: 0 }
}

function isNews(world: World, found: FoundInstance): boolean {
  const before = (found.kind === 'set' ? world.setFound : world.vmFound).get(found.id)
  return (
    before === undefined || JSON.stringify(comparable(before)) !== JSON.stringify(comparable(found))
  )
}

function comparable(found: FoundInstance | SetFoundRow | VmFoundRow): unknown[] {
  const { epoch, generation, state, progress, reason } = found
  const common = [epoch, generation, state, progress, reason?.code, reason?.text]
  if (!('containers' in found)) {
    const { machine, restarts } = found
    const { accelerator, cpus, memoryBytes, startedAtMs } = machine ?? {}
    return [...common, restarts, accelerator, cpus, memoryBytes, startedAtMs]
  }
  return [
    ...common,
    found.containers.map((one) => [
      one.name,
      one.state,
      one.restarts,
      one.exitCode,
      one.health,
      one.reason?.code,
      one.reason?.text,
      one.startedAtMs,
    ]),
  ]
}

interface Writing {
  readonly tx: Tx
  readonly touched: Touched
  readonly news: readonly News[]
}

/** Removals that have come to their end. */
async function recordGone(deps: ReportDeps, { tx, touched, news }: Writing): Promise<void> {
  if (news.length === 0) return
  const nowMs = deps.clock.nowMs()
  // proof: these are ids of rows that the caller has locked
  const refs = news.map(({ found: { id, kind } }) => ({ id: id as InstanceRow['id'], kind }))
  const resourceIds = refs.map(({ id }) => id)
  // Asked of the record, because the news of the removal's operation may not have come here yet.
  await endOperationsOf(tx, touched, { resourceIds, progress: 'removed', atMs: nowMs })
  await removeRows(tx, touched, { refs, nowMs })
}

/** Moves of which the first half is done: nothing is left here, so from now on they wait for a place elsewhere. */
async function recordFreed(
  { world, clock }: ReportDeps,
  { tx, touched, news }: Writing,
  rows: ReadonlyMap<string, InstanceRow>,
): Promise<void> {
  const freed = Map.groupBy(
    news.flatMap(({ found }) => rows.get(found.id) ?? []),
    ({ hostId, leaving }) => `${hostId} ${leaving?.reason}`,
  )
  for (const rowsOfOne of freed.values()) {
    const [first] = rowsOfOne
    const host = world.host.get(first?.hostId)
    if (first === undefined || host === undefined) continue
    const reason = first.leaving?.reason ?? `it left host ${host.name}`
    await releaseInstances(tx, touched, {
      host,
      atMs: clock.nowMs(),
      reason: { code: 'HOST_DRAINED', text: reason },
      ids: rowsOfOne.map(({ id }) => id),
    })
  }
}

async function recordPresent(deps: ReportDeps, { tx, touched, news }: Writing): Promise<void> {
  const { world, clock } = deps
  const nowMs = clock.nowMs()
  await changeOperations(
    tx,
    touched,
    news.flatMap(({ found }) => operationChanges(world, found, nowMs)),
  )
  await upsertFound(
    tx,
    touched,
    news.map(({ hostId, found }) => {
      const before = (found.kind === 'set' ? world.setFound : world.vmFound).get(found.id)
      const isSameState = before?.state === found.state && before.epoch === found.epoch
      return { hostId, found, sinceMs: isSameState ? before.sinceMs : nowMs }
    }),
  )
}

function operationChanges(
  world: World,
  found: FoundInstance,
  atMs: number,
): (OperationProgress | OperationEnd)[] {
  return world.operation
    .by('resource', found.id)
    .filter((operation) => operation.endedAtMs === null)
    .flatMap((operation): (OperationProgress | OperationEnd)[] => {
      const outcome = outcomeOf(operation, found)
      const { id } = operation
      switch (outcome.at) {
        case 'unrelated':
          return []
        case 'progress': {
          const { progress, reason } = outcome
          const isSame = operation.progress === progress && operation.reason?.text === reason?.text
          return isSame ? [] : [{ id, state: 'running', progress, reason, atMs }]
        }
        case 'done':
          return [{ id, state: 'done', reason: null, progress: outcome.progress, atMs }]
        case 'failed':
          return [{ id, state: 'failed', reason: outcome.reason, progress: outcome.progress, atMs }]
        default:
          return unreachable(outcome)
      }
    })
}
