import { sleep, type Clock } from '@nubo/base'
import type { WantedPort } from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime/process'
import type { SwitchDriver } from '../drivers/switch/switch-driver.ts'
import { logged } from '../logged.ts'
import type { WantedStore } from '../wanted/wanted-store.ts'
import type { PlacedPort, PortTable } from './port-table.ts'

const RETRY_MS = 5_000

export interface AttachmentNeeds {
  readonly clock: Clock
  readonly log: Log
  readonly store: WantedStore
  readonly driver: SwitchDriver
  readonly table: PortTable
  /** A device was given back that this wanted port waits for. */
  readonly onFree: (portId: string) => void
}

/** Puts local ports on the switch under the numbers of the table, and takes off those that nobody wants. */
export class Attachments {
  readonly #needs: AttachmentNeeds
  /** Ports that are being taken from the switch. */
  readonly #leaving = new Map<string, Promise<void>>()

  constructor(needs: AttachmentNeeds) {
    this.#needs = needs
  }

  /** Its device must exist. Idempotent; rejects with the switch's error. */
  async attach(placed: PlacedPort): Promise<void> {
    const { driver, log, table } = this.#needs
    for (const { portId, name, ofport } of driver.attached().values()) {
      if (portId === placed.portId || ofport !== placed.ofport) continue
      // If it is to have another number, it may be the one under which that port is now: they would wait for each other.
      if (table.get(portId)?.ofport === ofport) continue
      log.warn('a port under the number of another is taken off', { portId, name, ofport })
      await driver.detach(portId)
    }
    await driver.attach(placed)
  }

  /** Ports on devices that no set driver makes. Never rejects. */
  async attachInterfaces(ports: readonly WantedPort[]): Promise<void> {
    const { driver, log, table } = this.#needs
    const wanted = ports.filter(({ at }) => at.on === 'interface')
    if (wanted.length === 0) return
    const attached = driver.attached()
    await Promise.all(
      wanted.map(async ({ id: portId }) => {
        const placed = table.get(portId)
        const found = attached.get(portId)
        if (placed === undefined) return
        const { name, ofport } = placed
        if (found?.name === name && found.ofport === ofport) return
        try {
          await this.attach(placed)
        } catch (error) {
          // The comparison by time tries again; a device that is not there must not hold up the flows of others.
          log.warn('an interface cannot be attached', { portId, name, ...logged(error) })
        }
      }),
    )
  }

  /**
   * Ports that nobody wants any more leave the switch, and then give their number back. Nobody waits for that: the
   * switch takes its time to let go of a device, and flows of others must not take it too.
   */
  detachUnwanted(signal: AbortSignal): void {
    const { driver, log, table } = this.#needs
    const attached = driver.attached()
    for (const { portId, name } of attached.values())
      if (!this.#isLocal(portId) && !this.#leaving.has(portId))
        this.#leaving.set(portId, this.#detach({ portId, name }, signal))
    try {
      for (const portId of table.all.keys())
        if (!attached.has(portId) && !this.#leaving.has(portId) && !this.#isLocal(portId))
          table.release(portId)
    } catch (error) {
      // A full disk. They keep their numbers a while longer.
      log.warn('numbers of ports could not be given back', logged(error))
    }
  }

  /** Resolves when none is being taken off any more. */
  async settled(): Promise<void> {
    await Promise.all(this.#leaving.values())
  }

  /** Never rejects. */
  async #detach(port: { portId: string; name: string }, signal: AbortSignal): Promise<void> {
    const { clock, driver, log, table, onFree } = this.#needs
    const { portId, name } = port
    try {
      await driver.detach(portId)
    } catch (error) {
      log.warn('a port could not be taken from the switch', { portId, ...logged(error) })
      await sleep(clock, RETRY_MS, signal).catch(() => undefined)
    }
    this.#leaving.delete(portId)
    if (signal.aborted) return
    // Another port may have waited for the device, or this one is wanted again.
    const next = table.ownerOf(name)
    if (next !== undefined && this.#isLocal(next)) onFree(next)
    this.detachUnwanted(signal)
  }

  #isLocal(portId: string): boolean {
    return isLocalPort(this.#needs.store.ports.get(portId))
  }
}

export function isLocalPort(port: WantedPort | undefined): boolean {
  return port !== undefined && port.at.on !== 'remote'
}
