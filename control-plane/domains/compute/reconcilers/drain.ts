import type { Clock, HostId, Random } from '@nubo/base'
import {
  instanceOf,
  instancesBy,
  isLeaving,
  kindOf,
  type HostRow,
  type InstanceRow,
  type OperationRow,
  type Recorder,
  type World,
} from '../../../world/index.ts'
import { endOperation, progressOperation } from '../../operations/index.ts'
import type { WorldLedger } from '../../placement/index.ts'
import { decideDrain, drainKinds, type DrainSet, type DrainStep } from '../drain.ts'
import { beginMoves, isPinnedHere, type Move } from '../store.ts'
import { previewMoves } from './place.ts'

export interface DrainLimits {
  /** So many sets of one host are under way at a time, and so many of all hosts. */
  readonly movesPerHost: number
  readonly movesPerRegion: number
}
export const DRAIN_LIMITS_DEFAULT: DrainLimits = { movesPerHost: 4, movesPerRegion: 16 }

export interface DrainDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly clock: Clock
  readonly random: Random
  readonly ledger: WorldLedger
  readonly limits: DrainLimits
}

interface Drain {
  readonly operation: OperationRow
  readonly host: HostRow
  /** Still on the host, in the order in which they are to move. */
  readonly here: readonly InstanceRow[]
  /** Have left it, and are on no other yet. */
  readonly placing: readonly InstanceRow[]
}

const PROGRESS_CHARACTERS_MAX = 500
/** One server recorded the beginning, another the end of a move. */
const CLOCKS_APART_MAX_MS = 60_000

/**
 * Moves sets away from hosts that are drained. All that it knows is in rows, so whoever leads goes on with it; a move
 * that has begun ends without it, by the word of the host (`reports.ts`) and by placing.
 */
export async function drainHosts(deps: DrainDeps): Promise<void> {
  const { world, recorder, clock, limits } = deps
  const drains = openDrains(world)
  if (drains.length === 0) return
  const rooms = roomsFor(deps, drains)
  let free = limits.movesPerRegion - drains.reduce((sum, drain) => sum + underWay(drain), 0)
  for (const { operation, host, here, placing } of drains) {
    const slots = Math.min(free, limits.movesPerHost - underWay({ here, placing }))
    const nowMs = clock.nowMs()
    const action = decideDrain({
      host,
      isMaintenance: operation.kind === 'host.maintenance',
      total: host.drain?.sets ?? here.length,
      slots,
      nowMs,
      sets: [...here, ...placing].map((set) => drainSet(set, rooms.get(set.id)?.text)),
    })
    const progress = action.progress.slice(0, PROGRESS_CHARACTERS_MAX)
    const { id } = operation
    if (action.do === 'end') {
      const { state, reason } = action
      await recorder.write((tx, touched) =>
        endOperation(tx, touched, { id, state, reason, progress, atMs: nowMs }),
      )
      continue
    }
    free -= action.begin.length
    if (action.begin.length === 0 && progress === operation.progress) continue
    const moves = action.begin.flatMap((rowId): Move[] => {
      const row = instanceOf(world, rowId)
      if (row === undefined) return []
      return [{ id: row.id, kind: kindOf(row), toHostId: rooms.get(rowId)?.hostId }]
    })
    await holding(deps, moves, () =>
      recorder.write(async (tx, touched) => {
        if (moves.length > 0)
          await beginMoves(tx, touched, {
            hostId: host.id,
            operationId: id,
            moves,
            reason: `host ${host.name} is drained`,
            atMs: nowMs,
          })
        await progressOperation(tx, touched, { id, progress, reason: null, atMs: nowMs })
      }),
    )
  }
}

/** From the choice on, so that the placer gives the room to nobody while the choice is being recorded. */
async function holding(
  { world, ledger }: DrainDeps,
  moves: readonly Move[],
  work: () => Promise<void>,
): Promise<void> {
  for (const { id, toHostId } of moves) {
    const row = instanceOf(world, id)
    if (row !== undefined && toHostId !== undefined) ledger.hold(row, toHostId)
  }
  try {
    await work()
  } finally {
    for (const { id } of moves) ledger.sync(id)
  }
}

function openDrains(world: World): Drain[] {
  const operations = drainKinds.flatMap((kind) => world.operation.by('open', kind))
  if (operations.length === 0) return []
  const unplaced = instancesBy(world, 'unplaced', 'yes').filter(
    ({ wanted }) => wanted !== 'removed',
  )
  return operations.flatMap((operation) => {
    const host = world.host.get(operation.resourceId)
    // A newer one has taken over, or the host is gone: its operation ends by its deadline at the latest.
    if (host === undefined || host.drain?.operationId !== operation.id) return []
    const here = instancesBy(world, 'host', host.id)
      .filter(({ wanted }) => wanted !== 'removed')
      .toSorted(byPriority)
    const placing = unplaced.filter(
      ({ moved }) =>
        moved?.fromHost === host.name && moved.atMs >= operation.createdAtMs - CLOCKS_APART_MAX_MS,
    )
    return [{ operation, host, here, placing }]
  })
}

function byPriority(a: InstanceRow, b: InstanceRow): number {
  return b.priority - a.priority || (a.id < b.id ? -1 : 1)
}

function underWay({ here, placing }: Pick<Drain, 'here' | 'placing'>): number {
  return here.filter(isLeaving).length + placing.filter((set) => refusedText(set) === null).length
}

/** Where there is room for a set, or why there is none. */
interface Room {
  readonly hostId: HostId | undefined
  readonly text: string | null
}

/** What is under way comes first: its room is no longer free. */
function roomsFor(deps: DrainDeps, drains: readonly Drain[]): ReadonlyMap<string, Room> {
  const moving = drains.flatMap(({ here, placing }) => [...here.filter(isLeaving), ...placing])
  const waiting = drains
    .flatMap(({ here }) => here.filter((set) => mayMove(set)))
    .toSorted(byPriority)
  const previews = previewMoves(deps, [...moving, ...waiting])
  return new Map(
    previews.map(({ set, hostId, placement }) => [
      set.id,
      hostId === null
        ? { hostId: undefined, text: placement.reason?.text ?? 'no host can take it' }
        : { hostId, text: null },
    ]),
  )
}

function mayMove(set: InstanceRow): boolean {
  return !isLeaving(set) && !isPinnedHere(set)
}

function drainSet(set: InstanceRow, room: string | null | undefined): DrainSet {
  const { id, name, recovery } = set
  return { id, name, recovery, at: stepOf(set, room) }
}

function stepOf(set: InstanceRow, room: string | null | undefined): DrainStep {
  const { leaving } = set
  if (set.hostId === null) return { step: 'placing', refused: refusedText(set) }
  if (isLeaving(set) && leaving !== null)
    return { step: 'stopping', sinceMs: leaving.sinceMs, killedAfterMs: killedAfterMs(set) }
  if (!mayMove(set)) return { step: 'pinned' }
  return typeof room === 'string' ? { step: 'no-room', text: room } : { step: 'may-move' }
}

/** Why the placer found no host, once it has looked. */
function refusedText({ placement }: InstanceRow): string | null {
  const reason = placement?.reason ?? null
  return reason?.code === 'NOT_PLACED' ? reason.text : null
}

function killedAfterMs(row: InstanceRow): number {
  if (!('containers' in row)) return row.machine.stopTimeoutMs
  return Math.max(...row.containers.map(({ stopTimeoutMs }) => stopTimeoutMs))
}
