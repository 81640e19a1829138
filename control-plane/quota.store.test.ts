// Proves that a quota holds under concurrency, is exact after every kind of failure, and is never in the way of giving back.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPlatformError } from '@nubo/base'
import { silentLog } from '@nubo/runtime'
import { deleteInstances } from './domains/compute/store.ts'
import { insertInstances } from './domains/compute/wanted-store.ts'
import { quotaMismatches, recountQuotas } from './domains/quota/index.ts'
import { openQuotaStage } from './testing/quota-stage.ts'
import type { SetRow, Touched, Tx } from './world/index.ts'

const insertSet = (tx: Tx, touched: Touched, row: SetRow): Promise<void> =>
  insertInstances(tx, [{ touched, row }])

test('200 creations at once, by two processes, stop exactly at the limit', async (t) => {
  const stage = await openQuotaStage(t)
  const project = await stage.addProject('shop')
  await stage.limit(project, { instances: 50 })
  const processes = [await stage.start(), await stage.start()]
  const outcomes = await Promise.allSettled(
    Array.from({ length: 200 }, async (_, at) =>
      processes[at % 2]?.recorder.write((tx, touched) =>
        insertSet(tx, touched, stage.newSet(project)),
      ),
    ),
  )
  const done = outcomes.filter(({ status }) => status === 'fulfilled')
  assert.equal(done.length, 50)
  for (const outcome of outcomes) {
    if (outcome.status === 'fulfilled') continue
    assert.ok(isPlatformError(outcome.reason, 'QUOTA_EXCEEDED'), String(outcome.reason))
    const { field, limit, used, asked } = outcome.reason.details
    assert.deepEqual(
      { field, limit, used, asked },
      { field: 'instances', limit: 50, used: 50, asked: 1 },
    )
  }
  const { instances, cpuMillis } = await stage.used(project)
  assert.deepEqual([instances, cpuMillis], [50, 25_000])
  assert.deepEqual(await quotaMismatches(stage.database), [])
  const revision = await stage.database.query
    .selectFrom('revision')
    .select('value')
    .executeTakeFirstOrThrow()
  assert.equal(revision.value, 52, 'a refusal takes no revision: one account, one project, 50 sets')
})

test('creations and removals of many projects in mixed transactions neither lock each other up nor miscount', async (t) => {
  const stage = await openQuotaStage(t)
  const first = await stage.addProject('a')
  const projects = [first, await stage.addProject('b'), await stage.addProject('c')]
  const processes = [await stage.start(), await stage.start()]
  await Promise.all(
    Array.from({ length: 60 }, async (_, at) => {
      const recorder = processes[at % 2]?.recorder
      assert.ok(recorder !== undefined)
      // In another order each time.
      const rows = projects.map((_, index) => stage.newSet(projects[(index + at) % 3] ?? first))
      await recorder.write(async (tx, touched) => {
        for (const row of rows) await insertSet(tx, touched, row)
      })
      if (at % 3 === 0)
        await recorder.write(async (tx, touched) => {
          for (const row of rows.toReversed())
            await deleteInstances(tx, touched, [{ kind: 'set', id: row.id }])
          // A second time changes nothing.
          for (const row of rows) await deleteInstances(tx, touched, [{ kind: 'set', id: row.id }])
        })
    }),
  )
  for (const project of projects) assert.equal((await stage.used(project)).instances, 40)
  assert.deepEqual(await quotaMismatches(stage.database), [])
})

test('what is rolled back leaves usage, feed and revision as they were', async (t) => {
  const stage = await openQuotaStage(t)
  const project = await stage.addProject('shop')
  const { recorder, world } = await stage.start()
  const before = await stage.used(project)
  await assert.rejects(
    recorder.write(async (tx, touched) => {
      await insertSet(tx, touched, stage.newSet(project))
      throw new Error('no')
    }),
    /no/,
  )
  const twice = stage.newSet(project)
  await assert.rejects(
    recorder.write(async (tx, touched) => {
      await insertSet(tx, touched, twice)
      await insertSet(tx, touched, twice)
    }),
  )
  assert.deepEqual(await stage.used(project), before)
  assert.equal(world.set.size, 0)
})

test('every resource has its own limit, the region its default, and null lifts it', async (t) => {
  const stage = await openQuotaStage(t, { cpuMillis: 1_000 })
  const project = await stage.addProject('shop')
  const { recorder } = await stage.start()
  const create = () =>
    recorder.write((tx, touched) => insertSet(tx, touched, stage.newSet(project)))
  const refusedBy = async (field: string): Promise<void> =>
    assert.rejects(
      create(),
      (error) => isPlatformError(error, 'QUOTA_EXCEEDED') && error.details['field'] === field,
    )
  await create()
  await create()
  await refusedBy('cpuMillis')
  await stage.limit(project, { cpuMillis: null })
  await create()
  await stage.limit(project, { cpuMillis: null, memoryBytes: 4 * 64 * 2 ** 20 })
  await create()
  await refusedBy('memoryBytes')
  await stage.limit(project, { cpuMillis: 2_500, memoryBytes: null })
  await create()
  await refusedBy('cpuMillis')
})

test('a limit below what is used takes nothing away: nothing is made, all can be removed', async (t) => {
  const stage = await openQuotaStage(t)
  const project = await stage.addProject('shop')
  const { recorder } = await stage.start()
  const rows = [stage.newSet(project), stage.newSet(project), stage.newSet(project)]
  await recorder.write(async (tx, touched) => {
    for (const row of rows) await insertSet(tx, touched, row)
  })
  await stage.limit(project, { instances: 1 })
  const create = () =>
    recorder.write((tx, touched) => insertSet(tx, touched, stage.newSet(project)))
  for (const row of rows) {
    await assert.rejects(create(), (error) => isPlatformError(error, 'QUOTA_EXCEEDED'))
    await recorder.write((tx, touched) =>
      deleteInstances(tx, touched, [{ kind: 'set', id: row.id }]),
    )
  }
  await create()
  assert.deepEqual(await quotaMismatches(stage.database), [])
})

test('counters that a server of an older version left wrong are counted anew, a missing row too', async (t) => {
  const stage = await openQuotaStage(t)
  const [shop, bank] = [await stage.addProject('shop'), await stage.addProject('bank')]
  const { recorder } = await stage.start()
  const row = stage.newSet(shop)
  await recorder.write((tx, touched) => insertSet(tx, touched, row))
  await stage.database.query.updateTable('quota').set({ instances: 0, cpuMillis: 7_000 }).execute()
  await stage.database.query.deleteFrom('quota').where('projectId', '=', bank).execute()
  assert.equal((await quotaMismatches(stage.database)).length, 2)
  // Removing what was never counted does not fail.
  await recorder.write((tx, touched) => insertSet(tx, touched, stage.newSet(bank)))
  await recountQuotas({ database: stage.database, recorder, log: silentLog })
  assert.deepEqual(await quotaMismatches(stage.database), [])
  await stage.database.query.updateTable('quota').set({ instances: 0 }).execute()
  await recorder.write((tx, touched) => deleteInstances(tx, touched, [{ kind: 'set', id: row.id }]))
  assert.equal((await stage.used(shop)).instances, 0)
})
