import type { HostId } from '@nubo/base'
import {
  instanceOf,
  kindOf,
  type HostRow,
  type InstanceRow,
  type World,
} from '../../world/index.ts'
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
    for (const vm of world.vm.values()) this.sync(vm.id)
    this.#unsubscribe = world.subscribe(({ changes }) => {
      for (const { kind, id } of changes) {
        if (kind === 'set' || kind === 'vm') this.sync(id)
        else if (kind === 'host') this.#syncHost(id)
      }
    })
  }

  stop(): void {
    this.#unsubscribe()
  }

  /** The set is where the world says, and so is the room that is held for it. */
  sync(setId: string): void {
    const set = instanceOf(this.#world, setId)
    if (set === undefined) this.removeSet(setId)
    else this.putSet(takenBy(set))
    const heldOn = set === undefined ? undefined : heldFor(set)
    if (set === undefined || heldOn === undefined) this.removeSet(holdOf(setId))
    else this.hold(set, heldOn)
  }

  /** Holds room for a set that leaves its host, so that no other takes it meanwhile. `sync` ends what no row knows of. */
  hold(set: InstanceRow, hostId: HostId): void {
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

function heldFor({ hostId, wanted, leaving, placement }: InstanceRow): HostId | undefined {
  if (wanted === 'removed') return undefined
  return hostId === null ? placement?.heldOn : leaving?.toHostId
}

/** What placement needs to know of a host. */
export function factsOf(host: Pick<HostRow, keyof HostFacts | 'reserve'>): HostFacts {
  const { capacity, reserve, ...facts } = host
  return {
    id: facts.id,
    name: facts.name,
    rack: facts.rack,
    zone: facts.zone,
    roles: facts.roles,
    labels: facts.labels,
    state: facts.state,
    cordoned: facts.cordoned,
    maintenance: facts.maintenance,
    // A row of a server that does not know the column is without it.
    accelerator: facts.accelerator ?? null,
    capacity:
      capacity === null
        ? null
        : {
            cpuMillis: capacity.cpuMillis - (reserve?.cpuMillis ?? 0),
            memoryBytes: capacity.memoryBytes - (reserve?.memoryBytes ?? 0),
          },
  }
}

function digestsOf(row: InstanceRow): readonly string[] {
  if (!('containers' in row)) return [row.machine.image.digest]
  return [...new Set(row.containers.map((container) => container.image.digest))]
}

/** What the set takes where it is. */
export function takenBy(set: InstanceRow): LedgerSet {
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
export function askOf(set: InstanceRow): Ask {
  const { group, digests, cpuMillis, memoryBytes, isElsewhere } = takenBy(set)
  return {
    ...set.placementRule,
    group,
    digests,
    cpuMillis,
    memoryBytes,
    isElsewhere,
    kind: kindOf(set),
    isRecovering: set.epoch > 0,
  }
}
