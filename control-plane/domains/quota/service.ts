import { PlatformError } from '@nubo/base'
import type { Quota } from '@nubo/contracts'
import type { Database } from '@nubo/runtime'
import type { QuotaLimits, Recorder, Tables, World } from '../../world/index.ts'
import { projectOf, type Caller } from '../identity/index.ts'
import { changedLimits, quotaResources, type LimitChanges } from './quota.ts'
import { lockQuota, readQuota, updateLimits, type QuotaRow } from './store.ts'

export interface QuotaDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly database: Database<Tables>
  readonly quotaDefaults: QuotaLimits
}

export type QuotaService = ReturnType<typeof createQuotaService>

/** Limits are kept where they are enforced, in `world/commit.ts`; here they are shown and set. */
export function createQuotaService({ world, recorder, database, quotaDefaults }: QuotaDeps) {
  function view(row: QuotaRow | undefined, caller: Caller): Quota {
    const project = world.project.get(caller.project)
    if (row === undefined || project === undefined)
      throw new PlatformError('NOT_FOUND', { kind: 'project', project: projectOf(caller) })
    return {
      projectId: project.id,
      project: project.name,
      resources: quotaResources(row, quotaDefaults),
    }
  }

  return {
    showQuota: async (caller: Caller): Promise<Quota> =>
      view(await readQuota(database, projectOf(caller)), caller),

    setQuota: async (caller: Caller, changes: LimitChanges): Promise<Quota> => {
      const projectId = projectOf(caller)
      const row = await recorder.write(async (tx, touched) => {
        const before = await lockQuota(tx, projectId)
        if (before === undefined) return undefined
        const limits = changedLimits(before.limits, changes)
        await updateLimits(tx, { projectId, limits })
        const told = (of: QuotaLimits): object => ({ projectId, limits: of })
        touched.tell({
          kind: 'quota',
          id: projectId,
          before: told(before.limits),
          after: told(limits),
        })
        return { ...before, limits }
      })
      return view(row, caller)
    },
  }
}
