import { isPlatformError, unreachable, type Clock, type HostId } from '@nubo/base'
import type { FoundSet } from '@nubo/contracts/host'
import { Batcher, type Log } from '@nubo/runtime'
import {
  isLeaving,
  type Recorder,
  type SetFoundRow,
  type SetRow,
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
import { removeSetRows } from './removal.ts'
import { lockSets, releaseSets, sessionsOf, upsertFound } from './store.ts'

export interface ReportDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly clock: Clock
  readonly log: Log
}

/** What a host said in one piece. */
export interface HostReport {
  readonly sets: readonly FoundSet[]
  /** Sets that are not `mentioned` do not exist on the host. */
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
  readonly found: FoundSet
}

/** Of one transaction. Locks are held for as long as it lasts, and whoever reports waits for it. */
const REPORTS_PER_COMMIT_MAX = 256
/** What is told is at most so much older for it, and only where others tell at the same time. */
const PAUSE = { perItemMs: 5, mostMs: 50 }

/**
 * Takes what hosts say about their sets: found state, ends of operations, ends of removals. Reports that come while
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
 * All of it in one transaction. Only the host that a set is placed on, at its present epoch, is believed. Idempotent.
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
    const rows = await lockSets(tx, [...news.keys()])
    // Looked at behind the locks: what a later session says of these sets is recorded after this, or its arrival is seen here.
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

function newsOf(deps: ReportDeps, hostId: HostId, report: HostReport): FoundSet[] {
  const { world } = deps
  const said = report.sets.filter((found) => isBelieved(deps, hostId, found))
  const gone = report.full ? unmentioned(world, hostId, report.mentioned) : []
  return [...said, ...gone].filter((found) => isNews(world, found))
}

function isBelieved({ world, log }: ReportDeps, hostId: HostId, found: FoundSet): boolean {
  const set = world.set.get(found.id)
  if (set === undefined) return false
  if (set.hostId === hostId && set.epoch === found.epoch) return true
  log.warn('a host reports a set that is placed elsewhere', {
    hostId,
    setId: found.id,
    epoch: found.epoch,
    current: set.epoch,
  })
  return false
}

/** A full report that leaves a set out says that nothing of it exists; the host will act on it if it should. */
function unmentioned(world: World, hostId: HostId, mentioned: ReadonlySet<string>): FoundSet[] {
  return world.set
    .by('host', hostId)
    .filter(
      (set) =>
        !mentioned.has(set.id) &&
        // Its end is a word of its own: what is not here yet may still be on its way to the host.
        (set.wanted === 'removed' || !isLeaving(set)) &&
        (set.wanted === 'removed' || world.setFound.get(set.id)?.epoch === set.epoch),
    )
    .map((set) => ({
      id: set.id,
      epoch: set.epoch,
      // A host that does not have it has done with a removal, and not begun with anything else.
      generation: set.wanted === 'removed' ? set.generation : 0,
      state: set.wanted === 'removed' ? ('absent' as const) : ('pending' as const),
      progress: '',
      reason: null,
      containers: [],
    }))
}

function isNews(world: World, found: FoundSet): boolean {
  const before = world.setFound.get(found.id)
  return (
    before === undefined || JSON.stringify(comparable(before)) !== JSON.stringify(comparable(found))
  )
}

function comparable(found: FoundSet | SetFoundRow): unknown[] {
  const { epoch, generation, state, progress, reason, containers } = found
  return [
    epoch,
    generation,
    state,
    progress,
    reason?.code,
    reason?.text,
    containers.map((one) => [
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
  const setIds = news.map(({ found }) => found.id as SetRow['id'])
  // Asked of the record, because the news of the removal's operation may not have come here yet.
  await endOperationsOf(tx, touched, { resourceIds: setIds, progress: 'removed', atMs: nowMs })
  await removeSetRows(tx, touched, { setIds, nowMs })
}

/** Moves of which the first half is done: nothing is left here, so from now on they wait for a place elsewhere. */
async function recordFreed(
  { world, clock }: ReportDeps,
  { tx, touched, news }: Writing,
  rows: ReadonlyMap<string, SetRow>,
): Promise<void> {
  const freed = Map.groupBy(
    news.flatMap(({ found }) => rows.get(found.id) ?? []),
    ({ hostId, leaving }) => `${hostId} ${leaving?.reason}`,
  )
  for (const sets of freed.values()) {
    const [first] = sets
    const host = world.host.get(first?.hostId)
    if (first === undefined || host === undefined) continue
    const reason = first.leaving?.reason ?? `it left host ${host.name}`
    await releaseSets(tx, touched, {
      host,
      atMs: clock.nowMs(),
      reason: { code: 'HOST_DRAINED', text: reason },
      setIds: sets.map(({ id }) => id),
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
      const before = world.setFound.get(found.id)
      const isSameState = before?.state === found.state && before.epoch === found.epoch
      return { hostId, found, sinceMs: isSameState ? before.sinceMs : nowMs }
    }),
  )
}

function operationChanges(
  world: World,
  found: FoundSet,
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
