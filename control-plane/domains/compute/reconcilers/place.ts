import { sleep, type Clock, type HostId } from '@nubo/base'
import type {
  HostRow,
  OperationRow,
  Recorder,
  SetPlacement,
  SetRow,
  Touched,
  Tx,
  World,
} from '../../../world/index.ts'
import { endOperation, progressOperation } from '../../operations/index.ts'
import {
  choose,
  groupOf,
  rejection,
  type Overcommit,
  type PlacementAsked,
  type PlacementHost,
  type RejectedHost,
} from '../../placement/index.ts'
import { lockRooms, placeSet, recordNotPlaced, type HostRoom } from '../store.ts'

const BATCH_MAX = 256

export interface PlaceDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly clock: Clock
  readonly overcommit: Overcommit
}

type Decision = { set: SetRow; hostId: HostId | null; placement: SetPlacement }

/**
 * Places every set that waits for a host, in order of age, and says of the others why they wait. Sets that fit nowhere
 * do not hold up those behind them. Runs on the leader only, so that no two processes spend the same room; where
 * leadership has just changed hands, the rows of the hosts decide.
 */
export async function placeSets(deps: PlaceDeps): Promise<void> {
  const { world, clock, recorder } = deps
  const waiting = waitingSets(world)
  if (waiting.length === 0) return
  const chooser = new Chooser(deps)
  for (let from = 0; from < waiting.length; from += BATCH_MAX) {
    const decisions = waiting
      .slice(from, from + BATCH_MAX)
      .filter((set) => world.set.get(set.id) === set)
      .map((set) => chooser.decide(set))
      .filter((decision) => isNews(world, decision))
    if (decisions.length > 0)
      await recorder.write((tx, touched) => recordAll(deps, { tx, touched, decisions }))
    // Thousands that all wait as before are decided without a pause; others want to run too.
    else if (from + BATCH_MAX < waiting.length) await sleep(clock, 0)
  }
}

export interface PlacementPreview {
  readonly hostId: HostId | null
  readonly placement: SetPlacement
}

/** The choices that a pass would make for these sets, each after the one before; nothing is recorded. */
export function previewPlacement(
  deps: Pick<PlaceDeps, 'world' | 'clock' | 'overcommit'>,
  sets: readonly SetRow[],
): PlacementPreview[] {
  const chooser = new Chooser(deps)
  return sets.map((set) => chooser.decide(set))
}

/** The oldest first. */
function waitingSets(world: World): SetRow[] {
  return world.set
    .by('unplaced', 'yes')
    .filter((set) => set.wanted !== 'removed')
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))
}

/** The choices of one pass; each takes its room before the next is made. */
class Chooser {
  readonly #deps: Pick<PlaceDeps, 'world' | 'clock' | 'overcommit'>
  readonly #ledger: ReadonlyMap<HostId, HostLedger>
  /** What was asked in vain. Room only shrinks in a pass, so the same is not looked for again. */
  readonly #hopeless = new Map<string, Decision['placement']>()

  constructor(deps: Pick<PlaceDeps, 'world' | 'clock' | 'overcommit'>) {
    this.#deps = deps
    this.#ledger = new Map(
      [...deps.world.host.values()].map((host) => [host.id, new HostLedger(deps.world, host.id)]),
    )
  }

  decide(set: SetRow): Decision {
    const { world, clock, overcommit } = this.#deps
    const asked = askedBy(set)
    const key = JSON.stringify([asked.hostId, asked.hostLabels, asked.cpuMillis, asked.memoryBytes])
    const known = this.#hopeless.get(key)
    if (known !== undefined) return { set, hostId: null, placement: known }
    const digests = set.containers.map((container) => container.image.digest)
    const group = `${set.projectId}/${groupOf(set)}`
    const hosts = [...this.#ledger].flatMap(([id, entry]) => {
      const host = world.host.get(id)
      return host === undefined ? [] : [entry.asHost(host, { group, digests })]
    })
    const choice = choose(asked, hosts, overcommit)
    if (!choice.found) {
      const placement = notPlaced(choice.rejected)
      this.#hopeless.set(key, placement)
      return { set, hostId: null, placement }
    }
    this.#ledger.get(choice.hostId)?.take(set, group)
    return {
      set,
      hostId: choice.hostId,
      placement: {
        score: choice.score,
        decidedAtMs: clock.nowMs(),
        reason: null,
        rejected: choice.rejected,
      },
    }
  }
}

function askedBy(set: SetRow): PlacementAsked {
  return { ...set.placementRule, cpuMillis: set.cpuMillis, memoryBytes: set.memoryBytes }
}

function notPlaced(rejected: readonly RejectedHost[]): SetPlacement {
  const why = rejected.map((one) => `${one.host}: ${one.reason}`).join('; ')
  const text = `no host can take it${why === '' ? ': there are no hosts' : ` (${why})`}`
  return {
    score: 0,
    decidedAtMs: null,
    reason: { code: 'NOT_PLACED', text: text.slice(0, 1_900) },
    rejected,
  }
}

