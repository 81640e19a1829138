import type { Clock, Random } from '@nubo/base'
import type { Flow, FlowChange } from '@nubo/wire-openflow'
import {
  connectOvsdb,
  insert,
  numberOf,
  optionalNumberOf,
  optionalTextOf,
  OvsdbError,
  referNamed,
  type Operation,
  type OvsdbConnection,
  type Row,
  type Uuid,
} from '@nubo/wire-ovsdb'

import { Listeners } from '../listeners.ts'
import { checkUnoccupied } from '../occupied.ts'
import {
  checkInterface,
  checkNeighbour,
  checkPortId,
  SwitchError,
  type AttachedInterface,
  type PortChange,
  type PreparedSwitch,
  type SwitchDriver,
  type SwitchEvents,
  type SwitchInterface,
} from '../switch-driver.ts'
import { waitUntilPlugged } from '../wait-until-plugged.ts'
import {
  addPort,
  askForReceipt,
  bridgeOperations,
  removePort,
  rowByName,
  SWITCH_TABLES,
} from './bridge.ts'
import { withDefaults, type OpenVswitchConfig, type OpenVswitchOptions } from './config.ts'
import { ControlSocket } from './control-socket.ts'
import { fromOvsdb } from './failures.ts'
import { FlowChannel } from './flow-channel.ts'
import { InterfaceIndex, PORT_ID_KEY } from './interface-index.ts'
import { Neighbours } from './neighbours.ts'
import { connectToBridge } from './connect-to-bridge.ts'
import { timersOf } from './ovsdb-timers.ts'

const TRANSACTION_DEADLINE_MS = 5_000
// The database of a host is on the same machine: what is worth waiting for is the restart of a daemon.
const OVSDB_BACKOFF_MS = { first: 20, last: 1_000 }
const PREPARE_ATTEMPTS_MAX = 3

export interface OpenVswitchDependencies {
  readonly clock: Clock
  readonly random: Random
}

/** `SwitchDriver` on Open vSwitch: ports over OVSDB, flows over OpenFlow, both on connections that stay open. */
export class OpenVswitchSwitchDriver implements SwitchDriver {
  readonly events: SwitchEvents
  readonly #config: OpenVswitchConfig
  readonly #clock: Clock
  readonly #ovsdb: OvsdbConnection
  readonly #index: InterfaceIndex
  readonly #flows: FlowChannel
  readonly #neighbours: Neighbours
  readonly #control: ControlSocket
  readonly #restarted = new Listeners<void>()
  readonly #portChanged = new Listeners<PortChange>()
  readonly #disconnected = new Listeners<Error>()
  readonly #readied = new Listeners<void>()
  /** What is being attached and not in the replica yet. */
  readonly #claims = new Map<string, SwitchInterface>()
  /** The last call for each port, so that the next one begins after it. */
  readonly #lastCalls = new Map<string, Promise<void>>()
  #preparing: Promise<PreparedSwitch> | undefined
  #version = ''
  #mustTellRestart = false
  #isReady = false
  #isClosed = false

