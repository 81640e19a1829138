import type { Database, Log } from '@nubo/runtime'
import type { Recorder, Tables } from '../../../world/index.ts'
import { quotaMismatches, recountProject } from '../store.ts'

/**
 * Makes counters true that are not: a server of an older version beside this one makes and removes without counting.
 * Nothing of this version does; a number in the log after an upgrade has ended is a defect.
 */
export async function recountQuotas(deps: {
  database: Database<Tables>
  recorder: Recorder
  log: Log
}): Promise<void> {
  const wrong = await quotaMismatches(deps.database)
  for (const { projectId, counted, found } of wrong) {
    deps.log.warn('the usage of a project was counted wrongly; it is counted anew', {
      projectId,
      counted,
      found,
    })
    await deps.recorder.write((tx) => recountProject(tx, projectId))
  }
}
