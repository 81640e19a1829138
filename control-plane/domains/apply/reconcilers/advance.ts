import type { Clock, OperationId } from '@nubo/base'
import type { Reason } from '@nubo/contracts'
import type { Database, Log } from '@nubo/runtime'
import {
  type Change,
  type OperationRow,
  type Recorder,
  type Tables,
  type World,
} from '../../../world/index.ts'
import { endOperation, progressOperation } from '../../operations/index.ts'
import { outcomeOfWait, type StepDeps } from '../run-step.ts'
import { APPLY, progressOf, standingOf } from '../steps.ts'
import {
  readApply,
  readSteps,
  recordSteps,
  sweepTraces,
  type ApplyRow,
  type StepChange,
  type StepRow,
} from '../store.ts'
import { STEPS_AT_ONCE_MAX, StepSlots, StepWork } from './step-work.ts'

export interface AdvanceDeps extends StepDeps {
  readonly recorder: Recorder
  readonly database: Database<Tables>
  readonly clock: Clock
  readonly log: Log
}

/** Applies that are worked on side by side; more wait their turn within the pass. */
const APPLIES_AT_ONCE_MAX = 8
/** An apply that is late says by itself what it has done, before its operation is ended for it. */
const BEFORE_DEADLINE_MS = 10_000

/**
 * Takes every apply that is open as far as it goes now. Reads its steps from the record and repeats what may have been
 * done without being recorded, so another process can go on where one was killed. Runs on the leader.
 */
export async function advanceApplies(deps: AdvanceDeps): Promise<void> {
  const open = deps.world.operation.by('open', APPLY).toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const slots = new StepSlots(STEPS_AT_ONCE_MAX)
  const lane = async (): Promise<void> => {
    for (let next = open.shift(); next !== undefined; next = open.shift()) {
      const { id } = next
      await advance(deps, next, slots).catch((error: unknown) =>
        deps.log.warn('an apply does not go on; it is tried again', { operationId: id, error }),
      )
    }
  }
  await Promise.all(Array.from({ length: APPLIES_AT_ONCE_MAX }, lane))
}

async function advance(
  deps: AdvanceDeps,
  operation: OperationRow,
  slots: StepSlots,
): Promise<void> {
  const { world, database } = deps
  const apply = await readApply(database, operation.id)
  if (apply === undefined) return
  let steps: readonly StepRow[] = await readSteps(database, operation.id)
  const work = new StepWork(deps, { operation, apply, slots })
  for (;;) {
    const isOpen = world.operation.get(operation.id)?.endedAtMs === null
    const standing = standingOf(steps)
    const mayBegin = isOpen && standing.at === 'going' && !isLate(deps, operation)
    // What some steps did is recorded while others are carried out.
    const changes = [...(await work.go(mayBegin ? steps : [])), ...endedWaits(deps, steps)]
    if (changes.length > 0) {
      steps = await recordAll(deps, { operation, apply, steps, changes })
      continue
    }
    work.throwIfFailed()
    if (!isOpen) return
    if (standing.at !== 'going') return end(deps, operation, standing)
    if (isLate(deps, operation)) return endLate(deps, operation, steps)
    return
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
    await recordSteps(tx, touched, { apply, projectId, changes })
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
