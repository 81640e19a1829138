import { explain, PlatformError, vtepMac, withJitter, type Clock, type Random } from '@nubo/base'
import type { FoundReason, WantedPort, WantedSet } from '@nubo/contracts/host'
import { compile, diffAgainstSwitch, ROUND_MAX, type FlowProgram } from '@nubo/datapath'
import type { Log } from '@nubo/runtime/process'
import type { SetInterfaceSpec } from '../drivers/set/set-driver.ts'
import type { PreparedSwitch, SwitchDriver } from '../drivers/switch/switch-driver.ts'
import { logged } from '../logged.ts'
import type { Disk } from '../wanted/disk.ts'
import type { WantedStore } from '../wanted/wanted-store.ts'
import { Attachments, isLocalPort } from './attachments.ts'
import { PortTable } from './port-table.ts'
import { allKeys, compileWanted } from './slice-change.ts'
import { Wakeup } from './wakeup.ts'

const RETRY_MIN_MS = 100
const RETRY_MAX_MS = 5_000
/** A full comparison with the switch also happens by time: whatever was missed does not stay so. */
const RESYNC_PERIOD_MS = 300_000

export interface HostNetworkNeeds {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly store: WantedStore
  readonly disk: Disk
  readonly driver: SwitchDriver
  /** The state of a port of this set may have changed. */
  readonly onPortChange: (setId: string) => void
}

export interface PortState {
  readonly areAttached: boolean
  readonly areReady: boolean
  /** Why they are not ready, where more is known than that it takes a moment. */
  readonly trouble: FoundReason | null
}

/**
 * Keeps the switch of this host at what is wanted. Changes go out as one bundle each, at once and in order; what
 * collects while a bundle is under way goes with the next. Whenever the switch may hold something else than the
 * program says (at the start, after a lost connection, a restart, a refused bundle), both are compared and only the
 * difference is sent, so that a restart of the agent or the next round of flows loses no packet.
 */
export class HostNetwork {
  readonly #needs: HostNetworkNeeds
  readonly #table: PortTable
  readonly #round: number
  readonly #pending = new Set<string>()
  readonly #rejected = new Map<string, string>()
  /** Ports whose flows the switch has. */
  readonly #programmed = new Set<string>()
  readonly #neighbours = new Set<string>()
  readonly #attachments: Attachments
  readonly #wakeup: Wakeup
  #prepared: PreparedSwitch | undefined
  #program: FlowProgram | undefined
  #mustCompare = true
  /** Something failed that worked before: the bridge itself may be gone. */
  #mustPrepare = false
  #trouble: FoundReason | null = null
  #lastCompareMs = 0
  readonly #isPrepared = Promise.withResolvers<void>()

