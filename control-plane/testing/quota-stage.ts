import type { TestContext } from 'node:test'
import { newId, type ProjectId } from '@nubo/base'
import { openDatabase, silentLog, systemClock, systemRandom } from '@nubo/runtime'
import { openTestDatabase } from '../../tests/support/database.ts'
import { setRow } from '../host-sessions/testing/rows.ts'
import {
  commit,
  createRecorder,
  FeedReader,
  insertQuota,
  World,
  type QuotaLimits,
  type Recorder,
  type SetRow,
  type Tables,
} from '../world/index.ts'

/** Two processes' worth of world and recorder on one database, with projects to fill. */
export async function openQuotaStage(context: TestContext, quotaDefaults: QuotaLimits = {}) {
  const { url, database } = await openTestDatabase<Tables>(context)
  const base = { database, clock: systemClock }
  const accountId = newId<'account'>(systemClock, systemRandom)
  await commit(base, async (tx, touched) => {
    await tx.insertInto('account').values({ id: accountId, name: 'a', createdAtMs: 1 }).execute()
    touched.touch('account', accountId)
  })
  const start = async (): Promise<{ world: World; recorder: Recorder }> => {
    const own = openDatabase<Tables>({ url, clock: systemClock, log: silentLog })
    const world = new World(systemClock)
    const deps = { database: own, clock: systemClock, log: silentLog, world }
    const feed = new FeedReader(deps)
    await feed.start()
    context.after(async () => {
      await feed.stop()
      await own.close()
    })
    const recorder = createRecorder({ ...deps, feed, random: systemRandom, quotaDefaults })
    return { world, recorder }
  }
  let sets = 0
  return {
    database,
    start,
    addProject: async (name: string): Promise<ProjectId> => {
      const id: ProjectId = newId(systemClock, systemRandom)
      await commit(base, async (tx, touched) => {
        await tx.insertInto('project').values({ id, accountId, name, createdAtMs: 1 }).execute()
        await insertQuota(tx, id)
        touched.touch('project', id)
      })
      return id
    },
    newSet: (projectId: ProjectId): SetRow => ({
      ...setRow(1),
      id: newId(systemClock, systemRandom),
      projectId,
      name: `set-${++sets}`,
      cpuMillis: 500,
      memoryBytes: 64 * 2 ** 20,
      hostId: null,
      epoch: 0,
    }),
    limit: (projectId: ProjectId, limits: QuotaLimits) =>
      database.query
        .updateTable('quota')
        .set({ limits: JSON.stringify(limits) })
        .where('projectId', '=', projectId)
        .execute(),
    used: (projectId: ProjectId) =>
      database.query
        .selectFrom('quota')
        .selectAll()
        .where('projectId', '=', projectId)
        .executeTakeFirstOrThrow(),
  }
}
