import type { World } from '@nubo/control-plane'
import type { Applies } from './applies.ts'
import { checkDrainEnd, checkPlacement } from './drains.ts'
import type { HostMachine } from './host-machine.ts'
import type { SimulatedRegion } from './simulated-region.ts'
import type { SimulatedServer } from './simulated-server.ts'
import { claim, violationOf, type Violation } from './violation.ts'

type SetRow = NonNullable<ReturnType<World['set']['get']>>
interface SetChange {
  readonly id: string
  readonly before: SetRow | undefined
  readonly set: SetRow | undefined
}
type ChangeSet = Parameters<Parameters<World['subscribe']>[0]>[0]

/** How often something came to pass. */
export interface Seen {
  fencings: number
  /** Containers that started in a later epoch. */
  moves: number
  brakes: number
  drains: number
  applies: number
  appliesDone: number
}
export const nothingSeen: Readonly<Seen> = {
  fencings: 0,
  moves: 0,
  brakes: 0,
  drains: 0,
  applies: 0,
  appliesDone: 0,
}

/** `ADDRESS_REST_MS`, less what clocks of two servers may differ. */
const ADDRESS_REST_MIN_MS = 60_000 - 4_500

/**
 * Watches every single change, of worlds and of engines, and holds it to what must be true at every moment. What it finds is
 * kept, since those who tell it must not be disturbed; `check` throws it.
 */
export class Observer {
  readonly #region: SimulatedRegion
  readonly #applies: Applies
  #found: Violation | undefined
  /** Highest epoch that any server knew of. */
  readonly #epochs = new Map<string, number>()
  /** Where a set is in an epoch. */
  readonly #placed = new Map<string, string>()
  /** What a set is, and in which epoch it was last seen so. */
  readonly #recovery = new Map<string, { recovery: SetRow['recovery']; epoch: number }>()
  /** The address of each set's ports, also of sets that are gone. */
  readonly #addresses = new Map<string, Set<string>>()
  readonly #freedAtMs = new Map<string, { portId: string; atMs: number }>()
  readonly #ended = new Set<string>()
  readonly #endedSomewhere = new Set<string>()
  /** What came to pass, so that one can see that a run has tried it. */
  readonly seen: Seen = { ...nothingSeen }
  #haveClocksJumped = false

  constructor(region: SimulatedRegion, applies: Applies) {
    this.#region = region
    this.#applies = applies
    for (const server of region.servers) this.watchServer(server)
    region.onServer = (server) => this.watchServer(server)
    for (const host of region.hosts) this.#watchHost(host)
  }

  /** Rests are measured by the wall clocks of servers: once these are far apart, one may be short. */
  wallClockJumped(): void {
    this.#haveClocksJumped = true
  }

  /** Something that the product threw where it should not have. The first finding counts. */
  reportDefect(error: unknown): void {
    this.#found ??= violationOf(error)
  }

