import { PlatformError } from '@nubo/base'
import type { WantedPort } from '@nubo/contracts/host'
import type { Disk, DiskChange } from '../wanted/disk.ts'

/** Numbers above are left for the tunnel and what may come. */
const OFPORT_LAST = 59_999

/** A port of this host as the switch knows it. */
export interface PlacedPort {
  readonly portId: string
  readonly ofport: number
  /** The network device on the host's side. */
  readonly name: string
}

/**
 * Which number and device each local port has. Kept on disk, because flows name the number before the port exists,
 * and after a restart the flows on the switch must mean the same ports.
 */
export class PortTable {
  readonly #disk: Disk
  readonly #ports = new Map<string, PlacedPort>()
  readonly #ofports = new Set<number>()
  readonly #names = new Map<string, string>()
  #next = 1

  constructor(disk: Disk) {
    this.#disk = disk
    for (const { key, value } of disk.load('ofport')) {
      const [number, name] = value.split(' ')
      const ofport = Number(number)
      if (name === undefined || !isOfport(ofport) || this.#ofports.has(ofport)) continue
      this.#hold({ portId: key, ofport, name })
    }
  }

  get(portId: string): PlacedPort | undefined {
    return this.#ports.get(portId)
  }

  /** The port that has this device, or will have it when another one has given it back. */
  ownerOf(name: string): string | undefined {
    return this.#names.get(name)
  }

  get all(): ReadonlyMap<string, PlacedPort> {
    return this.#ports
  }

  /**
   * Gives each port a number and a device name, the ones it has where it has some; one write for all.
   * Throws ADDRESSES_EXHAUSTED if the bridge has no number left.
   */
  place(ports: Iterable<WantedPort>): void {
    const changes: DiskChange[] = []
    for (const port of ports) {
      const before = this.#ports.get(port.id)
      const name = this.#nameFor(port)
      if (before?.name === name) continue
      const placed = { portId: port.id, ofport: before?.ofport ?? this.#freeOfport(), name }
      this.#hold(placed)
      changes.push(record(placed))
    }
    // A port waits for this; and what a power cut loses of it, the database of the switch still says (`adopt`).
    if (changes.length > 0) this.#disk.writeSoon(changes)
  }

  /** Takes over what an earlier life left on the switch. False if its number or device is another port's by now. */
  adopt(placed: PlacedPort): boolean {
    const before = this.#ports.get(placed.portId)
    if (before !== undefined) return before.ofport === placed.ofport && before.name === placed.name
    if (
      !isOfport(placed.ofport) ||
      this.#ofports.has(placed.ofport) ||
      this.#names.has(placed.name)
    )
      return false
    this.#hold(placed)
    this.#disk.writeSoon([record(placed)])
    return true
  }

  /** The number is free for another port. Only when the port is off the switch. Idempotent. */
  release(portId: string): void {
    const placed = this.#ports.get(portId)
    if (placed === undefined) return
    this.#disk.writeSoon([{ type: 'remove', kind: 'ofport', key: portId }])
    this.#ports.delete(portId)
    this.#ofports.delete(placed.ofport)
    if (this.#names.get(placed.name) === portId) this.#names.delete(placed.name)
  }

  #hold(placed: PlacedPort): void {
    const before = this.#ports.get(placed.portId)
    if (before !== undefined && this.#names.get(before.name) === placed.portId)
      this.#names.delete(before.name)
    this.#ports.set(placed.portId, placed)
    this.#ofports.add(placed.ofport)
    this.#names.set(placed.name, placed.portId)
  }

  #freeOfport(): number {
    // In turn and not the lowest free one, so that a number rests before it is another port's.
    for (let tried = 0; tried < OFPORT_LAST; tried++) {
      const ofport = this.#next
      this.#next = ofport >= OFPORT_LAST ? 1 : ofport + 1
      if (!this.#ofports.has(ofport)) return ofport
    }
    throw new PlatformError('ADDRESSES_EXHAUSTED', { what: 'switch ports', limit: OFPORT_LAST })
  }

  /** From the end of the id, which is random, so that a lost table gives the same names again. */
  #nameFor(port: WantedPort): string {
    if (port.at.on === 'interface') return port.at.interfaceName
    const digits = port.id.replaceAll('-', '')
    for (let from = digits.length - DEVICE_DIGITS; from >= 0; from--) {
      const name = `np${digits.slice(from, from + DEVICE_DIGITS)}`
      const owner = this.#names.get(name)
      if (owner === undefined || owner === port.id) return name
    }
    throw new PlatformError('INTERNAL', { what: 'device name', portId: port.id })
  }
}

// A device name has at most 15 characters.
const DEVICE_DIGITS = 12

function isOfport(ofport: number): boolean {
  return Number.isInteger(ofport) && ofport >= 1 && ofport <= OFPORT_LAST
}

function record({ portId, ofport, name }: PlacedPort): DiskChange {
  return { type: 'put', kind: 'ofport', key: portId, value: `${ofport} ${name}` }
}
