// Proves that the feed never ends with an older body of a row than the table holds.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newId, type ProjectId } from '@nubo/base'
import { silentLog, systemClock, systemRandom } from '@nubo/runtime'
import { sql, type KyselyPlugin } from 'kysely'
import { openTestDatabase } from '../../tests/support/database.ts'
import { waitUntil } from '../../tests/support/wait.ts'
import { commit, FeedReader, World, type Tables } from './index.ts'

/** Holds back the results of raw statements (the bodies of touched rows) until it is opened. */
function gate(): { plugin: KyselyPlugin; reached: Promise<void>; open: () => void } {
  const raw = new WeakSet<object>()
  const reached = Promise.withResolvers<void>()
  const opened = Promise.withResolvers<void>()
  return {
    reached: reached.promise,
    open: opened.resolve,
    plugin: {
      transformQuery: ({ node, queryId }) => {
        if (node.kind === 'RawNode') raw.add(queryId)
        return node
      },
      transformResult: async ({ result, queryId }) => {
        if (!raw.has(queryId)) return result
        reached.resolve()
        await opened.promise
        return result
      },
    },
  }
}

test('a row that is touched without a change is not recorded as older than another makes it meanwhile', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  const deps = { database, clock: systemClock }
  const id: ProjectId = newId(systemClock, systemRandom)
  await commit(deps, async (tx, touched) => {
    const accountId = newId<'account'>(systemClock, systemRandom)
    await tx.insertInto('account').values({ id: accountId, name: 'a', createdAtMs: 1 }).execute()
    await tx.insertInto('project').values({ id, accountId, name: 'old', createdAtMs: 1 }).execute()
    touched.touch('project', id)
  })
  const slow = gate()
  const toucher = commit(
    { ...deps, database: { ...database, query: database.query.withPlugin(slow.plugin) } },
    async (_tx, touched) => touched.touch('project', id),
  )
  await slow.reached
  let isChanged = false
  const changer = commit(deps, async (tx, touched) => {
    await tx.updateTable('project').set({ name: 'new' }).where('id', '=', id).execute()
    touched.touch('project', id)
  }).then(() => (isChanged = true))
  const isBlocked = async (): Promise<boolean> => {
    const locks = await sql<{ count: number }>`
      select count(*) from pg_locks where not granted`.execute(database.query)
    return (locks.rows[0]?.count ?? 0) > 0
  }
  await waitUntil(async () => isChanged || (await isBlocked()), Boolean)
  slow.open()
  await Promise.all([toucher, changer])

  const table = await database.query.selectFrom('project').select('name').executeTakeFirst()
  const last = await database.query
    .selectFrom('feed')
    .select('body')
    .where('id', '=', id)
    .orderBy('revision', 'desc')
    .executeTakeFirstOrThrow()
  assert.equal(table?.name, 'new')
  assert.equal(last.body?.['name'], 'new')
  const world = new World(systemClock)
  const feed = new FeedReader({ ...deps, world, log: silentLog })
  context.after(() => feed.stop())
  await feed.start()
  assert.equal(world.project.get(id)?.name, 'new')
})
