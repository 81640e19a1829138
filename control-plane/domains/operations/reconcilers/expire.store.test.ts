// Proves that operations which ended long ago go, however many there are, and nothing else does.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newId } from '@nubo/base'
import { silentLog, systemClock, systemRandom } from '@nubo/runtime'
import { openTestDatabase } from '../../../../tests/support/database.ts'
import {
  commit,
  createRecorder,
  FeedReader,
  World,
  type OperationRow,
  type Tables,
} from '../../../world/index.ts'
import { insertOperation } from '../store.ts'
import { expireOperations } from './expire.ts'

const DAY_MS = 86_400_000

function operation(changes: Partial<OperationRow>): OperationRow {
  const nowMs = systemClock.nowMs()
  return {
    id: newId(systemClock, systemRandom),
    projectId: null,
    kind: 'set.create',
    resourceKind: 'set',
    resourceId: newId(systemClock, systemRandom),
    resourceName: 'web',
    state: 'done',
    progress: '',
    reason: null,
    generation: 1,
    mayCancel: false,
    createdAtMs: nowMs - 10 * DAY_MS,
    updatedAtMs: nowMs,
    endedAtMs: nowMs,
    deadlineAtMs: nowMs,
    ...changes,
  }
}

test('old operations go in batches until none is left, late ones fail, recent ones stay', async (context) => {
  const { database } = await openTestDatabase<Tables>(context)
  const deps = { database, clock: systemClock, world: new World(systemClock), log: silentLog }
  const recent = operation({})
  const late = operation({ state: 'running', endedAtMs: null })
  const open = operation({
    state: 'running',
    endedAtMs: null,
    deadlineAtMs: systemClock.nowMs() + DAY_MS,
  })
  await commit(deps, async (tx, touched) => {
    for (let at = 0; at < 1_100; at++)
      await insertOperation(tx, touched, operation({ endedAtMs: systemClock.nowMs() - 8 * DAY_MS }))
    for (const row of [recent, late, open]) await insertOperation(tx, touched, row)
  })
  const feed = new FeedReader(deps)
  context.after(() => feed.stop())
  await feed.start()
  const { world } = deps
  const pass = () =>
    expireOperations({ world, recorder: createRecorder({ ...deps, feed }), clock: systemClock })
  // A reconciler runs again at once while a pass says so; else the rest would wait for the timer, and pile up.
  assert.equal(await pass(), true)
  assert.equal(await pass(), true)
  assert.equal(await pass(), false)
  assert.equal(await pass(), false)
  assert.deepEqual(
    new Set([...world.operation.values()].map((row) => `${row.id} ${row.state}`)),
    new Set([`${recent.id} done`, `${late.id} failed`, `${open.id} running`]),
  )
})
