import { isPlatformError, sleep, type Clock, type Random } from '@nubo/base'
import type { HostInventory } from '@nubo/contracts'
import {
  hostContractVersions,
  LEASE_MS,
  type FoundSet,
  type Hello,
  type HostContract,
  type WantedUpdate,
  type Welcome,
} from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime/process'
import type { SetDriver } from './drivers/set/set-driver.ts'
import type { SwitchDriver } from './drivers/switch/switch-driver.ts'
import type { LeaseKeeper } from './guard/lease-keeper.ts'
import { logged } from './logged.ts'
import { HostNetwork } from './network/host-network.ts'
import type { UnderlayProbes } from './probes/underlay-probes.ts'
import type { ImageTokens } from './reconcile/image-puller.ts'
import { SetReconciler } from './reconcile/set-reconciler.ts'
import type { ServerConnector } from './session/channel.ts'
import { FoundReports } from './session/found-reports.ts'
import { Session } from './session/session.ts'
import type { StreamDialer } from './streams/stream-socket.ts'
import { Streams } from './streams/streams.ts'
import type { Disk } from './wanted/disk.ts'
import { PlacementGate } from './wanted/placement-gate.ts'
import { WantedStore, type WantedChange } from './wanted/wanted-store.ts'

/** The first hello waits this long for the engines, so that the inventory has their versions. */
const ENGINES_TIMEOUT_MS = 2_000
/** Steps that are under way when the agent stops may end; what takes longer is looked at by its next life. */
const STOP_TIMEOUT_MS = 5_000

export interface HostResources {
  readonly cpuMillis: number
  readonly memoryBytes: number
  readonly diskBytes: number
}

export interface AgentSettings {
  readonly hostId: string
  /** Names this boot: another one after a reboot of the host. */
  readonly bootId: string
  /** 'address:port'; where to begin. Servers tell of others. At least one, here or on disk. */
  readonly servers: readonly string[]
  readonly capacity: HostResources
  readonly reserve: HostResources
  readonly vtepAddress: string | null
  readonly underlayMtuBytes: number
  readonly parallelStartsMax: number
  readonly parallelPullsMax: number
  /** Versions of the host contract to speak, best first; all that are known, if absent. */
  readonly contracts?: readonly HostContract[]
}

/** All that this program knows, best first. */
const CONTRACTS: readonly HostContract[] = hostContractVersions
  .map(({ number }) => number)
  .toReversed()

/** Everything that an agent works with. Who makes an agent owns and closes them. */
export interface AgentDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly disk: Disk
  /** On the same clock as `clock`. */
  readonly lease: LeaseKeeper
  readonly setDriver: SetDriver
  readonly switchDriver: SwitchDriver
  readonly connector: ServerConnector
  readonly streamDialer: StreamDialer
  readonly imageTokens: ImageTokens
  readonly probes: UnderlayProbes
  /** Asked at the start of each session. */
  readonly inventory: () => Promise<HostInventory>
  readonly settings: AgentSettings
}

export interface Agent {
  /** Reads what is wanted from disk and begins to act on it, with or without a server. Once. */
  start(): void
  /** Stops acting; everything on the host runs on. Resolves when nothing is under way any more. Idempotent. */
  stop(): Promise<void>
  /** The server that it is welcomed by; null while it looks for one. */
  readonly connectedTo: string | null
  /** Every server to try, the present one first. */
  readonly servers: readonly string[]
  /** Until when `elsewhere` sets may run without another answer of a server, on the monotonic clock. */
  readonly leaseUntilMonotonicMs: number
  readonly wantedRevision: number | null
  /** What was last found of a set. */
  found(setId: string): FoundSet | undefined
}

/** Puts an agent together. Nothing happens before `start`, but the disk is read. */
export function createAgent(deps: AgentDeps): Agent {
  return new HostAgent(deps)
}

class HostAgent implements Agent {
  readonly #deps: AgentDeps
  readonly #store: WantedStore
  readonly #gate: PlacementGate
  readonly #reports = new FoundReports()
  readonly #network: HostNetwork
  readonly #sets: SetReconciler
  readonly #streams: Streams
  readonly #session: Session
  readonly #abort = new AbortController()
  #running: Promise<unknown> = Promise.resolve()
  #isFirstHello = true
  /** What changed while sets that are not wanted any more are being removed. */
  #held: Set<string> | undefined
  /** New sets that could not be stored, as they were reported. */
  readonly #unstored = new Map<string, FoundSet>()

