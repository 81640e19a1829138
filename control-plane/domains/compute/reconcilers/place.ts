import type { Clock, HostId } from '@nubo/base'
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
import { choose, groupOf, type Overcommit, type PlacementHost } from '../../placement/index.ts'
import { placeSet, recordNotPlaced } from '../store.ts'

const BATCH_MAX = 256

export interface PlaceDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly clock: Clock
  readonly overcommit: Overcommit
}

type Decision = { set: SetRow; hostId: HostId | null; placement: SetPlacement }

/**
 * Places every set that waits for a host, in order of age, and says of the others why they wait.
 * Runs on the leader only, so that no two processes spend the same room; the row decides in the end.
 * Returns whether more may be waiting.
 */
export async function placeSets(deps: PlaceDeps): Promise<boolean> {
  const { world } = deps
  const waiting = world.set
    .by('unplaced', 'yes')
    .filter((set) => set.wanted !== 'removed')
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const batch = waiting.slice(0, BATCH_MAX)
  if (batch.length === 0) return false
  const decisions = decide(deps, batch).filter((decision) => isNews(world, decision))
  if (decisions.length > 0) {
    await deps.recorder.write(async (tx, touched) => {
      for (const decision of decisions) await record(deps, { tx, touched, decision })
    })
  }
  return waiting.length > batch.length && decisions.some((decision) => decision.hostId !== null)
}

/** One pass over a batch; each choice takes its room before the next is made. */
function decide({ world, clock, overcommit }: PlaceDeps, batch: readonly SetRow[]): Decision[] {
  const ledger = new Map(
    [...world.host.values()].map((host) => [host.id, new HostLedger(world, host)]),
  )
  return batch.map((set): Decision => {
    const digests = set.containers.map((container) => container.image.digest)
    const group = `${set.projectId}/${groupOf(set)}`
    const hosts = [...ledger.values()].map((entry) => entry.asHost(group, digests))
    const choice = choose(
      { ...set.placementRule, cpuMillis: set.cpuMillis, memoryBytes: set.memoryBytes },
      hosts,
      overcommit,
    )
    if (!choice.found) {
      const why = choice.rejected.map((one) => `${one.host}: ${one.reason}`).join('; ')
      const reason = {
        code: 'NOT_PLACED',
        text: `no host can take it${why === '' ? ': there are no hosts' : ` (${why})`}`.slice(
          0,
          1_900,
        ),
      }
      return {
        set,
        hostId: null,
        placement: { score: 0, decidedAtMs: null, reason, rejected: choice.rejected },
      }
    }
    ledger.get(choice.hostId)?.take(set, group)
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
  })
}

/** What is taken on one host, kept up while a batch is decided. */
class HostLedger {
  readonly #host: HostRow
  readonly #groups = new Map<string, number>()
  readonly #digests = new Set<string>()
  #cpuMillis = 0
  #memoryBytes = 0

  constructor(world: World, host: HostRow) {
    this.#host = host
    for (const set of world.set.by('host', host.id))
      this.take(set, `${set.projectId}/${groupOf(set)}`)
  }

  take(set: SetRow, group: string): void {
    this.#cpuMillis += set.cpuMillis
    this.#memoryBytes += set.memoryBytes
    this.#groups.set(group, (this.#groups.get(group) ?? 0) + 1)
    for (const container of set.containers) this.#digests.add(container.image.digest)
  }

  asHost(group: string, digests: readonly string[]): PlacementHost {
    const { id, name, rack, zone, roles, labels, state, cordoned, capacity, reserve } = this.#host
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
      allocated: { cpuMillis: this.#cpuMillis, memoryBytes: this.#memoryBytes },
      groupMembers: this.#groups.get(group) ?? 0,
      hasImages: digests.every((digest) => this.#digests.has(digest)),
    }
  }
}

/** A set that waits for the same reason as before writes nothing, unless somebody asked since and waits for an answer. */
function isNews(world: World, { set, hostId, placement }: Decision): boolean {
  return (
    hostId !== null ||
    set.placement?.reason?.text !== placement.reason?.text ||
    openOperations(world, set).length > 0
  )
}

function openOperations(world: World, set: SetRow): OperationRow[] {
  return world.operation
    .by('resource', set.id)
    .filter((operation) => operation.endedAtMs === null)
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
