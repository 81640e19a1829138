import type { Clock } from '@nubo/base'
import type { OperationRow, Recorder, World } from '../../../world/index.ts'
import { deleteOperations, endOperation } from '../store.ts'

/** Ended operations are kept this long, and at most so many. */
const RETENTION_MS = 7 * 86_400_000
const ENDED_MAX = 20_000
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
    for (const row of late.slice(0, BATCH_MAX)) {
      await endOperation(tx, touched, {
        id: row.id,
        state: 'failed',
        reason: {
          code: 'DEADLINE_EXCEEDED',
          text: `not done within ${Math.round((row.deadlineAtMs - row.createdAtMs) / 1_000)} s${row.reason === null ? '' : `: ${row.reason.text}`}; the work goes on and may still end well`,
        },
        progress: row.progress,
        atMs: nowMs,
      })
    }
    await deleteOperations(
      tx,
      touched,
      old.slice(0, BATCH_MAX).map((row) => row.id),
    )
  })
  return Math.max(late.length, old.length) > BATCH_MAX
}

/** Ended operations that are not kept, the oldest first. */
function surplus(world: World, nowMs: number): OperationRow[] {
  const tooMany = world.operation.size - world.operation.countBy('open', 'yes') - ENDED_MAX
  const ended = [...world.operation.values()].filter((row) => row.endedAtMs !== null)
  if (tooMany > 0) ended.sort((a, b) => (a.id < b.id ? -1 : 1))
  return ended.filter(
    (row, at) => at < tooMany || (row.endedAtMs !== null && row.endedAtMs < nowMs - RETENTION_MS),
  )
}
