import type { Clock } from '@nubo/base'
import type { FoundInstance } from '@nubo/contracts/host'
import {
  foundOf as foundRowOf,
  instanceOf,
  type OperationRow,
  type Recorder,
  type SetFoundRow,
  type VmFoundRow,
  type World,
} from '../../../world/index.ts'
import { changeOperations } from '../../operations/index.ts'
import { outcomeOf, type Outcome } from '../outcome.ts'
import { isFoundCurrent } from '../standing.ts'

const BATCH_MAX = 500

/**
 * Ends operations whose outcome is already known: a report may have come before the operation reached the process
 * that recorded it. Takes no hint; reads the world.
 */
export async function settleOperations(deps: {
  world: World
  recorder: Recorder
  clock: Clock
}): Promise<void> {
  const { world, recorder, clock } = deps
  const ends: { operation: OperationRow; outcome: Extract<Outcome, { at: 'done' | 'failed' }> }[] =
    []
  for (const operation of world.operation.by('open', 'yes')) {
    const outcome = knownOutcome(world, operation)
    if (outcome.at === 'done' || outcome.at === 'failed') ends.push({ operation, outcome })
    if (ends.length >= BATCH_MAX) break
  }
  if (ends.length === 0) return
  const atMs = clock.nowMs()
  await recorder.write((tx, touched) =>
    changeOperations(
      tx,
      touched,
      ends.map(({ operation, outcome }) => ({
        id: operation.id,
        state: outcome.at,
        reason: outcome.at === 'failed' ? outcome.reason : null,
        progress: outcome.progress,
        atMs,
      })),
    ),
  )
}

/** Whether a pass would end this operation. A pass looks at all open ones, so not every change is worth one. */
export function isSettled(world: World, operation: OperationRow | undefined): boolean {
  if (operation === undefined || operation.endedAtMs !== null) return false
  const { at } = knownOutcome(world, operation)
  return at === 'done' || at === 'failed'
}

function knownOutcome(world: World, operation: OperationRow): Outcome {
  const { resourceKind } = operation
  if (resourceKind !== 'set' && resourceKind !== 'vm') return { at: 'unrelated' }
  const row = instanceOf(world, operation.resourceId)
  if (row === undefined) {
    return operation.kind === `${resourceKind}.remove`
      ? { at: 'done', progress: 'removed' }
      : {
          at: 'failed',
          progress: 'gone',
          reason: {
            code: 'NOT_FOUND',
            text: `the ${resourceKind === 'set' ? 'set' : 'VM'} was removed meanwhile`,
          },
        }
  }
  const found = foundRowOf(world, row)
  if (!isFoundCurrent(row, found)) return { at: 'unrelated' }
  return outcomeOf(operation, foundOf(found))
}

function foundOf(row: SetFoundRow | VmFoundRow): FoundInstance {
  const { id, epoch, generation, progress, reason } = row
  if ('containers' in row) {
    const { state: ofSet, containers } = row
    return {
      kind: 'set',
      id,
      epoch,
      generation,
      state: ofSet,
      progress,
      reason,
      containers: [...containers],
    }
  }
  const { machine, restarts } = row
  return {
    kind: 'vm',
    id,
    epoch,
    generation,
    state: row.state,
    progress,
    reason,
    machine,
    restarts,
  }
}