  check(): void {
    if (this.#found !== undefined) throw this.#found
  }

  recoveryOf(setId: string): SetRow['recovery'] {
    return this.#recovery.get(setId)?.recovery ?? 'local'
  }

  watchServer(server: SimulatedServer): void {
    const { world } = server.region
    let last = world.revision
    world.subscribe((changes) => {
      this.#guard(() => {
        claim(
          last === 0 || changes.revision === last + 1,
          'feed-order',
          () => `${server.name} went from revision ${last} to ${changes.revision}`,
        )
        last = changes.revision
        this.#seeChanges(server, changes)
      })
    })
  }

  #guard(look: () => void): void {
    if (this.#found !== undefined) return
    try {
      look()
    } catch (error) {
      this.#found = violationOf(error)
    }
  }

  #seeChanges(server: SimulatedServer, changes: ChangeSet): void {
    const { world } = server.region
    // A server that was cut off goes through all that happened meanwhile; how machines were at that moment is gone.
    const isFirst = changes.revision > this.#newestRevision
    this.#newestRevision = Math.max(this.#newestRevision, changes.revision)
    for (const { kind, id, before, after } of changes.changes) {
      if (kind === 'set')
        this.#seeSet(server, { id, before: before as SetRow | undefined, set: world.set.get(id) })
      else if (kind === 'port') {
        if (isFirst) this.#seePort(id, world.port.get(id), changes.revision)
      } else if (kind === 'host') this.#seeHost(server, world.host.get(id), isFirst)
      else if (kind === 'brake' && after !== undefined) this.seen.brakes += 1
      else if (kind === 'operation')
        this.#seeOperation(server, { id, wasThere: before !== undefined })
      else if (kind === 'setFound' && after !== undefined) this.#seeFound(server, id)
    }
  }
  #newestRevision = 0

  #seeSet(server: SimulatedServer, change: SetChange): void {
    const { id, set } = change
    if (set === undefined) {
      // Other servers may hear of it later, when its name and address are somebody else's; what counts is the engine.
      const host = this.#region.hosts.find((one) => runs(one, id))
      // A host that was fenced may be on its way back: it starts its local sets from disk, and ends this one as soon as it is
      // told. Until then nobody else gets the address.
      const isReturning =
        host !== undefined &&
        server.region.world.host.get(host.hostId)?.state === 'fenced' &&
        this.recoveryOf(id) === 'local'
      claim(
        host === undefined || isReturning,
        'removed-but-runs',
        () => `${server.name} knows that set ${id} is gone, but it runs on ${host?.name}`,
      )
      return
    }
    this.#seeRecovery(set)
    const before = this.#epochs.get(`${server.name}/${server.process.name}/${id}`) ?? 0
    claim(set.epoch >= before, 'epoch-down', () => `set ${set.name}: ${before} to ${set.epoch}`)
    this.#epochs.set(`${server.name}/${server.process.name}/${id}`, set.epoch)
    if (set.hostId === null) return
    // Proof of a placement in this very revision: what was there before, at the revision before, was in another epoch.
    if (change.before !== undefined && change.before.epoch < set.epoch)
      checkPlacement(server.region.world, set)
    const key = `${id}@${set.epoch}`
    const at = this.#placed.get(key) ?? set.hostId
    claim(
      at === set.hostId,
      'epoch-twice',
      () => `set ${set.name} is placed twice in epoch ${set.epoch}`,
    )
    this.#placed.set(key, at)
  }

  /**
   * A set that became `elsewhere` is so only once its host has said that it has come to that generation, whoever sees the
   * change first: it may be a server that has just read the tables.
   */
  #seeRecovery({ id, hostId, recovery, epoch, generation, localGeneration }: SetRow): void {
    const known = this.#recovery.get(id)
    const from = this.#elsewhereFrom.get(id)
    if (recovery === 'elsewhere' && from?.epoch === epoch) return
    const isNews = known?.recovery === 'local' && known.epoch === epoch && hostId !== null
    if (recovery === 'elsewhere' && isNews) {
      const first = localGeneration === null ? generation : localGeneration + 1
      this.#elsewhereFrom.set(id, { epoch, generation: first })
      return
    }
    this.#elsewhereFrom.delete(id)
    this.#recovery.set(id, { recovery, epoch })
  }
  readonly #elsewhereFrom = new Map<string, { epoch: number; generation: number }>()

  #seePort(id: string, port: ReturnType<World['port']['get']>, revision: number): void {
    const nowMs = this.#region.database.committedAtMs(revision)
    if (port === undefined) {
      const key = this.#keyOfPort.get(id)
      if (key !== undefined && !this.#freedAtMs.has(key))
        this.#freedAtMs.set(key, { portId: id, atMs: nowMs })
      return
    }
    const key = `${port.subnetId}/${port.address}`
    this.#keyOfPort.set(id, key)
    if (port.setId !== null) {
      const known = this.#addresses.get(port.setId) ?? new Set()
      this.#addresses.set(port.setId, known.add(key))
    }
    const freed = this.#freedAtMs.get(key)
    if (freed === undefined || freed.portId === id) return
    claim(
      this.#haveClocksJumped || nowMs - freed.atMs >= ADDRESS_REST_MIN_MS,
      'address-rest',
      () =>
        `${port.address} was given to ${port.name} ${Math.round(nowMs - freed.atMs)} ms after ${freed.portId} had it (revision ${revision}, ${(nowMs / 1_000).toFixed(1)} s)`,
    )
    this.#freedAtMs.delete(key)
  }
  readonly #keyOfPort = new Map<string, string>()

  #seeHost(
    server: SimulatedServer,
    host: ReturnType<World['host']['get']>,
    isFirst: boolean,
  ): void {
    if (host === undefined || host.state !== 'fenced') return
    const machine = this.#region.hosts.find((one) => one.hostId === host.id)
    const left = server.region.world.set
      .by('host', host.id)
      .find(
        ({ recovery, wanted, localGeneration }) =>
          recovery === 'elsewhere' && localGeneration === null && wanted !== 'removed',
      )
    claim(
      left === undefined,
      'fenced-but-placed',
      () =>
        `${server.name} knows that ${host.name} is fenced, and that ${left?.name} is placed there`,
    )
    if (!isFirst || machine === undefined || this.#fenced.get(host.id) === host.sinceMs) return
    this.#fenced.set(host.id, host.sinceMs)
    this.seen.fencings += 1
    const [brake] = server.region.world.brake.values()
    claim(
      brake === undefined || host.fence?.by === 'operator',
      'fenced-under-brake',
      () => `${host.name} was fenced while the brake of ${brake?.name} held`,
    )
    const running = [...machine.running()].find(
      ({ setId }) => this.recoveryOf(setId) === 'elsewhere',
    )
    claim(
      running === undefined,
      'fenced-but-runs',
      () => `${server.name} holds ${host.name} for fenced, where ${running?.name} runs`,
    )
  }
  readonly #fenced = new Map<string, number>()

  #seeOperation(
    server: SimulatedServer,
    { id, wasThere }: { id: string; wasThere: boolean },
  ): void {
    const { world } = server.region
    const key = `${server.process.name}/${id}`
    const operation = world.operation.get(id)
    if (operation === undefined) return
    const { kind, endedAtMs, state, reason, resourceName } = operation
    if (kind === 'apply') this.#applies.sees(world, operation, wasThere)
    if (endedAtMs === null) {
      claim(!this.#ended.has(key), 'operation-reopened', () => kind)
      return
    }
    this.#ended.add(key)
    if (this.#endedSomewhere.has(id)) return
    this.#endedSomewhere.add(id)
    // Whoever gives one up knows why.
    claim(
      state === 'done' || state === 'cancelled' || reason !== null,
      'no-reason',
      () => `${kind} of ${resourceName} is ${state} and does not say why`,
    )
    if (kind === 'apply') {
      this.seen.applies += 1
      if (state === 'done') this.seen.appliesDone += 1
    }
    if (wasThere && (kind === 'host.drain' || kind === 'host.maintenance')) {
      this.seen.drains += 1
      checkDrainEnd(world, operation)
    }
  }

  #seeFound(server: SimulatedServer, id: string): void {
    const { world } = server.region
    const set = world.set.get(id)
    const found = world.setFound.get(id)
    if (set === undefined || found === undefined) return
    claim(
      found.epoch === set.epoch && found.hostId === set.hostId,
      'stale-report',
      () =>
        `${server.name} believes a report of epoch ${found.epoch} of ${set.name}, which is in epoch ${set.epoch}, or not on that host`,
    )
    const from = this.#elsewhereFrom.get(id)
    if (from === undefined || from.epoch !== found.epoch || found.generation < from.generation)
      return
    this.#elsewhereFrom.delete(id)
    this.#recovery.set(id, { recovery: set.recovery, epoch: set.epoch })
  }

  // ---- Engines

  #watchHost(machine: HostMachine): void {
    machine.simulated.setHost.listeners.add((event) => {
      if (event.type !== 'started' || event.setId === null || event.container === null) return
      const { setId } = event
      this.#guard(() => this.#seeStart(machine, setId))
    })
  }

  #seeStart(machine: HostMachine, setId: string): void {
    const started = machine.simulated.setHost.sets.get(setId)
    if (started === undefined || !runs(machine, setId)) return
    if (started.spec.epoch > 1) this.seen.moves += 1
    const addresses = this.#addresses.get(setId)
    for (const other of this.#region.hosts) {
      for (const twin of other.running()) {
        if (twin.setId === setId) {
          claim(
            other === machine,
            'runs-twice',
            () =>
              `set ${twin.name} (${this.recoveryOf(setId)}) runs on ${other.name} in epoch ${twin.epoch} and starts on ${machine.name} in epoch ${started.spec.epoch}`,
          )
          continue
        }
        const shared = [...(this.#addresses.get(twin.setId) ?? [])].find(
          (address) => addresses?.has(address) === true,
        )
        claim(
          shared === undefined,
          'address-twice',
          () =>
            `${started.spec.name} on ${machine.name} starts with the address of ${twin.name} on ${other.name}, ${shared}`,
        )
      }
    }
  }
}

export function runs(machine: HostMachine, setId: string): boolean {
  if (!machine.isPowered) return false
  const set = machine.simulated.setHost.sets.get(setId)
  return [...(set?.containers.values() ?? [])].some(({ found }) => found.state === 'running')
}
