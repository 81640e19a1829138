import type { HostId } from '@nubo/base'
import type { HostRow, SetRow, World } from '../../world/index.ts'
import type { Ask } from './chooser.ts'
import { Ledger, type LedgerSet } from './ledger.ts'
import { groupOf, type HostFacts, type Overcommit } from './placement.ts'

/**
 * A ledger that follows a world: it hears of each change as the world does, so nothing is ever added up anew. Whoever
 * places takes room in it before the world knows, and calls `sync` for what then did not happen.
 */
export class WorldLedger extends Ledger {
  readonly #world: World
  readonly #unsubscribe: () => void

  constructor(world: World, options: { overcommit: Overcommit; reserveHosts: number }) {
    super(options)
    this.#world = world
    for (const host of world.host.values()) this.putHost(factsOf(host))
    for (const set of world.set.values()) this.sync(set.id)
    this.#unsubscribe = world.subscribe(({ changes }) => {
      for (const { kind, id } of changes) {
        if (kind === 'set') this.sync(id)
        else if (kind === 'host') this.#syncHost(id)
      }
    })
  }

  stop(): void {
    this.#unsubscribe()
  }

  /** The set is where the world says, and so is the room that is held for it. */
  sync(setId: string): void {
    const set = this.#world.set.get(setId)
    if (set === undefined) this.removeSet(setId)
    else this.putSet(takenBy(set))
    const heldOn = set === undefined ? undefined : heldFor(set)
    if (set === undefined || heldOn === undefined) this.removeSet(holdOf(setId))
    else this.hold(set, heldOn)
  }

  /** Holds room for a set that leaves its host, so that no other takes it meanwhile. `sync` ends what no row knows of. */
  hold(set: SetRow, hostId: HostId): void {
    this.putSet({ ...takenBy(set), id: holdOf(set.id), hostId })
  }

  /** What is held for the set is its own to take; `sync` brings it back. */
  letGo(setId: string): void {
    this.removeSet(holdOf(setId))
  }

  override without<Value>(id: string, look: () => Value): Value {
    return super.without(id, () => super.without(holdOf(id), look))
  }

  #syncHost(id: string): void {
    const host = this.#world.host.get(id)
    if (host !== undefined) this.putHost(factsOf(host))
    // proof: the id of a row of kind host
    else this.removeHost(id as HostId)
  }
}

/** Under an id that no set has. */
function holdOf(setId: string): string {
  return `${setId} (held)`
}

function heldFor({ hostId, wanted, leaving, placement }: SetRow): HostId | undefined {
  if (wanted === 'removed') return undefined
  return hostId === null ? placement?.heldOn : leaving?.toHostId
}

/** What placement needs to know of a host. */
export function factsOf(host: Pick<HostRow, keyof HostFacts | 'reserve'>): HostFacts {
  const { id, name, rack, zone, roles, labels, state, cordoned, maintenance, capacity, reserve } =
    host
  return {
    id,
    name,
    rack,
    zone,
    roles,
    labels,
    state,
    cordoned,
    maintenance,
    capacity:
      capacity === null
        ? null
        : {
            cpuMillis: capacity.cpuMillis - (reserve?.cpuMillis ?? 0),
            memoryBytes: capacity.memoryBytes - (reserve?.memoryBytes ?? 0),
          },
  }
}

function digestsOf(set: Pick<SetRow, 'containers'>): readonly string[] {
  return [...new Set(set.containers.map((container) => container.image.digest))]
}

/** What the set takes where it is. */
export function takenBy(set: SetRow): LedgerSet {
  return {
    id: set.id,
    hostId: set.hostId,
    cpuMillis: set.cpuMillis,
    memoryBytes: set.memoryBytes,
    group: `${set.projectId}/${groupOf(set)}`,
    digests: digestsOf(set),
    isElsewhere: set.recovery === 'elsewhere',
  }
}

/** What the set asks for. One that was on a host before has lost it: what is held in reserve is for it. */
export function askOf(set: SetRow): Ask {
  const { group, digests, cpuMillis, memoryBytes, isElsewhere } = takenBy(set)
  return {
    ...set.placementRule,
    group,
    digests,
    cpuMillis,
    memoryBytes,
    isElsewhere,
    isRecovering: set.epoch > 0,
  }
}