  constructor(deps: AgentDeps) {
    this.#deps = deps
    this.#store = new WantedStore(deps)
    this.#gate = new PlacementGate({
      ...deps,
      bootId: deps.settings.bootId,
      leaseMaxMs: 2 * LEASE_MS,
      store: this.#store,
      onChange: () => this.#sets.wakeAll(),
    })
    this.#network = new HostNetwork({
      ...deps,
      store: this.#store,
      driver: deps.switchDriver,
      onPortChange: (setId) => this.#sets.wake(setId),
    })
    this.#sets = new SetReconciler({
      ...deps,
      ...deps.settings,
      store: this.#store,
      driver: deps.setDriver,
      network: this.#network,
      gate: this.#gate,
      tokens: deps.imageTokens,
      reports: this.#reports,
    })
    this.#streams = new Streams({
      ...deps,
      store: this.#store,
      driver: deps.setDriver,
      dialer: deps.streamDialer,
      contracts: this.#contracts,
    })
    this.#session = new Session({
      ...deps,
      reports: this.#reports,
      contracts: this.#contracts,
      servers: () => this.#knownServers(),
      hello: () => this.#hello(),
      wantedRevision: () => this.#store.revision,
      onWelcome: (welcome) => this.#onWelcome(welcome),
      onWanted: (update) => this.#onWanted(update),
      onLease: (untilMs, by) => this.#gate.renewLease(untilMs, by),
      stopsWithinMs: () => deps.lease.stopsWithinMs(),
      onOpenStream: (request) => this.#streams.open(request),
      onProbe: ({ targets, timeoutMs }) => deps.probes.probe(targets, timeoutMs),
      onEnd: () => {
        this.#store.discardPartial()
        // After the sleep of a machine a session ends before the timer of the lease has run.
        this.#gate.check()
      },
      untilFound: (signal) => this.#sets.untilFound(signal),
    })
  }

  start(): void {
    const { signal } = this.#abort
    this.#startProbes()
    this.#running = Promise.all([
      this.#network.run(signal),
      this.#sets.run(signal),
      this.#session.run(signal),
    ])
  }

  #startProbes(): void {
    const { probes, settings } = this.#deps
    if (this.#store.probeKey !== null) probes.useKey(this.#store.probeKey)
    probes.start(() => ({
      bootId: settings.bootId,
      lease: this.#gate.doesLast ? 'lasts' : 'ended',
      elsewhereRunning: this.#sets.elsewhereRunning,
    }))
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error('the agent stops'))
    this.#gate.stop()
    this.#deps.probes.close()
    this.#streams.close()
    const giveUp = new AbortController()
    await Promise.race([
      this.#running,
      sleep(this.#deps.clock, STOP_TIMEOUT_MS, giveUp.signal).catch(() => undefined),
    ])
    giveUp.abort()
  }

  get connectedTo(): string | null {
    return this.#session.connectedTo
  }

  get servers(): readonly string[] {
    const known = this.#knownServers()
    const { connectedTo } = this
    return connectedTo === null
      ? known
      : [connectedTo, ...known.filter((server) => server !== connectedTo)]
  }

  get leaseUntilMonotonicMs(): number {
    return this.#gate.leaseUntilMonotonicMs
  }

  get wantedRevision(): number | null {
    return this.#store.revision
  }

  found(setId: string): FoundSet | undefined {
    return this.#reports.set(setId)
  }

  /** What the region told last; the configuration stays as a way back if all of that is gone. */
  #knownServers(): string[] {
    return [...new Set([...this.#store.servers, ...this.#deps.settings.servers])]
  }

  async #hello(): Promise<Hello> {
    if (this.#isFirstHello) {
      this.#isFirstHello = false
      await this.#untilEnginesKnown()
    }
    const { settings, inventory } = this.#deps
    return {
      type: 'hello',
      contracts: [...this.#contracts],
      hostId: settings.hostId,
      bootId: settings.bootId,
      wantedRevision: this.#store.revision,
      inventory: await inventory(),
      capacity: settings.capacity,
      reserve: settings.reserve,
      vtepAddress: settings.vtepAddress,
      underlayMtuBytes: settings.underlayMtuBytes,
      stopsWithinMs: this.#deps.lease.stopsWithinMs(),
      probeAddress: this.#deps.probes.address,
      accelerator: null,
      vmsProblem: null,
    }
  }

  get #contracts(): readonly HostContract[] {
    return this.#deps.settings.contracts ?? CONTRACTS
  }

  async #untilEnginesKnown(): Promise<void> {
    const giveUp = new AbortController()
    await Promise.race([
      Promise.all([this.#network.prepared, this.#sets.prepared]),
      sleep(
        this.#deps.clock,
        ENGINES_TIMEOUT_MS,
        AbortSignal.any([giveUp.signal, this.#abort.signal]),
      ).catch(() => undefined),
    ])
    giveUp.abort()
  }

  #onWelcome(welcome: Welcome): void {
    this.#store.discardPartial()
    this.#store.keepServers(welcome.servers)
    // A server of version 1 has none to tell, which says nothing about the one that is known.
    if (welcome.probeKey === null) return
    this.#store.keepProbeKey(welcome.probeKey)
    this.#deps.probes.useKey(welcome.probeKey)
  }

  /** On disk first; then the switch, whose part is the shortest; then the sets. */
  #onWanted(update: WantedUpdate): 'partial' | 'stored' | 'no-room' {
    const isReturning = !this.#gate.isConfirmed
    let change: WantedChange | undefined
    try {
      change = this.#store.apply(update, this.#deps.settings.bootId)
    } catch (error) {
      if (!isPlatformError(error, 'HOST_DISK_FULL')) throw error
      this.#deps.log.error('what is wanted cannot be stored', logged(error))
      this.#tellUnstored(update)
      return 'no-room'
    }
    if (change === undefined) return 'partial'
    this.#forgetUnstored()
    if (isReturning || this.#held !== undefined) this.#returnWith(change)
    else this.#takeUp(change.keys)
    return 'stored'
  }

  #takeUp(keys: ReadonlySet<string>): void {
    this.#gate.confirm()
    this.#network.wantedChanged(keys)
    this.#sets.wantedChanged(keys)
  }

  /**
   * After a reboot or the end of a lease this host may hold sets that are elsewhere by now. Their ports are closed, and
   * they are removed, before ports of new sets are opened and anything new starts.
   */
  #returnWith({ keys, added }: WantedChange): void {
    const isUnderWay = this.#held !== undefined
    const held = (this.#held ??= new Set())
    for (const key of keys) held.add(key)
    const known = new Set([...keys].filter((key) => !added.has(key)))
    this.#network.wantedChanged(known)
    this.#sets.wantedChanged(known)
    if (isUnderWay) return
    const removed = this.#sets.removeUnwanted()
    const goOn = (): void => {
      this.#held = undefined
      if (!this.#abort.signal.aborted) this.#takeUp(held)
    }
    if (removed === undefined) goOn()
    else void removed.then(goOn)
  }

  /** Nobody shall wait for a new set without knowing why. Sets that are here already keep their report. */
  #tellUnstored(update: WantedUpdate): void {
    for (const item of update.upserts) {
      if (item.kind !== 'set' || this.#store.set(item.id) !== undefined) continue
      const report: FoundSet = {
        kind: 'set',
        id: item.id,
        epoch: item.epoch,
        generation: item.generation,
        state: 'pending',
        progress: '',
        reason: {
          code: 'HOST_DISK_FULL',
          text: 'The agent cannot store what is wanted: the disk of the host is full.',
        },
        containers: [],
      }
      this.#unstored.set(item.id, report)
      this.#reports.publish(report)
    }
  }

  /** What is stored by now is reported by whoever cares for it; the rest is not wanted any more. */
  #forgetUnstored(): void {
    for (const [id, report] of this.#unstored)
      if (this.#store.set(id) === undefined)
        this.#reports.publish({ ...report, state: 'absent', reason: null })
    this.#unstored.clear()
  }
}
