import { flowKey, OpenFlowError, type Flow, type FlowChange } from '@nubo/wire-openflow'

import { SwitchError } from '../switch-driver.ts'

// OpenFlow counts tables from 0 to 254; OVS keeps 254 to itself.
const TABLE_MAX = 253
const PRIORITY_MAX = 0xffff

/** The flows of a switch, in memory, with the rules of a bundle. */
export class FakeFlowTable {
  #flows = new Map<string, Flow>()

  get flows(): Flow[] {
    return [...this.#flows.values()]
  }

  clear(): void {
    this.#flows.clear()
  }

  /** All or nothing; throws `flows_refused` for what a real switch would refuse. */
  apply(changes: readonly FlowChange[]): void {
    const undo: (() => void)[] = []
    try {
      changes.forEach((change, index) => this.#applyOne(change, index, undo))
    } catch (error) {
      for (const step of undo.toReversed()) step()
      throw error
    }
  }

  #applyOne(change: FlowChange, index: number, undo: (() => void)[]): void {
    switch (change.type) {
      case 'add':
        checkFlow(change.flow, index)
        this.#set(identity(change.flow, index), change.flow, undo)
        break
      case 'deleteStrict':
        this.#set(identity(change, index), undefined, undo)
        break
      case 'deleteByCookie':
        for (const [key, flow] of this.#flows) {
          const isElsewhere = change.table !== undefined && change.table !== flow.table
          if (isElsewhere || ((flow.cookie ^ change.cookie) & change.cookieMask) !== 0n) continue
          this.#set(key, undefined, undo)
        }
        break
    }
  }

  #set(key: string, next: Flow | undefined, undo: (() => void)[]): void {
    const old = this.#flows.get(key)
    undo.push(() => this.#put(key, old))
    this.#put(key, next)
  }

  #put(key: string, flow: Flow | undefined): void {
    if (flow === undefined) this.#flows.delete(key)
    else this.#flows.set(key, flow)
  }
}

function identity(flow: Pick<Flow, 'table' | 'priority' | 'match'>, index: number): string {
  try {
    return flowKey(flow)
  } catch (cause) {
    if (cause instanceof OpenFlowError) throw refused(index, 'malformed match', cause)
    throw cause
  }
}

function checkFlow(flow: Flow, index: number): void {
  if (!isWithin(flow.table, TABLE_MAX)) throw refused(index, 'no such table')
  if (!isWithin(flow.priority, PRIORITY_MAX)) throw refused(index, 'priority out of range')
  for (const action of flow.actions) {
    const isBackwards = action.type === 'goto' && action.table <= flow.table
    if (isBackwards) throw refused(index, 'goto must lead to a later table')
  }
}

function isWithin(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max
}

function refused(index: number, why: string, cause?: unknown): SwitchError {
  return new SwitchError('flows_refused', `change ${index} of a bundle: ${why}`, {
    details: { index },
    cause,
  })
}
