import type { Clock } from '@nubo/base'
import type { OperationRow, Recorder, World } from '../../../world/index.ts'
import { changeOperations, deleteOperations } from '../store.ts'

/** Ended operations are kept this long, and at most so many. */
const RETENTION_MS = 7 * 86_400_000
export const ENDED_MAX = 20_000
const BATCH_MAX = 500

/**
 * No operation waits for ever: one that is past its deadline fails, with the last known reason. What it wanted stays
 * wanted, so the work goes on and may still succeed. Also drops operations that ended long ago, and the oldest where
 * they are too many. Returns whether more is left to do.
 */
export async function expireOperations(deps: {
  world: World
  recorder: Recorder
  clock: Clock
}): Promise<boolean> {
  const { world, recorder, clock } = deps
  const nowMs = clock.nowMs()
  const late = world.operation.by('open', 'yes').filter((row) => row.deadlineAtMs <= nowMs)
  const old = surplus(world, nowMs)
  if (late.length === 0 && old.length === 0) return false
  await recorder.write(async (tx, touched) => {
    await changeOperations(
      tx,
      touched,
      late.slice(0, BATCH_MAX).map((row) => ({
        id: row.id,
        state: 'failed',
        reason: {
          code: 'DEADLINE_EXCEEDED',
          text: `not done within ${Math.round((row.deadlineAtMs - row.createdAtMs) / 1_000)} s${row.reason === null ? '' : `: ${row.reason.text}`}; the work goes on and may still end well`,
        },
        progress: row.progress,
        atMs: nowMs,
      })),
    )
    await deleteOperations(
      tx,
      touched,
      old.map((row) => row.id),
    )
  })
  return late.length > BATCH_MAX || old.length === BATCH_MAX
}

/** Ended operations that are not kept, the oldest first; at most a batch. */
function surplus(world: World, nowMs: number): OperationRow[] {
  const oldestMs = nowMs - RETENTION_MS
  let tooMany = world.operation.size - world.operation.countBy('open', 'yes') - ENDED_MAX
  const found: OperationRow[] = []
  // Ids are in order of time, so that what is kept is not looked at.
  for (const row of world.operation.in({})) {
    if (found.length === BATCH_MAX || (tooMany <= 0 && row.createdAtMs >= oldestMs)) break
    if (row.endedAtMs === null || (tooMany <= 0 && row.endedAtMs >= oldestMs)) continue
    found.push(row)
    tooMany--
  }
  return found
}
