import { flowKey, flowsEqual, type Flow, type FlowChange } from '@nubo/wire-openflow'
import { sameOwner } from './cookies.ts'

/**
 * The fewest changes that turn `from` into `to`, deterministic: additions first, then deletions, each in the order of
 * tables and then of keys. A flow of the same identity is replaced only if it differs in more than the round of its
 * cookie. Both sides may be in any order; each must hold an identity once.
 */
export function diffFlows(from: Iterable<Flow>, to: Iterable<Flow>): FlowChange[] {
  const before = new Map<string, Flow>()
  for (const flow of from) before.set(flowKey(flow), flow)
  const added: KeyedFlow[] = []
  for (const flow of to) {
    const key = flowKey(flow)
    const old = before.get(key)
    before.delete(key)
    if (old === undefined || !sameButForRound(old, flow)) added.push({ key, flow })
  }
  const removed = Array.from(before, ([key, flow]) => ({ key, flow }))
  return [
    ...added.sort(byTableAndKey).map(({ flow }) => addition(flow)),
    ...removed.sort(byTableAndKey).map(({ flow }) => deletion(flow)),
  ]
}

/** As diffFlows from nothing, in the order of tables and then as given: nobody needs to know which flow is which. */
export function additions(flows: readonly Flow[]): FlowChange[] {
  return flows.toSorted(byTable).map(addition)
}

/** As diffFlows to nothing, in the order of tables and then as given. */
export function deletions(flows: readonly Flow[]): FlowChange[] {
  return flows.toSorted(byTable).map(deletion)
}

function addition(flow: Flow): FlowChange {
  return { type: 'add', flow }
}

function deletion({ table, priority, match }: Flow): FlowChange {
  return { type: 'deleteStrict', table, priority, match }
}

/**
 * What to send after a restart or a lost connection: turns what the switch holds into what is wanted. Everything on
 * the bridge that is not wanted goes, whoever put it there: the bridge is ours alone.
 */
export function diffAgainstSwitch(wanted: Iterable<Flow>, found: Iterable<Flow>): FlowChange[] {
  return diffFlows(found, wanted)
}

interface KeyedFlow {
  readonly key: string
  readonly flow: Flow
}

function sameButForRound(a: Flow, b: Flow): boolean {
  return sameOwner(a.cookie, b.cookie) && flowsEqual({ ...a, cookie: b.cookie }, b)
}

function byTable(a: Flow, b: Flow): number {
  return a.table - b.table
}

function byTableAndKey(a: KeyedFlow, b: KeyedFlow): number {
  return byTable(a.flow, b.flow) || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)
}