  /** Begins to connect to the database at once; `prepare` begins the rest. */
  constructor(options: OpenVswitchOptions, { clock, random }: OpenVswitchDependencies) {
    this.#config = withDefaults(options)
    this.#clock = clock
    const timers = timersOf(clock)
    this.#ovsdb = connectOvsdb({
      path: this.#config.ovsdbSocket,
      database: 'Open_vSwitch',
      tables: SWITCH_TABLES,
      random: () => random.fraction(),
      timers,
      backoffMs: OVSDB_BACKOFF_MS,
      onReady: () => this.#noteReadiness(),
      onDisconnected: (error) => this.#noteDisconnected(fromOvsdb(error, 'connection')),
    })
    this.#index = new InterfaceIndex(this.#ovsdb.replica, (change) => {
      this.#portChanged.tell(change)
      this.#replugStale()
    })
    this.#control = new ControlSocket(this.#config, timers)
    this.#neighbours = new Neighbours(this.#config, this.#control, clock)
    this.#flows = new FlowChannel({
      connect: () => connectToBridge(this.#config, clock),
      clock,
      random,
      onConnected: ({ isFirst, isEmpty }) => this.#flowsConnected(!isFirst && isEmpty),
      onLost: (error) => this.#noteDisconnected(error),
    })
    this.events = {
      onRestart: (listener) => this.#restarted.add(listener),
      onPortChange: (listener) => this.#portChanged.add(listener),
      onDisconnected: (listener) => this.#disconnected.add(listener),
      onReady: (listener) => this.#readied.add(listener),
    }
  }

  prepare(): Promise<PreparedSwitch> {
    this.#preparing ??= this.#prepare().finally(() => (this.#preparing = undefined))
    return this.#preparing
  }

  attached(): ReadonlyMap<string, AttachedInterface> {
    return this.#index.ports
  }

  attach(wanted: SwitchInterface): Promise<void> {
    return this.#inOrder(wanted.portId, async () => {
      checkInterface(wanted)
      const { portId, name, ofport } = wanted
      const old = this.#index.ports.get(portId)
      if (old?.name === name && old.ofport === ofport) return
      const others = [...this.#index.ports.values(), ...this.#claims.values()]
      checkUnoccupied(wanted, others, this.#config.tunnel.ofport)
      this.#claims.set(portId, wanted)
      try {
        await this.#attachNow(wanted)
      } finally {
        this.#claims.delete(portId)
      }
    })
  }

  plugged(portId: string, deadlineMs: number): Promise<void> {
    const { onPortChange } = this.events
    const ports = this.#index.ports
    return waitUntilPlugged({ clock: this.#clock, ports, onPortChange, portId, deadlineMs })
  }

  detach(portId: string): Promise<void> {
    return this.#inOrder(portId, async () => {
      checkPortId(portId)
      await this.#detachNow(portId)
    })
  }

  async applyFlows(changes: readonly FlowChange[]): Promise<void> {
    this.#mustBeReady()
    if (changes.length > 0) await this.#flows.apply(changes)
  }

  async dumpFlows(): Promise<Flow[]> {
    this.#mustBeReady()
    return await this.#flows.dump()
  }

  async setNeighbour(vtep: string, mac: string): Promise<void> {
    this.#mustBeOpen()
    checkNeighbour(vtep, mac)
    await this.#neighbours.set(vtep, mac)
  }

  version(): string {
    return this.#version
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#isReady = false
    this.#neighbours.stop()
    this.#flows.stop()
    this.#ovsdb.close()
    await Promise.allSettled(this.#lastCalls.values())
  }

  async #prepare(): Promise<PreparedSwitch> {
    this.#mustBeOpen()
    const deadline = this.#clock.monotonicMs() + this.#config.prepareDeadlineMs
    const remaining = (): number => Math.max(0, deadline - this.#clock.monotonicMs())
    let isChanged
    try {
      await this.#ovsdb.whenReady(remaining())
      isChanged = await this.#makeBridge()
    } catch (error) {
      throw fromOvsdb(error, 'preparing the bridge')
    }
    const receipt = this.#configuration('next_cfg')
    await this.#until(() => this.#tunnelProblem(), remaining())
    await this.#until(() => this.#underlayProblem(), remaining())
    if (isChanged) await this.#untilReceived(receipt, remaining())
    const hadFlows = this.#flows.isStarted
    this.#flows.start()
    await this.#whenReady(remaining())
    // Taking a controller away, for one, empties the tables without ending our connection.
    if (isChanged && hadFlows && (await this.#flows.isEmpty())) this.#restarted.tell()
    await this.#readVersion()
    const { vtepAddress: address, tunnel } = this.#config
    return { vtep: { address, mac: this.#vtepMac() ?? '' }, tunnelOfport: tunnel.ofport }
  }

  /** Whether anything had to be changed. */
  async #makeBridge(): Promise<boolean> {
    for (let attempt = 1; ; attempt += 1) {
      const operations = bridgeOperations(this.#ovsdb.replica, this.#config)
      if (operations.length === 0) return false
      try {
        await this.#ovsdb.transact([...operations, askForReceipt()], {
          deadlineMs: TRANSACTION_DEADLINE_MS,
        })
        return true
      } catch (error) {
        // Somebody else made the bridge in the same moment; the replica shows it by now.
        const isRace = error instanceof OvsdbError && error.kind === 'transaction'
        if (!isRace || attempt === PREPARE_ATTEMPTS_MAX) throw error
      }
    }
  }

  /** What keeps the tunnel port from working; undefined when it works. */
  #tunnelProblem(): SwitchError | undefined {
    const { portName, ofport } = this.#config.tunnel
    const row = this.#interface(portName)
    if (row === undefined) return notReady(`tunnel port ${portName} is missing`)
    const error = optionalTextOf(row, 'error')
    if (error !== undefined) return notReady(`tunnel port ${portName}: ${error}`)
    const found = optionalNumberOf(row, 'ofport')
    if (found === ofport) return undefined
    return notReady(
      found === undefined
        ? `tunnel port ${portName} is not open yet: is ovs-vswitchd running?`
        : `tunnel port ${portName} has ofport ${found} instead of ${ofport}`,
    )
  }

  #underlayProblem(): SwitchError | undefined {
    if (this.#vtepMac() !== undefined) return undefined
    return notReady(`underlay bridge ${this.#config.underlayBridge} is missing: prepare the host`)
  }

  /** MAC of the bridge that has the VTEP address; the kernel's datapath needs none, so any answer is good there. */
  #vtepMac(): string | undefined {
    const row = this.#interface(this.#config.underlayBridge)
    const mac = row === undefined ? undefined : optionalTextOf(row, 'mac_in_use')
    return mac ?? (this.#config.datapathType === 'system' ? '' : undefined)
  }

  #interface(name: string): Row | undefined {
    return rowByName(this.#ovsdb.replica, 'Interface', name)?.row
  }

  async #readVersion(): Promise<void> {
    try {
      // 'ovs-vswitchd (Open vSwitch) 3.1.0', and the versions of libraries on further lines.
      const [, number = ''] =
        /\(Open vSwitch\) (\S+)/.exec(await this.#control.call('version')) ?? []
      this.#version = `Open vSwitch ${number}`
    } catch (error) {
      // Nothing but the inventory depends on it.
      if (!(error instanceof SwitchError)) throw error
    }
  }

  /** Waits until `problem` finds nothing any more; rejects with what it finds at the deadline. */
  #until(problem: () => SwitchError | undefined, deadlineMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (found: SwitchError | undefined): void => {
        deadline.cancel()
        for (const stop of stopListening) stop()
        if (found === undefined) resolve()
        else reject(found)
      }
      const look = (): void => {
        if (problem() === undefined) end(undefined)
      }
      const deadline = this.#clock.after(deadlineMs, () => end(problem()))
      const stopListening = [this.#ovsdb.replica.onChange(look), this.#disconnected.add(look)]
      look()
    })
  }

  #whenReady(deadlineMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#isReady) return resolve()
      const end = (): void => {
        deadline.cancel()
        stopListening()
        if (this.#isReady) resolve()
        else
          reject(this.#flows.lastError ?? new SwitchError('unreachable', 'the switch is not ready'))
      }
      const deadline = this.#clock.after(deadlineMs, end)
      const stopListening = this.#readied.add(end)
    })
  }

  async #attachNow({ portId, name, ofport }: SwitchInterface): Promise<void> {
    const bridge = this.#bridge()
    const old = this.#index.portRow(portId)
    const external_ids = new Map([[PORT_ID_KEY, portId]])
    const interfaces = [referNamed('new_interface')]
    await this.#transact(`attaching ${name}`, [
      ...(old === undefined ? [] : [removePort(bridge, old)]),
      insert('Interface', { name, ofport_request: [ofport], external_ids }, 'new_interface'),
      insert('Port', { name, interfaces, external_ids }, 'new_port'),
      addPort(bridge, 'new_port'),
    ])
  }

  /**
   * Takes the port away and, if the switch is there, waits until it has let go of the device. Without that a device
   * of the same name that is attached next would come to the switch together with the removal, and it would go on
   * with the old one.
   */
  async #detachNow(portId: string): Promise<void> {
    const port = this.#index.portRow(portId)
    if (port === undefined) return
    await this.#transact('detaching a port', [removePort(this.#bridge(), port), askForReceipt()])
    const receipt = this.#configuration('next_cfg')
    await this.#untilReceived(receipt, TRANSACTION_DEADLINE_MS)
  }

  /** Waits until the switch has done what `askForReceipt` asked about; at once if there is no switch to wait for. */
  async #untilReceived(receipt: number, deadlineMs: number): Promise<void> {
    const problem = new SwitchError(
      'timed_out',
      'the switch did not take its configuration in time',
    )
    await this.#until(() => {
      const isReceived = this.#configuration('cur_cfg') >= receipt
      return isReceived || !this.#isReady ? undefined : problem
    }, deadlineMs)
  }

  /** The switch works off the configuration: `cur_cfg` runs after `next_cfg`. */
  #configuration(column: 'next_cfg' | 'cur_cfg'): number {
    const [row] = this.#ovsdb.replica.table('Open_vSwitch').values()
    return row === undefined ? 0 : numberOf(row, column)
  }

  /** Attaches anew what lost its device to another of the same name. What fails is tried again when ready. */
  #replugStale(): void {
    if (!this.#isReady) return
    for (const { portId, name, ofport } of this.#index.stalePorts()) {
      if (this.#claims.has(portId)) continue
      const wanted = { portId, name, ofport }
      this.#claims.set(portId, wanted)
      const replugged = this.#inOrder(portId, async () => {
        // Meanwhile the port may have been detached or moved on purpose.
        if (!this.#index.stalePorts().some((stale) => stale.portId === portId)) return
        await this.#detachNow(portId)
        await this.#attachNow(wanted)
      })
      replugged
        .catch((error: unknown) => {
          if (!(error instanceof SwitchError)) throw error
        })
        .finally(() => this.#claims.delete(portId))
    }
  }

  #bridge(): Uuid {
    if (!this.#ovsdb.isReady) {
      const cause = this.#ovsdb.lastError
      throw new SwitchError('unreachable', "the switch's database does not answer", { cause })
    }
    const bridge = rowByName(this.#ovsdb.replica, 'Bridge', this.#config.bridge)
    if (bridge !== undefined) return bridge.uuid
    throw new SwitchError('host_not_ready', `bridge ${this.#config.bridge} is missing`)
  }

  async #transact(what: string, operations: readonly Operation[]): Promise<void> {
    try {
      await this.#ovsdb.transact(operations, { deadlineMs: TRANSACTION_DEADLINE_MS })
    } catch (error) {
      throw fromOvsdb(error, what)
    }
  }

  #mustBeOpen(): void {
    if (this.#isClosed) throw new SwitchError('closed', 'the driver is closed')
  }

  /** Runs calls for one port one after the other; those for different ports overlap. */
  #inOrder(portId: string, work: () => Promise<void>): Promise<void> {
    const before = this.#lastCalls.get(portId) ?? Promise.resolve()
    const call = before.then(() => {
      this.#mustBeOpen()
      return work()
    })
    // The next call has to wait for the end of this one, however it ended.
    const ended = call
      .catch(() => undefined)
      .then(() => {
        if (this.#lastCalls.get(portId) === ended) this.#lastCalls.delete(portId)
      })
    this.#lastCalls.set(portId, ended)
    return call
  }

  /** Open vSwitch does not work on OpenFlow while its database is away: it would only answer later. */
  #mustBeReady(): void {
    this.#mustBeOpen()
    if (this.#isReady) return
    if (!this.#flows.isStarted) throw notReady('the bridge is not prepared')
    const cause = this.#flows.lastError ?? this.#ovsdb.lastError
    throw new SwitchError('unreachable', 'no connection to the switch', { cause })
  }

  #flowsConnected(isRestarted: boolean): void {
    if (isRestarted) this.#mustTellRestart = true
    this.#noteReadiness()
  }

  #noteReadiness(): void {
    if (this.#isReady || this.#isClosed) return
    if (!this.#ovsdb.isReady || !this.#flows.isConnected) return
    this.#isReady = true
    // Both end by themselves and never reject, and nobody waits for them: tunnels work without neighbours, they only
    // lose their first packet.
    void this.#neighbours.replay()
    void this.#readVersion()
    if (this.#mustTellRestart) {
      this.#mustTellRestart = false
      this.#restarted.tell()
    }
    this.#readied.tell()
    this.#replugStale()
  }

  #noteDisconnected(error: SwitchError): void {
    if (!this.#isReady) return
    this.#isReady = false
    this.#disconnected.tell(error)
  }
}

function notReady(message: string): SwitchError {
  return new SwitchError('host_not_ready', message)
}
