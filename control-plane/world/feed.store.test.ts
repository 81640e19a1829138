// Proves that the world equals the tables: from a cold start, over the feed, and after a gap in it.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { newId } from '@nubo/base'
import { silentLog, systemClock, systemRandom } from '@nubo/runtime'
import { openTestDatabase } from '../../tests/support/database.ts'
import {
  createRecorder,
  FeedReader,
  World,
  type ProjectRow,
  type Recorder,
  type Tables,
} from './index.ts'

async function openWorld(
  context: TestContext,
  database: Awaited<ReturnType<typeof openTestDatabase<Tables>>>['database'],
) {
  const world = new World(systemClock)
  const feed = new FeedReader({ database, world, clock: systemClock, log: silentLog })
  context.after(() => feed.stop())
  await feed.start()
  return { world, feed, recorder: createRecorder({ database, clock: systemClock, world, feed }) }
}

async function addProject(recorder: Recorder, name: string): Promise<ProjectRow> {
  const account = {
    id: newId<'account'>(systemClock, systemRandom),
    name: `of-${name}`,
    createdAtMs: 1,
  }
  const row: ProjectRow = {
    id: newId(systemClock, systemRandom),
    accountId: account.id,
    name,
    createdAtMs: 2,
  }
  await recorder.write(async (tx, touched) => {
    await tx.insertInto('account').values(account).execute()
    await tx.insertInto('project').values(row).execute()
    touched.touch('account', account.id)
    touched.touch('project', row.id)
  })
  return row
}

test('a write is seen by its own process when it returns, and by another soon', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  const first = await openWorld(context, database)
  const second = await openWorld(context, database)
  const row = await addProject(first.recorder, 'shop')
  assert.deepEqual(first.world.project.get(row.id), row)
  await second.world.reached(first.world.revision)
  assert.deepEqual(second.world.project.get(row.id), row)
  assert.equal(second.world.project.by('name', 'shop')[0]?.id, row.id)
})

test('a notification before the tables were read does not have the whole feed read', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  const { recorder } = await openWorld(context, database)
  await addProject(recorder, 'a')
  await addProject(recorder, 'b')
  const hasty: typeof database = {
    ...database,
    listen: async (channel, onNotify) => {
      await database.listen(channel, onNotify)
      onNotify('')
      // As a database does that takes its time to answer.
      await database.query.selectFrom('revision').selectAll().execute()
    },
  }
  const world = new World(systemClock)
  const revisions: number[] = []
  world.subscribe(({ revision }) => revisions.push(revision))
  const feed = new FeedReader({ database: hasty, world, clock: systemClock, log: silentLog })
  context.after(() => feed.stop())
  await feed.start()
  assert.deepEqual(revisions, [world.revision])
})

test('concurrent writers give gapless revisions', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  const first = await openWorld(context, database)
  const second = await openWorld(context, database)
  const seen: number[] = []
  first.world.subscribe((set) => seen.push(set.revision))
  const start = first.world.revision
  await Promise.all(
    Array.from({ length: 40 }, (_none, index) =>
      addProject(index % 2 === 0 ? first.recorder : second.recorder, `p${index}`),
    ),
  )
  await first.world.reached(start + 40)
  assert.deepEqual(
    seen,
    Array.from({ length: 40 }, (_none, index) => start + 1 + index),
  )
})

test('a write that fails leaves nothing in the feed', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  const { world, recorder } = await openWorld(context, database)
  await addProject(recorder, 'shop')
  const before = world.revision
  await assert.rejects(addProject(recorder, 'shop'))
  const at = await database.query.selectFrom('revision').select('value').executeTakeFirstOrThrow()
  assert.equal(at.value, before)
})

test('a reader that fell behind a dropped part of the feed reads the tables again', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  const writer = await openWorld(context, database)
  const world = new World(systemClock)
  const late = new FeedReader({ database, world, clock: systemClock, log: silentLog })
  await late.start()
  await late.stop()
  const kept = await addProject(writer.recorder, 'kept')
  const gone = await addProject(writer.recorder, 'gone')
  await writer.recorder.write(async (tx, touched) => {
    await tx.deleteFrom('project').where('id', '=', gone.id).execute()
    touched.touch('project', gone.id)
  })
  await database.query.deleteFrom('feed').where('revision', '<', writer.world.revision).execute()
  late.wake()
  await world.reached(writer.world.revision)
  await late.stop()
  assert.deepEqual(
    [...world.project.values()].map((row) => row.id),
    [kept.id],
  )
})

test('a revision that is larger than a batch arrives whole, and with it what follows', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  const first = await openWorld(context, database)
  const second = await openWorld(context, database)
  const row = await addProject(first.recorder, 'large')
  const seen: number[] = []
  second.world.subscribe(({ changes }) => seen.push(changes.length))
  const CHANGES = 11_000
  await first.recorder.write(async (tx, touched) => {
    for (let at = 1; at < CHANGES; at++) touched.touch('token', newId(systemClock, systemRandom))
    await tx.updateTable('project').set({ name: 'renamed' }).where('id', '=', row.id).execute()
    // Touched last, so it lies behind the end of the first batch.
    touched.touch('project', row.id)
  })
  await addProject(first.recorder, 'after')
  await second.world.reached(first.world.revision)
  assert.equal(second.world.project.get(row.id)?.name, 'renamed')
  assert.ok(seen.includes(CHANGES))
})

test('what was there at the start is no history: a watcher from before the start must list again', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  const first = await openWorld(context, database)
  const before = first.world.revision
  await addProject(first.recorder, 'shop')
  const late = await openWorld(context, database)
  const start = late.world.revision
  assert.deepEqual(
    first.world.changesSince(before)?.map(({ revision }) => revision),
    [start],
  )
  assert.equal(late.world.changesSince(before), undefined)
  assert.deepEqual(late.world.changesSince(start), [])
  await addProject(late.recorder, 'bank')
  assert.equal(late.world.changesSince(before), undefined)
  assert.equal(late.world.changesSince(start)?.length, 1)
})

test('a row of a kind that only a newer release has is skipped, and what stands beside it and after it arrives', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  const { world, recorder } = await openWorld(context, database)
  const row = await addProject(recorder, 'shop')
  const revision = world.revision + 1
  const body = JSON.stringify({ id: row.id, name: 'renamed', news: 1 })
  await database.query.transaction().execute(async (tx) => {
    await tx.updateTable('revision').set({ value: revision }).execute()
    const ours = { revision, atMs: 1, id: row.id }
    await tx
      .insertInto('feed')
      .values([
        { ...ours, sequence: 1, kind: 'of-tomorrow', body: '{"no":"id"}' },
        { ...ours, sequence: 2, kind: 'project', body },
      ])
      .execute()
  })
  await world.reached(revision)
  assert.equal(world.project.get(row.id)?.name, 'renamed')
  await addProject(recorder, 'next')
  assert.equal(world.revision, revision + 1)
})