  constructor(needs: HostNetworkNeeds) {
    this.#needs = needs
    this.#table = new PortTable(needs.disk)
    this.#wakeup = new Wakeup(needs.clock)
    this.#attachments = new Attachments({
      ...needs,
      table: this.#table,
      onFree: (portId) => {
        this.#pending.add(`port/${portId}`)
        this.#wakeup.wake()
      },
    })
    this.#round = nextRound(needs)
    for (const key of allKeys(needs.store)) this.#pending.add(key)
  }

  /** Resolves when the switch has answered for the first time. */
  get prepared(): Promise<void> {
    return this.#isPrepared.promise
  }

  /** Why the switch cannot be worked with at the moment. */
  get trouble(): FoundReason | null {
    return this.#trouble
  }

  /** The round in the cookies of this life of the agent. */
  get round(): number {
    return this.#round
  }

  /** Items changed in the store. Returns at once; flows follow without further waiting. */
  wantedChanged(keys: ReadonlySet<string>): void {
    // The first snapshot counts even when it is empty: from then on the switch must be as it says.
    let isMine = this.#program === undefined
    for (const key of keys) {
      if (key.startsWith('set/')) continue
      this.#pending.add(key)
      isMine = true
    }
    if (!isMine) return
    // What was refused may be right beside the new items.
    for (const key of this.#rejected.keys()) this.#pending.add(key)
    this.#wakeup.wake()
  }

  /** Runs until `signal` aborts; resolves then, leaving the switch as it is. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { events } = this.#needs.driver
    const endListening = [
      events.onRestart(() => {
        this.#programmed.clear()
        this.#compareAgain()
      }),
      events.onReady(() => {
        this.#mustPrepare = false
        this.#compareAgain()
      }),
      events.onDisconnected((error) => {
        this.#say({ code: 'ENGINE_UNAVAILABLE', text: explain(error) })
        // The next tries fail, until it is back or has been prepared anew.
        this.#compareAgain()
      }),
      events.onPortChange(({ portId }) => {
        this.#tellOwner(portId)
        // One that is nobody's by now: it was being attached when it stopped being wanted.
        const isKnown = this.#table.get(portId) !== undefined
        if (!isKnown && this.#needs.store.revision !== null)
          this.#attachments.detachUnwanted(signal)
      }),
    ]
    let failures = 0
    while (!signal.aborted) {
      try {
        await this.#step(signal)
        failures = 0
      } catch (error) {
        if (signal.aborted) break
        failures += 1
        this.#mustCompare = true
        this.#mustPrepare = true
        this.#say(reasonOf(error))
        this.#needs.log.warn('the switch could not be brought to what is wanted', {
          ...logged(error),
          failures,
        })
        const delayMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(failures, 10))
        await this.#wakeup.wait({ maxMs: withJitter(this.#needs.random, delayMs), signal })
      }
    }
    for (const end of endListening) end()
    this.#wakeup.close()
    await this.#attachments.settled()
  }

  /** Where a set's ports stand. Costs nothing. */
  portsOf(set: WantedSet): PortState {
    const attached = this.#prepared === undefined ? undefined : this.#needs.driver.attached()
    let areAttached = true
    let areReady = true
    let trouble = this.#trouble
    for (const portId of set.portIds) {
      const placed = this.#table.get(portId)
      const port = attached?.get(portId)
      const isAttached =
        port !== undefined && port.name === placed?.name && port.ofport === placed.ofport
      areAttached &&= isAttached
      areReady &&= isAttached && port.state.at === 'plugged' && this.#programmed.has(portId)
      if (port?.state.at === 'failed')
        trouble ??= { code: 'ENGINE_UNAVAILABLE', text: port.state.reason }
      const rejection = this.#rejected.get(`port/${portId}`)
      if (rejection !== undefined) trouble ??= { code: 'INVALID_INPUT', text: rejection }
    }
    return { areAttached, areReady, trouble: areReady ? null : trouble }
  }

  /** A set's interfaces in the order eth0, eth1, …; or what is missing for them, for a person. */
  interfacesOf(set: WantedSet): SetInterfaceSpec[] | { readonly missing: string } {
    const { ports, networks } = this.#needs.store
    const interfaces: SetInterfaceSpec[] = []
    for (const portId of set.portIds) {
      const port = ports.get(portId)
      if (port?.at.on !== 'set' || port.at.setId !== set.id)
        return { missing: `Port ${portId} of the set is not known here.` }
      const network = networks.get(port.networkId)
      const subnet = network?.subnets.find(({ id }) => id === port.subnetId)
      if (network === undefined || subnet === undefined)
        return { missing: `The network of port ${portId} is not known here.` }
      // What the switch has from an earlier life comes first, or its number could be given to this one.
      if (this.#prepared === undefined && this.#table.get(portId) === undefined)
        return { missing: 'The switch of this host has not answered yet.' }
      this.#table.place([port])
      interfaces.push({
        name: `eth${interfaces.length}`,
        hostInterface: this.#table.get(portId)?.name ?? '',
        mac: port.mac,
        addressWithPrefix: `${port.address}/${subnet.cidr.split('/')[1] ?? '32'}`,
        gateway: subnet.gatewayAddress,
        mtu: network.mtuBytes,
      })
    }
    return interfaces
  }

  /** Plugs the ports of a set whose devices exist. Idempotent; rejects with the switch's error. */
  async attachPorts(set: WantedSet): Promise<void> {
    const ready = this.#prepared
    if (ready === undefined) throw switchAway()
    await Promise.all(
      set.portIds.map(async (portId) => {
        const placed = this.#table.get(portId)
        if (placed !== undefined) await this.#attachments.attach(placed)
      }),
    )
  }

  /** Takes ports from the switch, because their devices will go and come anew. Idempotent. */
  async detachPorts(portIds: Iterable<string>): Promise<void> {
    if (this.#prepared === undefined) throw switchAway()
    const { driver } = this.#needs
    await Promise.all(
      [...portIds].filter((id) => driver.attached().has(id)).map((id) => driver.detach(id)),
    )
  }

  // ---- the loop ----

  async #step(signal: AbortSignal): Promise<void> {
    const { clock, driver, store } = this.#needs
    if (this.#prepared === undefined) this.#prepared = await this.#prepare()
    else if (this.#mustPrepare) await this.#prepareAgain()
    this.#mustPrepare = false
    const isCompareDue = clock.monotonicMs() - this.#lastCompareMs >= RESYNC_PERIOD_MS
    // Before the first snapshot nothing is known of what should be: what runs keeps its flows.
    const isNothingKnown = store.revision === null
    if (!isNothingKnown && (this.#mustCompare || isCompareDue)) return this.#compare(signal)
    if (!isNothingKnown && this.#pending.size > 0) return this.#change(signal)
    if (driver.version() !== '') this.#say(null)
    await this.#wakeup.wait({ maxMs: RESYNC_PERIOD_MS, signal })
  }

  async #prepare(): Promise<PreparedSwitch> {
    const { driver, log } = this.#needs
    const prepared = await driver.prepare()
    for (const { portId, name, ofport } of driver.attached().values())
      if (!this.#table.adopt({ portId, name, ofport }))
        log.warn('a port on the switch is not as recorded; it is attached anew', { portId, name })
    this.#isPrepared.resolve()
    for (const portId of this.#needs.store.ports.keys()) this.#tellOwner(portId)
    return prepared
  }

  /** Waits no longer than until the switch works: flows may go on without a tunnel. */
  async #prepareAgain(): Promise<void> {
    const { driver, log } = this.#needs
    const { promise: isReady, resolve } = Promise.withResolvers<void>()
    const endListening = driver.events.onReady(resolve)
    try {
      await Promise.race([driver.prepare(), isReady])
    } catch (error) {
      log.warn('the switch could not be prepared anew', logged(error))
    } finally {
      endListening()
    }
  }

  /** Sends what is pending, as one bundle, and attaches what has a device already, at the same time. */
  async #change(signal: AbortSignal): Promise<void> {
    const keys = [...this.#pending]
    this.#pending.clear()
    const ports = this.#portsOf(keys)
    const changes = this.#compileKeys(keys, ports)
    await Promise.all([
      changes.length === 0 ? undefined : this.#needs.driver.applyFlows(changes),
      this.#attachments.attachInterfaces(ports),
      this.#tellNeighbours(ports),
    ])
    this.#flowsAreOn(keys)
    if (keys.some((key) => this.#table.get(key.slice('port/'.length)) !== undefined))
      this.#attachments.detachUnwanted(signal)
  }

  async #compare(signal: AbortSignal): Promise<void> {
    const { clock, driver, log } = this.#needs
    const startedAtMs = clock.monotonicMs()
    this.#mustCompare = false
    const keys = [...this.#pending]
    this.#pending.clear()
    this.#compileKeys(keys, this.#portsOf(keys))
    const program = this.#program
    if (program === undefined) return
    const all = [...allKeys(this.#needs.store)]
    const ports = this.#portsOf(all)
    const [found] = await Promise.all([driver.dumpFlows(), this.#tellNeighbours(ports)])
    const changes = diffAgainstSwitch(program.flows(), found)
    if (changes.length > 0) await driver.applyFlows(changes)
    this.#lastCompareMs = startedAtMs
    this.#flowsAreOn([...all, ...keys])
    // As it is wanted by now.
    await this.#attachments.attachInterfaces(this.#portsOf(all))
    this.#attachments.detachUnwanted(signal)
    log.info('the switch was compared with what is wanted', {
      found: found.length,
      changes: changes.length,
      round: this.#round,
      tookMs: Math.round(clock.monotonicMs() - startedAtMs),
    })
  }

  /** `ports`: those among the keys that are wanted. */
  #compileKeys(
    keys: readonly string[],
    ports: readonly WantedPort[],
  ): ReturnType<typeof compileWanted>['changes'] {
    const { store, log } = this.#needs
    const tunnelOfport = this.#prepared?.tunnelOfport
    if (tunnelOfport === undefined) throw switchAway()
    this.#program ??= compile(
      { networks: [], localPorts: [], remotePorts: [] },
      { ofport: tunnelOfport },
      this.#round,
    )
    try {
      this.#table.place(ports.filter(isLocalPort))
      const { changes, rejected } = compileWanted(
        this.#program,
        store,
        keys,
        (portId) => this.#table.get(portId)?.ofport,
      )
      for (const key of keys) this.#rejected.delete(key)
      for (const [key, why] of rejected) {
        this.#rejected.set(key, why)
        log.error('a wanted item cannot be compiled to flows', { key, why })
        this.#tellRejected(key)
      }
      return changes
    } catch (error) {
      for (const key of keys) this.#pending.add(key)
      throw error
    }
  }

  /** It may be one that had its flows until now. */
  #tellRejected(key: string): void {
    if (!key.startsWith('port/')) return
    const portId = key.slice('port/'.length)
    this.#programmed.delete(portId)
    this.#tellOwner(portId)
  }

  async #tellNeighbours(ports: readonly WantedPort[]): Promise<void> {
    const { driver, log } = this.#needs
    const unknown = new Set<string>()
    for (const { at } of ports)
      if (at.on === 'remote' && !this.#neighbours.has(at.vtep)) unknown.add(at.vtep)
    if (unknown.size === 0) return
    await Promise.all(
      [...unknown].map(async (vtep) => {
        try {
          await driver.setNeighbour(vtep, vtepMac(vtep))
          this.#neighbours.add(vtep)
        } catch (error) {
          // Without it the first packet is lost while the switch asks; nothing else.
          log.warn('the switch was not told a tunnel end', { vtep, ...logged(error) })
        }
      }),
    )
  }

  /** The switch has what the program says of these items. */
  #flowsAreOn(keys: readonly string[]): void {
    this.#say(null)
    for (const key of keys) {
      if (!key.startsWith('port/')) continue
      const portId = key.slice('port/'.length)
      const isLocal = isLocalPort(this.#needs.store.ports.get(portId))
      if (!isLocal || this.#rejected.has(key) || this.#pending.has(key)) {
        this.#programmed.delete(portId)
      } else if (!this.#programmed.has(portId)) {
        this.#programmed.add(portId)
        this.#tellOwner(portId)
      }
    }
  }

  #portsOf(keys: readonly string[]): WantedPort[] {
    const { ports } = this.#needs.store
    return keys.flatMap((key) => (key.startsWith('port/') ? (ports.get(key.slice(5)) ?? []) : []))
  }

  #compareAgain(): void {
    this.#mustCompare = true
    this.#wakeup.wake()
  }

  #say(trouble: FoundReason | null): void {
    if (trouble?.code === this.#trouble?.code && trouble?.text === this.#trouble?.text) return
    this.#trouble = trouble
    for (const portId of this.#table.all.keys()) this.#tellOwner(portId)
  }

  #tellOwner(portId: string): void {
    const at = this.#needs.store.ports.get(portId)?.at
    if (at?.on === 'set') this.#needs.onPortChange(at.setId)
  }
}

function nextRound({ disk, log }: HostNetworkNeeds): number {
  const before = Number(disk.load('network').find(({ key }) => key === 'round')?.value ?? 0)
  const round = before >= ROUND_MAX ? 1 : before + 1
  try {
    disk.write([{ type: 'put', kind: 'network', key: 'round', value: String(round) }])
  } catch (error) {
    // A full disk must not keep the agent from its work; two lives with one round are only harder to tell apart.
    log.error('the round of flows could not be recorded', { round, ...logged(error) })
  }
  return round
}

function switchAway(): PlatformError {
  return new PlatformError('ENGINE_UNAVAILABLE', { engine: 'switch' })
}

function reasonOf(error: unknown): FoundReason {
  return {
    code: error instanceof PlatformError ? error.code : 'ENGINE_UNAVAILABLE',
    text: error instanceof PlatformError ? error.message : explain(error),
  }
}
