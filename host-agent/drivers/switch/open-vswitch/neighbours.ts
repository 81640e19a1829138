import { every, type Clock, type Timer } from '@nubo/base'

import { SwitchError } from '../switch-driver.ts'
import type { OpenVswitchConfig } from './config.ts'
import type { ControlSocket } from './control-socket.ts'

// The switch forgets a neighbour after 900 s without use; a third of that survives two failures.
const REFRESH_MS = 300_000
// More tunnel ends than a region has hosts. When full, the one that was set longest ago is forgotten, and costs its
// next first packet.
const NEIGHBOURS_MAX = 20_000

/**
 * The tunnel's neighbour table of a userspace switch, which only the control socket reaches. The kernel's datapath
 * uses the kernel's own table instead and needs nothing of this.
 */
export class Neighbours {
  readonly #config: OpenVswitchConfig
  readonly #socket: Pick<ControlSocket, 'call'>
  readonly #wanted = new Map<string, string>()
  readonly #refresh: Timer | undefined

  constructor(config: OpenVswitchConfig, socket: Pick<ControlSocket, 'call'>, clock: Clock) {
    this.#config = config
    this.#socket = socket
    this.#refresh = this.#isNeeded ? every(clock, REFRESH_MS, () => this.replay()) : undefined
  }

  /** Remembers it and tells the switch. Idempotent. */
  async set(vtep: string, mac: string): Promise<void> {
    if (!this.#isNeeded) return
    this.#wanted.delete(vtep)
    this.#wanted.set(vtep, mac)
    const [oldest] = this.#wanted.keys()
    if (oldest !== undefined && this.#wanted.size > NEIGHBOURS_MAX) this.#wanted.delete(oldest)
    await this.#tell(vtep, mac)
  }

  /** Tells all again. Does not reject when the switch is away: the next replay tells what this one could not. */
  async replay(): Promise<void> {
    try {
      // A copy: more may be set while the switch is told.
      for (const [vtep, mac] of Array.from(this.#wanted)) await this.#tell(vtep, mac)
    } catch (error) {
      if (!(error instanceof SwitchError)) throw error
    }
  }

  stop(): void {
    this.#refresh?.cancel()
  }

  get #isNeeded(): boolean {
    return this.#config.datapathType === 'netdev'
  }

  async #tell(vtep: string, mac: string): Promise<void> {
    await this.#socket.call('tnl/neigh/set', this.#config.underlayBridge, vtep, mac)
  }
}
