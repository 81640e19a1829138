import type { Clock } from '@nubo/base'
import type { Database } from '@nubo/runtime'
import { whileActing, type CallAct, type OperationRow, type Tables } from '../../../world/index.ts'
import type { Caller } from '../../identity/index.ts'
import { runStep, type StepDeps, type StepResult } from '../run-step.ts'
import { readySteps } from '../steps.ts'
import { readBodies, type ApplyRow, type StepChange, type StepRow } from '../store.ts'

/** Steps that are carried out at once, of all applies: each takes a connection, of which calls need some, too. */
export const STEPS_AT_ONCE_MAX = 12
/** Commits come one after the other in a region, so that what ends meanwhile shares one. */
const CHANGES_PER_COMMIT_MIN = 8
/** Steps of one apply that wait for what they began. */
const STEPS_UNDER_WAY_MAX = 64
/** What passes is waited for this long: an address rests 60 s. */
const PASSING_TROUBLE_MAX_MS = 90_000

export interface StepWorkDeps extends StepDeps {
  readonly database: Database<Tables>
  readonly clock: Clock
}

/** Steps of one apply that are being carried out in this pass, side by side. */
export class StepWork {
  readonly #deps: StepWorkDeps
  readonly #of: { operation: OperationRow; apply: ApplyRow; caller: Caller; slots: StepSlots }
  /** A step that waits for something that passes is not tried twice in one pass. */
  readonly #tried = new Set<number>()
  readonly #going = new Set<Promise<void>>()
  #ended: StepChange[] = []
  #failure: { readonly error: unknown } | undefined

  constructor(
    deps: StepWorkDeps,
    of: { operation: OperationRow; apply: ApplyRow; slots: StepSlots },
  ) {
    const { operation, apply, slots } = of
    const { tokenId, tokenName, accountId, role } = apply
    const project = operation.projectId ?? undefined
    this.#deps = deps
    this.#of = { operation, apply, caller: { tokenId, tokenName, accountId, role, project }, slots }
  }

  /**
   * Begins whatever of these steps may begin, and goes on until some have come to an end, for better or worse: as many
   * as are worth a commit. Empty when none is being carried out.
   */
  async go(steps: readonly StepRow[]): Promise<readonly StepChange[]> {
    for (;;) {
      if (this.#going.size <= STEPS_AT_ONCE_MAX / 2) await this.#begin(steps)
      if (this.#going.size === 0 || this.#ended.length >= CHANGES_PER_COMMIT_MIN) break
      await Promise.race(this.#going)
    }
    const ended = this.#ended
    this.#ended = []
    return ended
  }

  async #begin(steps: readonly StepRow[]): Promise<void> {
    if (this.#failure !== undefined) return
    // What has ended and is not recorded yet still counts among them, and so among those under way.
    const numbers = readySteps(steps, STEPS_UNDER_WAY_MAX)
      .map(({ number }) => number)
      .filter((number) => !this.#tried.has(number))
      .slice(0, STEPS_AT_ONCE_MAX - this.#going.size)
    if (numbers.length === 0) return
    const { database } = this.#deps
    const bodies = await readBodies(database, this.#of.operation.id, numbers)
    const chosen = new Set(numbers)
    for (const step of steps) {
      if (!chosen.has(step.number)) continue
      this.#tried.add(step.number)
      const going: Promise<void> = this.#carryOut(step, bodies.get(step.number))
        .catch((error: unknown) => void (this.#failure ??= { error }))
        .finally(() => this.#going.delete(going))
      this.#going.add(going)
    }
  }

  /** After the others have been recorded: a step that could not even fail is tried again in another pass. */
  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }

  async #carryOut(step: StepRow, body: unknown): Promise<void> {
    const { operation, apply, caller, slots } = this.#of
    const result = await slots.within(() =>
      whileActing(actOf(this.#deps, { operation, apply, caller, step }), () =>
        runStep(this.#deps, caller, step, body),
      ),
    )
    this.#ended.push(changeOf(this.#deps, step, result))
  }
}

/** Lets so many work at once; the others wait in order. */
export class StepSlots {
  readonly #waiting: (() => void)[] = []
  #free: number

  constructor(count: number) {
    this.#free = count
  }

  async within<Value>(work: () => Promise<Value>): Promise<Value> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }
}

/** A step is done in the name of whoever asked for the whole; the audit finds it by the id of the operation. */
function actOf(
  { world }: StepWorkDeps,
  of: { operation: OperationRow; apply: ApplyRow; caller: Caller; step: StepRow },
): CallAct {
  const { operation, apply, caller, step } = of
  const { tokenId, tokenName, accountId } = caller
  return {
    by: 'call',
    actor: world.account.get(accountId)?.name ?? tokenName,
    tokenId,
    accountId,
    projectId: operation.projectId,
    requestId: operation.id,
    call: 'applyCreate',
    resourceKind: step.kind,
    resource: step.name,
    step: {
      operationId: operation.id,
      manifestId: apply.manifestId,
      owns: step.action === 'remove' ? null : step.kind,
    },
  }
}

function changeOf({ clock }: StepWorkDeps, step: StepRow, result: StepResult): StepChange {
  const { number, kind } = step
  const nowMs = clock.nowMs()
  const begunAtMs = step.begunAtMs ?? nowMs
  const change = { number, begunAtMs, reason: null, waitsFor: null, owns: null, disowns: null }
  switch (result.at) {
    case 'done': {
      const { id } = result
      return { ...change, state: 'done', owns: id === null ? null : { id, kind } }
    }
    case 'running': {
      const { id, waitsFor } = result
      // It is ours from the moment that it is there, so that a later apply can prune what this one began.
      return {
        ...change,
        state: 'running',
        waitsFor,
        owns: step.action === 'remove' ? null : { id, kind },
      }
    }
    case 'failed':
      return { ...change, state: 'failed', reason: result.reason }
    case 'again': {
      const isOver = nowMs - begunAtMs > PASSING_TROUBLE_MAX_MS
      return { ...change, state: isOver ? 'failed' : 'pending', reason: result.reason }
    }
  }
}
