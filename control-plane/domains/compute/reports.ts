import type { Clock, HostId } from '@nubo/base'
import type { FoundSet } from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime'
import type { Recorder, SetFoundRow, SetRow, Touched, Tx, World } from '../../world/index.ts'
import { portsOfSet } from '../network/index.ts'
import { endOperation, endOperationsOf, progressOperation } from '../operations/index.ts'
import { outcomeOf } from './outcome.ts'
import { removeSetRows } from './removal.ts'
import { lockPlacedSet, upsertFound } from './store.ts'

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
}

/**
 * Takes what a host says about its sets: found state, ends of operations, ends of removals, in one transaction.
 * Only the host that a set is placed on, at its present epoch, is believed. Idempotent.
 */
export async function recordFound(
  deps: ReportDeps,
  hostId: HostId,
  report: HostReport,
): Promise<void> {
  const { world, recorder } = deps
  const said = report.sets.filter((found) => isBelieved(deps, hostId, found))
  const gone = report.full ? unmentioned(world, hostId, report.mentioned) : []
  const news = [...said, ...gone].filter((found) => isNews(world, found))
  if (news.length === 0) return
  await recorder.write(async (tx, touched) => {
    for (const found of news) {
      // The world may be a moment behind: the row decides.
      const set = await lockPlacedSet(tx, { id: found.id, hostId, epoch: found.epoch })
      if (set !== undefined) await recordOne(deps, { tx, touched, hostId, set, found })
    }
  })
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

async function recordOne(
  deps: ReportDeps,
  change: { tx: Tx; touched: Touched; hostId: HostId; set: SetRow; found: FoundSet },
): Promise<void> {
  const { tx, touched, hostId, set, found } = change
  const nowMs = deps.clock.nowMs()
  if (set.wanted === 'removed' && found.state === 'absent') {
    // Asked of the record, because the news of the removal's operation may not have come here yet.
    await endOperationsOf(tx, touched, { resourceId: set.id, progress: 'removed', atMs: nowMs })
    const ports = await portsOfSet(tx, set.id)
    await removeSetRows(tx, touched, { set, ports, nowMs })
    return
  }
  await settleOperations(deps, { tx, touched, found, nowMs })
  const before = deps.world.setFound.get(set.id)
  const isSameState = before?.state === found.state && before.epoch === found.epoch
  await upsertFound(tx, touched, { hostId, found, sinceMs: isSameState ? before.sinceMs : nowMs })
}

async function settleOperations(
  { world }: ReportDeps,
  { tx, touched, found, nowMs }: { tx: Tx; touched: Touched; found: FoundSet; nowMs: number },
): Promise<void> {
  for (const operation of world.operation.by('resource', found.id)) {
    if (operation.endedAtMs !== null) continue
    const outcome = outcomeOf(operation, found)
    switch (outcome.at) {
      case 'unrelated':
        break
      case 'progress':
        if (
          operation.progress !== outcome.progress ||
          operation.reason?.text !== outcome.reason?.text
        ) {
          await progressOperation(tx, touched, {
            id: operation.id,
            progress: outcome.progress,
            reason: outcome.reason,
            atMs: nowMs,
          })
        }
        break
      case 'done':
      case 'failed':
        await endOperation(tx, touched, {
          id: operation.id,
          state: outcome.at,
          reason: outcome.at === 'failed' ? outcome.reason : null,
          progress: outcome.progress,
          atMs: nowMs,
        })
    }
  }
}
