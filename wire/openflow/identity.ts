import { canonicalAction } from './actions.ts'
import type { Action, Flow } from './flow.ts'
import { matchKey } from './match-key.ts'

/** What identifies a row of a table: two flows that agree here replace each other. */
export type FlowIdentity = Pick<Flow, 'table' | 'priority' | 'match'>

/**
 * One text for all spellings of an identity: a flow that was composed and the same flow dumped from a switch have the
 * same key, whatever form their values have. Throws OpenFlowEncodeError for a match that cannot be expressed.
 */
export function flowKey(flow: FlowIdentity): string {
  return `${flow.table},${flow.priority},${matchKey(flow.match)}`
}

/** One text for all spellings of a list of actions; load and set_field of the same bits are the same. */
export function actionsKey(actions: readonly Action[]): string {
  return actions
    .map((action) => (action.type === 'goto' ? `goto:${action.table}` : canonicalAction(action)))
    .join(',')
}

/**
 * True if a switch that holds `a` need not be sent `b`: same identity, cookie, timeouts, flow-removed wish and actions.
 * Throws OpenFlowEncodeError for a flow that cannot be expressed.
 */
export function flowsEqual(a: Flow, b: Flow): boolean {
  return (
    a.table === b.table &&
    a.priority === b.priority &&
    a.cookie === b.cookie &&
    (a.idleTimeoutSeconds ?? 0) === (b.idleTimeoutSeconds ?? 0) &&
    (a.hardTimeoutSeconds ?? 0) === (b.hardTimeoutSeconds ?? 0) &&
    (a.sendFlowRemoved ?? false) === (b.sendFlowRemoved ?? false) &&
    matchKey(a.match) === matchKey(b.match) &&
    actionsKey(a.actions) === actionsKey(b.actions)
  )
}
