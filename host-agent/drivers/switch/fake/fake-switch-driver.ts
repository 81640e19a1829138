import { vtepMac, type Clock } from '@nubo/base'
import type { Flow, FlowChange } from '@nubo/wire-openflow'

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
import { FakeSwitch, type FakeSwitchEvent } from './fake-switch.ts'

export interface FakeSwitchDriverOptions {
  readonly clock: Clock
  readonly vtepAddress: string
  readonly tunnelOfport?: number
  /** The switch to drive; a new one by default. */
  readonly hardware?: FakeSwitch
}

/**
 * A switch in memory, for simulated hosts and tests: the behaviour of `SwitchDriver` without packets. Everything
 * happens at once, in a later microtask than the call. Faults are made on its `hardware`.
 */
export class FakeSwitchDriver implements SwitchDriver {
  readonly events: SwitchEvents
  readonly hardware: FakeSwitch
  readonly #clock: Clock
  readonly #prepared: PreparedSwitch
  readonly #restarted = new Listeners<void>()
  readonly #portChanged = new Listeners<PortChange>()
  readonly #disconnected = new Listeners<Error>()
  readonly #readied = new Listeners<void>()
  readonly #stopListening: (() => void)[]
  #state: 'new' | 'prepared' | 'closed' = 'new'

  constructor(options: FakeSwitchDriverOptions) {
    this.hardware = options.hardware ?? new FakeSwitch()
    this.#clock = options.clock
    this.#prepared = {
      vtep: { address: options.vtepAddress, mac: vtepMac(options.vtepAddress) },
      tunnelOfport: options.tunnelOfport ?? 65_000,
    }
    this.#stopListening = [
      this.hardware.portChanged.add((change) => this.#portChanged.tell(change)),
      this.hardware.lifeChanged.add((event) => this.#lifeChanged(event)),
    ]
    this.events = {
      onRestart: (listener) => this.#restarted.add(listener),
      onPortChange: (listener) => this.#portChanged.add(listener),
      onDisconnected: (listener) => this.#disconnected.add(listener),
      onReady: (listener) => this.#readied.add(listener),
    }
  }

  async prepare(): Promise<PreparedSwitch> {
    await Promise.resolve()
    if (this.#state === 'new' && !this.hardware.isDown) {
      this.#state = 'prepared'
      this.#readied.tell()
    }
    this.#mustWork()
    return this.#prepared
  }

  attached(): ReadonlyMap<string, AttachedInterface> {
    return this.hardware.ports
  }

  async attach(wanted: SwitchInterface): Promise<void> {
    await Promise.resolve()
    this.#mustWork()
    checkInterface(wanted)
    checkUnoccupied(wanted, this.hardware.ports.values(), this.#prepared.tunnelOfport)
    const { portId, name, ofport } = wanted
    const old = this.hardware.ports.get(portId)
    if (old?.name === name && old.ofport === ofport) return
    this.hardware.setPort(portId, { portId, name, ofport, state: this.hardware.stateOf(name) })
  }

  plugged(portId: string, deadlineMs: number): Promise<void> {
    return waitUntilPlugged({
      clock: this.#clock,
      ports: this.hardware.ports,
      onPortChange: this.events.onPortChange,
      portId,
      deadlineMs,
    })
  }

  async detach(portId: string): Promise<void> {
    await Promise.resolve()
    this.#mustWork()
    checkPortId(portId)
    if (this.hardware.ports.has(portId)) this.hardware.setPort(portId, undefined)
  }

  async applyFlows(changes: readonly FlowChange[]): Promise<void> {
    await Promise.resolve()
    this.#mustWork()
    this.hardware.flows.apply(changes)
  }

  async dumpFlows(): Promise<Flow[]> {
    await Promise.resolve()
    this.#mustWork()
    return this.hardware.flows.flows
  }

  async setNeighbour(vtep: string, mac: string): Promise<void> {
    await Promise.resolve()
    this.#mustWork()
    checkNeighbour(vtep, mac)
    this.hardware.neighbours.set(vtep, mac)
  }

  version(): string {
    return this.#state === 'new' ? '' : 'Fake switch 1.0'
  }

  async close(): Promise<void> {
    await Promise.resolve()
    this.#state = 'closed'
    for (const stop of this.#stopListening) stop()
  }

  #lifeChanged(event: FakeSwitchEvent): void {
    if (this.#state !== 'prepared') return
    if (event === 'down') return this.#disconnected.tell(unreachable())
    if (event === 'back, flows lost') this.#restarted.tell()
    this.#readied.tell()
  }

  #mustWork(): void {
    if (this.#state === 'closed') throw new SwitchError('closed', 'the driver is closed')
    if (this.hardware.isDown) throw unreachable()
    if (this.#state === 'new') throw new SwitchError('host_not_ready', 'the bridge is not prepared')
  }
}

function unreachable(): SwitchError {
  return new SwitchError('unreachable', 'the switch does not answer')
}
