import {
  optionalNumberOf,
  optionalTextOf,
  textMapOf,
  textOf,
  type Replica,
  type Row,
  type RowChange,
  type Uuid,
} from '@nubo/wire-ovsdb'

import type { AttachedInterface, InterfaceState, PortChange } from '../switch-driver.ts'

/** Key in external_ids of the Port and Interface rows that are ours; its value is the port's id. */
export const PORT_ID_KEY = 'nubo-port'

interface Indexed {
  readonly uuid: Uuid
  readonly port: AttachedInterface
  /** Number of the device that the switch opened; another number under the same name is another device. */
  readonly openedIfindex: number | undefined
  /** The switch still holds the device that was replaced, and will until the port is taken away. */
  readonly isStale: boolean
}

/**
 * The rows of the replica that are instances' ports, by port id. Rows of Port and Interface exist only as long as a
 * bridge refers to them, and ours are only ever added to our bridge.
 */
export class InterfaceIndex {
  readonly ports = new Map<string, AttachedInterface>()
  readonly #interfaces = new Map<string, Indexed>()
  readonly #portRows = new Map<string, Uuid>()
  readonly #onChange: (change: PortChange) => void

  constructor(replica: Replica, onChange: (change: PortChange) => void) {
    this.#onChange = onChange
    replica.onChange((changes) => this.#take(changes))
  }

  /** The row of table Port, which is what a bridge refers to. */
  portRow(portId: string): Uuid | undefined {
    return this.#portRows.get(portId)
  }

  /** Ports whose device was replaced by another of the same name: they pass no packets until attached anew. */
  stalePorts(): AttachedInterface[] {
    return [...this.#interfaces.values()].filter(({ isStale }) => isStale).map(({ port }) => port)
  }

  #take(changes: readonly RowChange[]): void {
    const touched = new Set<string>()
    // Deletions first: a port that is replaced goes and comes in one batch, in either order.
    for (const change of changes) if (change.new === undefined) this.#forget(change, touched)
    for (const change of changes) this.#learn(change, touched)
    for (const portId of touched) this.#tell(portId)
  }

  #forget({ table, uuid, old }: RowChange, touched: Set<string>): void {
    const portId = old === undefined ? undefined : portIdOf(table, old)
    if (portId === undefined) return
    if (table === 'Port' && this.#portRows.get(portId) === uuid) this.#portRows.delete(portId)
    if (table === 'Interface' && this.#interfaces.get(portId)?.uuid === uuid) {
      this.#interfaces.delete(portId)
      touched.add(portId)
    }
  }

  #learn({ table, uuid, new: row }: RowChange, touched: Set<string>): void {
    const portId = row === undefined ? undefined : portIdOf(table, row)
    if (row === undefined || portId === undefined) return
    if (table === 'Port') this.#portRows.set(portId, uuid)
    if (table === 'Interface') {
      const before = this.#interfaces.get(portId)
      const openedBefore = before?.uuid === uuid ? before.openedIfindex : undefined
      this.#interfaces.set(portId, readInterface(row, { uuid, portId, openedBefore }))
      touched.add(portId)
    }
  }

  #tell(portId: string): void {
    const old = this.ports.get(portId)
    const next = this.#interfaces.get(portId)?.port
    if (old !== undefined && next !== undefined && isSame(old, next)) return
    if (next === undefined) this.ports.delete(portId)
    else this.ports.set(portId, next)
    this.#onChange({ portId, old, new: next })
  }
}

function portIdOf(table: string, row: Row): string | undefined {
  if (table !== 'Port' && table !== 'Interface') return undefined
  return textMapOf(row, 'external_ids').get(PORT_ID_KEY)
}

function readInterface(
  row: Row,
  known: { uuid: Uuid; portId: string; openedBefore: number | undefined },
): Indexed {
  const { uuid, portId, openedBefore } = known
  const name = textOf(row, 'name')
  const ofport = optionalNumberOf(row, 'ofport_request') ?? 0
  const ifindex = optionalNumberOf(row, 'ifindex') ?? 0
  const openedIfindex = openedBefore ?? (ifindex > 0 ? ifindex : undefined)
  const isStale = ifindex > 0 && ifindex !== openedIfindex
  const state = isStale ? STALE : readState(row, ofport)
  return { uuid, openedIfindex, isStale, port: { portId, name, ofport, state } }
}

const STALE = { at: 'failed', reason: 'the device was replaced by another of its name' } as const

function readState(row: Row, wantedOfport: number): InterfaceState {
  const error = optionalTextOf(row, 'error')
  if (error !== undefined) return { at: 'failed', reason: error }
  const ofport = optionalNumberOf(row, 'ofport')
  if (ofport === undefined) return { at: 'waiting' }
  // The switch keeps the port of a device that vanished, with 0 for its number.
  const isGone = optionalNumberOf(row, 'ifindex') === 0
  if (isGone) return { at: 'failed', reason: `network device ${textOf(row, 'name')} vanished` }
  if (ofport === wantedOfport) return { at: 'plugged' }
  // -1 is how the switch says that the port could not be created.
  if (ofport < 0) return { at: 'failed', reason: 'the switch could not create the port' }
  return {
    at: 'failed',
    reason: `the switch gave ofport ${ofport} instead of ${wantedOfport}, which is taken`,
  }
}

function isSame(a: AttachedInterface, b: AttachedInterface): boolean {
  const reason = (state: InterfaceState): string => (state.at === 'failed' ? state.reason : '')
  return (
    a.name === b.name &&
    a.ofport === b.ofport &&
    a.state.at === b.state.at &&
    reason(a.state) === reason(b.state)
  )
}
