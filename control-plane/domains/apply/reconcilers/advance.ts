import type { Clock, OperationId } from '@nubo/base'
import type { Reason } from '@nubo/contracts'
import type { Database, Log } from '@nubo/runtime'
import {
  whileActing,
  type CallAct,
  type Change,
  type OperationRow,
  type Recorder,
  type Tables,
  type World,
} from '../../../world/index.ts'
import type { Caller } from '../../identity/index.ts'
import { endOperation, progressOperation } from '../../operations/index.ts'
import { outcomeOfWait, runStep, type StepDeps, type StepResult } from '../run-step.ts'
import { APPLY, progressOf, readySteps, standingOf } from '../steps.ts'
import {
  readApply,
  readBodies,
  readSteps,
  recordStep,
  sweepTraces,
  type ApplyRow,
  type StepChange,
  type StepRow,
} from '../store.ts'

export interface AdvanceDeps extends StepDeps {
  readonly recorder: Recorder
  readonly database: Database<Tables>
  readonly clock: Clock
  readonly log: Log
}

/** Applies that are worked on side by side; more wait their turn within the pass. */
const APPLIES_AT_ONCE_MAX = 8
/** Steps of one apply that are carried out at once, and that are waited for at once. */
const STEPS_AT_ONCE_MAX = 8
const STEPS_UNDER_WAY_MAX = 64
/** What passes is waited for this long: an address rests 60 s. */
const PASSING_TROUBLE_MAX_MS = 90_000
/** An apply that is late says by itself what it has done, before its operation is ended for it. */
const BEFORE_DEADLINE_MS = 10_000

/**
 * Takes every apply that is open as far as it goes now. Reads its steps from the record and repeats what may have been
 * done without being recorded, so another process can go on where one was killed. Runs on the leader.
 */
export async function advanceApplies(deps: AdvanceDeps): Promise<void> {
  const open = deps.world.operation.by('open', APPLY).toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const lane = async (): Promise<void> => {
    for (let next = open.shift(); next !== undefined; next = open.shift()) {
      const { id } = next
      await advance(deps, next).catch((error: unknown) =>
        deps.log.warn('an apply does not go on; it is tried again', { operationId: id, error }),
      )
    }
  }
  await Promise.all(Array.from({ length: APPLIES_AT_ONCE_MAX }, lane))
}

async function advance(deps: AdvanceDeps, operation: OperationRow): Promise<void> {
  const { world, database } = deps
  const apply = await readApply(database, operation.id)
  if (apply === undefined) return
  let steps: readonly StepRow[] = await readSteps(database, operation.id)
  steps = await recordAll(deps, {
    operation,
    apply,
    steps,
    changes: endedWaits(deps, steps),
  })
  // A step that waits for something that passes is not tried twice in one pass.
  const tried = new Set<number>()
  for (;;) {
    if (world.operation.get(operation.id)?.endedAtMs !== null) return
    const standing = standingOf(steps)
    if (standing.at !== 'going') return end(deps, operation, standing)
    if (isLate(deps, operation)) return endLate(deps, operation, steps)
    const ready = readySteps(steps, STEPS_UNDER_WAY_MAX)
      .filter(({ number }) => !tried.has(number))
      .slice(0, STEPS_AT_ONCE_MAX)
    if (ready.length === 0) return
    for (const { number } of ready) tried.add(number)
    const numbers = new Set(ready.map(({ number }) => number))
    const batch = steps.filter(({ number }) => numbers.has(number))
    const changes = await runAll(deps, { operation, apply, batch })
    steps = await recordAll(deps, { operation, apply, steps, changes })
  }
}

async function runAll(
  deps: AdvanceDeps,
  {
    operation,
    apply,
    batch,
  }: { operation: OperationRow; apply: ApplyRow; batch: readonly StepRow[] },
): Promise<StepChange[]> {
  const bodies = await readBodies(
    deps.database,
    operation.id,
    batch.map(({ number }) => number),
  )
  const caller: Caller = {
    tokenId: apply.tokenId,
    tokenName: apply.tokenName,
    accountId: apply.accountId,
    role: apply.role,
    project: operation.projectId ?? undefined,
  }
  return Promise.all(
    batch.map(async (step) =>
      changeOf(
        deps,
        step,
        await whileActing(actOf(deps, { operation, caller, step }), () =>
          runStep(deps, caller, step, bodies.get(step.number)),
        ),
      ),
    ),
  )
}

/** A step is done in the name of whoever asked for the whole; the audit finds it by the id of the operation. */
function actOf(
  { world }: AdvanceDeps,
  of: { operation: OperationRow; caller: Caller; step: StepRow },
): CallAct {
  const { operation, caller, step } = of
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
  }
}

