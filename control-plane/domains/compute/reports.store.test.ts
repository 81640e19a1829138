// Proves that what hosts report at the same time is recorded together, believed only from the right host, and that one
// report which cannot be recorded fails only its own host.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { newId, type ProjectId, type SetId } from '@nubo/base'
import type { FoundSet } from '@nubo/contracts/host'
import { silentLog, systemClock, systemRandom } from '@nubo/runtime'
import { openTestDatabase } from '../../../tests/support/database.ts'
import { hostId, newHostRow, setId, setRow } from '../../host-sessions/testing/rows.ts'
import { createRecorder, FeedReader, World, type Tables } from '../../world/index.ts'
import { createFoundRecorder, type HostReport } from './reports.ts'
import { insertInstances } from './wanted-store.ts'

const HOSTS = [1, 2, 3]

/** Set N is on host N. */
async function openRegion(context: TestContext) {
  const { database } = await openTestDatabase<Tables>(context)
  const world = new World(systemClock)
  const deps = { database, clock: systemClock, log: silentLog, world }
  const feed = new FeedReader(deps)
  await feed.start()
  context.after(() => feed.stop())
  const recorder = createRecorder({ ...deps, feed })
  const accountId = newId<'account'>(systemClock, systemRandom)
  const project: ProjectId = newId(systemClock, systemRandom)
  await recorder.write(async (tx, touched) => {
    await tx.insertInto('account').values({ id: accountId, name: 'a', createdAtMs: 1 }).execute()
    await tx
      .insertInto('project')
      .values({ id: project, accountId, name: 'p', createdAtMs: 1 })
      .execute()
    for (const number of HOSTS) {
      await tx.insertInto('host').values(newHostRow(number)).execute()
      const row = setRow(number, { projectId: project, hostId: hostId(number) })
      await insertInstances(tx, [{ touched, row }])
    }
  })
  return { world, database, record: createFoundRecorder({ ...deps, recorder }) }
}

function found(id: SetId, world: World, changes: Partial<FoundSet> = {}): FoundSet {
  const set = world.set.get(id)
  assert.ok(set !== undefined)
  const { epoch, generation } = set
  return {
    kind: 'set',
    id,
    epoch,
    generation,
    state: 'running',
    progress: '',
    reason: null,
    containers: [],
    ...changes,
  }
}

function report(...instances: FoundSet[]): HostReport {
  return { instances, full: false, mentioned: new Set(instances.map(({ id }) => id)) }
}

test('reports that come while one is being recorded share one revision', async (t) => {
  const { world, record } = await openRegion(t)
  const before = world.revision
  await Promise.all(
    HOSTS.map((number) => record(hostId(number), report(found(setId(number), world)))),
  )
  assert.equal(world.revision, before + 2)
  for (const number of HOSTS) {
    const row = world.setFound.get(setId(number))
    assert.deepEqual([row?.state, row?.hostId, row?.reason], ['running', hostId(number), null])
  }
})

test('a report that the database refuses fails its own host, and no other', async (t) => {
  const { world, record } = await openRegion(t)
  const bad = found(setId(2), world, { progress: 'a text with \u0000 in it' })
  const outcomes = await Promise.allSettled([
    record(hostId(3), report(found(setId(3), world, { state: 'starting' }))),
    record(hostId(1), report(found(setId(1), world))),
    record(hostId(2), report(bad)),
    record(hostId(3), report(found(setId(3), world))),
  ])
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
  )
  assert.equal(world.setFound.get(setId(1))?.state, 'running')
  assert.equal(world.setFound.get(setId(2)), undefined)
  assert.equal(world.setFound.get(setId(3))?.state, 'running', 'the later one of a host stays')
})

test('in a batch, too, only the host that a set is placed on is believed, at its present epoch', async (t) => {
  const { world, record } = await openRegion(t)
  const mine = found(setId(1), world)
  await Promise.all([
    record(hostId(3), report(found(setId(3), world))),
    record(hostId(2), report(found(setId(1), world, { state: 'failed' }))),
    record(hostId(1), report(mine)),
    record(hostId(2), report(found(setId(2), world, { epoch: mine.epoch + 1 }))),
  ])
  assert.equal(world.setFound.get(setId(1))?.state, 'running')
  assert.equal(world.setFound.get(setId(2)), undefined)
})

test('what was said in an earlier session is not recorded any more, whichever server still has it', async (t) => {
  const { world, database, record } = await openRegion(t)
  const [earlier, present] = [newId(systemClock, systemRandom), newId(systemClock, systemRandom)]
  await database.query
    .insertInto('hostLiveness')
    .values({ hostId: hostId(1), sessionId: present, heardAtMs: 1 })
    .execute()
  const say = (sessionId: string, state: FoundSet['state']) =>
    record(hostId(1), { ...report(found(setId(1), world, { state })), sessionId })
  await say(present, 'running')
  await say(earlier, 'starting')
  assert.equal(world.setFound.get(setId(1))?.state, 'running')
})
