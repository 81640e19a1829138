import { AsyncLocalStorage } from 'node:async_hooks'
import type { ManifestKind } from '@nubo/contracts'

/** A step of an apply, which the leader carries out. */
export interface ApplyStepAct {
  readonly operationId: string
  readonly manifestId: string
  /** What of that which it touches belongs to the manifest from then on; null: nothing. */
  readonly owns: ManifestKind | null
}

/** A call of the public API while it is handled, as the audit tells of it. */
export interface CallAct {
  readonly by: 'call'
  /** Name of the account or token. */
  readonly actor: string
  readonly tokenId: string | null
  readonly accountId: string | null
  readonly projectId: string | null
  readonly requestId: string
  /** Its name in the contract. */
  readonly call: string
  readonly resourceKind: string
  /** What it named, by id or name; null if nothing. */
  readonly resource: string | null
  /** Absent where somebody made the call. */
  readonly step?: ApplyStepAct
}

/** The control plane itself: a reconciler. */
export interface SystemAct {
  readonly by: 'system'
  /** 'system:place' */
  readonly actor: string
  readonly call: string
}

export type Act = CallAct | SystemAct

/**
 * For whom the code at hand works. It is asked by `commit` alone, which writes the audit row: so no service hands an
 * actor through, and none can forget to. See docs/decisions/0011-quota-and-audit-in-the-commit.md.
 */
const acting = new AsyncLocalStorage<Act | undefined>()

export function whileActing<Value>(act: Act | undefined, work: () => Value): Value {
  return acting.run(act, work)
}

export function actNow(): Act | undefined {
  return acting.getStore()
}