function changeOf({ clock }: AdvanceDeps, step: StepRow, result: StepResult): StepChange {
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

/** Steps that waited for an operation which has ended. */
function endedWaits({ world, clock }: AdvanceDeps, steps: readonly StepRow[]): StepChange[] {
  return steps.flatMap((step): StepChange[] => {
    if (step.state !== 'running') return []
    const change = {
      number: step.number,
      begunAtMs: step.begunAtMs ?? clock.nowMs(),
      reason: null,
      waitsFor: null,
      owns: null,
      disowns: null,
    }
    const awaited = world.operation.get(step.waitsFor)
    // Forgotten by now: the step looks again at what there is.
    if (awaited === undefined) return [{ ...change, state: 'pending' }]
    const outcome = outcomeOfWait(awaited)
    if (outcome === undefined) return []
    const disowns = step.action === 'remove' && outcome.at === 'done' ? awaited.resourceId : null
    return outcome.at === 'done'
      ? [{ ...change, state: 'done', disowns }]
      : [{ ...change, state: 'failed', reason: outcome.reason }]
  })
}

/** Returns the steps as they are after it. */
async function recordAll(
  { recorder, clock }: AdvanceDeps,
  at: {
    operation: OperationRow
    apply: ApplyRow
    steps: readonly StepRow[]
    changes: readonly StepChange[]
  },
): Promise<readonly StepRow[]> {
  const { operation, apply, changes } = at
  const { projectId } = operation
  if (changes.length === 0 || projectId === null) return at.steps
  const byNumber = new Map(changes.map((change) => [change.number, change]))
  const steps = at.steps.map((step) => {
    const change = byNumber.get(step.number)
    if (change === undefined) return step
    const { state, reason, waitsFor, begunAtMs } = change
    return { ...step, state, reason, waitsFor, begunAtMs }
  })
  await recorder.write(async (tx, touched) => {
    for (const change of changes) await recordStep(tx, touched, { apply, projectId, change })
    await progressOperation(tx, touched, {
      id: operation.id,
      progress: progressOf(steps),
      reason: waitingReason(steps),
      atMs: clock.nowMs(),
    })
  })
  return steps
}

/** Why the first step that could begin does not get on. */
function waitingReason(steps: readonly StepRow[]): Reason | null {
  const waiting = steps.find(({ state, reason }) => state === 'pending' && reason !== null)
  if (waiting === undefined || waiting.reason === null) return null
  const { kind, name, reason } = waiting
  return { code: reason.code, text: `${kind} ${name}: ${reason.text}` }
}

async function end(
  { recorder, clock }: AdvanceDeps,
  { id }: { id: OperationId },
  standing: { at: 'done' | 'failed'; progress: string; reason?: Reason },
): Promise<void> {
  const { at: state, progress } = standing
  const reason = standing.reason ?? null
  await recorder.write((tx, touched) =>
    endOperation(tx, touched, { id, state, reason, progress, atMs: clock.nowMs() }),
  )
}

function isLate({ clock }: AdvanceDeps, { deadlineAtMs }: OperationRow): boolean {
  return clock.nowMs() > deadlineAtMs - BEFORE_DEADLINE_MS
}

async function endLate(
  deps: AdvanceDeps,
  operation: OperationRow,
  steps: readonly StepRow[],
): Promise<void> {
  const progress = progressOf(steps)
  const text = `not done in time: ${progress}; apply again to go on`
  const reason = { code: 'DEADLINE_EXCEEDED', text }
  return end(deps, operation, { at: 'failed', progress, reason })
}

/** Whether a pass may have something to do after this change. */
export function isNewsForApplies(world: World, { kind, id }: Change): boolean {
  if (kind !== 'operation' || world.operation.countBy('open', APPLY) === 0) return false
  const row = world.operation.get(id)
  if (row === undefined) return false
  // Its own progress is no news to it.
  return row.kind === APPLY ? row.state === 'pending' : row.endedAtMs !== null
}

/** Forgets whose things were that are gone. */
export async function sweepApplied(deps: Pick<AdvanceDeps, 'world' | 'recorder'>): Promise<void> {
  const { world, recorder } = deps
  const isStale = [...world.applied.values()].some(
    ({ kind, id }) => world[kind].get(id) === undefined,
  )
  const isEmpty = [...world.manifest.values()].some(
    ({ id }) => world.applied.countBy('manifest', id) === 0,
  )
  if (isStale || isEmpty) await recorder.write((tx, touched) => sweepTraces(tx, touched, world))
}