/** What is taken on one host, kept up while a batch is decided. */
class HostLedger {
  readonly #groups = new Map<string, number>()
  readonly #digests = new Set<string>()
  #cpuMillis = 0
  #memoryBytes = 0

  constructor(world: World, hostId: HostId) {
    for (const set of world.set.by('host', hostId))
      this.take(set, `${set.projectId}/${groupOf(set)}`)
  }

  take(set: SetRow, group: string): void {
    this.#cpuMillis += set.cpuMillis
    this.#memoryBytes += set.memoryBytes
    this.#groups.set(group, (this.#groups.get(group) ?? 0) + 1)
    for (const container of set.containers) this.#digests.add(container.image.digest)
  }

  asHost(host: HostRow, asked: { group: string; digests: readonly string[] }): PlacementHost {
    return {
      ...withoutSets(host),
      allocated: { cpuMillis: this.#cpuMillis, memoryBytes: this.#memoryBytes },
      groupMembers: this.#groups.get(asked.group) ?? 0,
      hasImages: asked.digests.every((digest) => this.#digests.has(digest)),
    }
  }
}

function withoutSets(
  host: HostRow,
): Omit<PlacementHost, 'allocated' | 'groupMembers' | 'hasImages'> {
  const { id, name, rack, zone, roles, labels, state, cordoned, capacity, reserve } = host
  return {
    id,
    name,
    rack,
    zone,
    roles,
    labels,
    state,
    cordoned,
    capacity:
      capacity === null
        ? null
        : {
            cpuMillis: capacity.cpuMillis - (reserve?.cpuMillis ?? 0),
            memoryBytes: capacity.memoryBytes - (reserve?.memoryBytes ?? 0),
          },
  }
}

/** A set that waits for the same reason as before writes nothing, unless somebody asked since and waits for an answer. */
function isNews(world: World, { set, hostId, placement }: Decision): boolean {
  return (
    hostId !== null ||
    whyNot(set.placement) !== whyNot(placement) ||
    openOperations(world, set).length > 0
  )
}

/** Without numbers: what is free changes with every placement, and thousands may wait that would all be written anew. */
function whyNot(placement: SetPlacement | null): string | undefined {
  if (placement === null || placement.reason === null) return undefined
  return placement.rejected
    .map(({ host, reason }) => `${host}: ${reason.replaceAll(/\d+(\.\d+)?/g, '#')}`)
    .join()
}

function openOperations(world: World, set: SetRow): OperationRow[] {
  return world.operation.by('resource', set.id).filter((operation) => operation.endedAtMs === null)
}

async function recordAll(
  deps: PlaceDeps,
  { tx, touched, decisions }: { tx: Tx; touched: Touched; decisions: readonly Decision[] },
): Promise<void> {
  const rooms = await lockRooms(
    tx,
    decisions.flatMap(({ hostId }) => (hostId === null ? [] : [hostId])),
  )
  for (const decision of decisions) {
    const room = decision.hostId === null ? undefined : rooms.get(decision.hostId)
    // Cordoned, gone or filled by another process meanwhile: the set waits for the next pass, which knows more.
    if (decision.hostId !== null && !takeRoom(room, decision.set, deps.overcommit)) continue
    await record(deps, { tx, touched, decision })
  }
}

function takeRoom(room: HostRoom | undefined, set: SetRow, overcommit: Overcommit): boolean {
  if (room === undefined) return false
  const host = {
    ...withoutSets(room.host),
    allocated: room.taken,
    groupMembers: 0,
    hasImages: false,
  }
  if (rejection(askedBy(set), host, overcommit) !== undefined) return false
  room.taken.cpuMillis += set.cpuMillis
  room.taken.memoryBytes += set.memoryBytes
  return true
}

async function record(
  { world, clock }: PlaceDeps,
  { tx, touched, decision }: { tx: Tx; touched: Touched; decision: Decision },
): Promise<void> {
  const { set, hostId, placement } = decision
  const open = openOperations(world, set)
  if (hostId === null) {
    await recordNotPlaced(tx, touched, { id: set.id, placement })
    for (const operation of open)
      await failNotPlaced(tx, touched, { operation, placement, atMs: clock.nowMs() })
    return
  }
  if (!(await placeSet(tx, touched, { id: set.id, hostId, placement }))) return
  const progress = `placed on ${world.host.get(hostId)?.name ?? hostId}`
  for (const operation of open) {
    await progressOperation(tx, touched, {
      id: operation.id,
      progress,
      reason: null,
      atMs: clock.nowMs(),
    })
  }
}

async function failNotPlaced(
  tx: Tx,
  touched: Touched,
  change: { operation: OperationRow; placement: SetPlacement; atMs: number },
): Promise<void> {
  const text = change.placement.reason?.text ?? ''
  await endOperation(tx, touched, {
    id: change.operation.id,
    state: 'failed',
    reason: { code: 'NOT_PLACED', text: `${text}; it is placed as soon as a host has room` },
    progress: 'not placed',
    atMs: change.atMs,
  })
}
