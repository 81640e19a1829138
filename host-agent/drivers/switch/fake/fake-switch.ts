import { Listeners } from '../listeners.ts'
import type { AttachedInterface, InterfaceState, PortChange } from '../switch-driver.ts'
import { FakeFlowTable } from './fake-flow-table.ts'

/** What drivers notice of the switch's life. */
export type FakeSwitchEvent = 'down' | 'back, flows kept' | 'back, flows lost'

/**
 * The hardware, so to say, under `FakeSwitchDriver`: it outlives drivers as a real switch outlives its agent.
 * What can go wrong on a real host is made to happen by calling its methods.
 */
export class FakeSwitch {
  readonly flows = new FakeFlowTable()
  /** What was told by `setNeighbour`. */
  readonly neighbours = new Map<string, string>()
  readonly portChanged = new Listeners<PortChange>()
  readonly lifeChanged = new Listeners<FakeSwitchEvent>()
  readonly #ports = new Map<string, AttachedInterface>()
  readonly #missingDevices = new Set<string>()
  #isDown = false

  get ports(): ReadonlyMap<string, AttachedInterface> {
    return this.#ports
  }

  get isDown(): boolean {
    return this.#isDown
  }

  /** The switch dies and comes back: ports stay, flows are gone. */
  restart(): void {
    this.disconnect()
    this.reconnect('flows lost')
  }

  /** Nobody reaches it until `reconnect`. Idempotent. */
  disconnect(): void {
    if (this.#isDown) return
    this.#isDown = true
    this.lifeChanged.tell('down')
  }

  /** The end of `disconnect`. Idempotent. */
  reconnect(flows: 'flows kept' | 'flows lost' = 'flows kept'): void {
    if (!this.#isDown) return
    this.#isDown = false
    if (flows === 'flows lost') this.flows.clear()
    this.lifeChanged.tell(`back, ${flows}`)
  }

  /** The device vanishes, or will be missing when it is attached. Idempotent. */
  removeDevice(name: string): void {
    this.#missingDevices.add(name)
    this.#lookAtDevice(name)
  }

  /** The end of `removeDevice`. Idempotent. */
  makeDevice(name: string): void {
    this.#missingDevices.delete(name)
    this.#lookAtDevice(name)
  }

  stateOf(deviceName: string): InterfaceState {
    if (!this.#missingDevices.has(deviceName)) return { at: 'plugged' }
    const reason = `could not open network device ${deviceName} (No such device)`
    return { at: 'failed', reason }
  }

  setPort(portId: string, next: AttachedInterface | undefined): void {
    const old = this.#ports.get(portId)
    if (next === undefined) this.#ports.delete(portId)
    else this.#ports.set(portId, next)
    this.portChanged.tell({ portId, old, new: next })
  }

  #lookAtDevice(name: string): void {
    for (const port of this.#ports.values()) {
      const state = this.stateOf(name)
      if (port.name !== name || port.state.at === state.at) continue
      this.setPort(port.portId, { ...port, state })
    }
  }
}
