// Proves that operations which ended long ago go, however many there are, and nothing else does.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
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
import { insertOperations } from '../store.ts'
import { ENDED_MAX, expireOperations } from './expire.ts'

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

/** With these operations recorded; how to run a pass. */
async function openOperations(context: TestContext, rows: readonly OperationRow[]) {
  const { database } = await openTestDatabase<Tables>(context)
  const world = new World(systemClock)
  const deps = { database, clock: systemClock, world, log: silentLog }
  await commit(deps, (tx, touched) =>
    insertOperations(
      tx,
      rows.map((row) => ({ touched, row })),
    ),
  )
  const feed = new FeedReader(deps)
  context.after(() => feed.stop())
  await feed.start()
  const recorder = createRecorder({ ...deps, feed })
  const pass = () => expireOperations({ world, recorder, clock: systemClock })
  return { world, pass }
}

test('old operations go in batches until none is left, late ones fail, recent ones stay', async (context) => {
  const recent = operation({})
  const late = operation({ state: 'running', endedAtMs: null })
  const open = operation({
    state: 'running',
    endedAtMs: null,
    deadlineAtMs: systemClock.nowMs() + DAY_MS,
  })
  const old = Array.from({ length: 1_100 }, () =>
    operation({ endedAtMs: systemClock.nowMs() - 8 * DAY_MS }),
  )
  const { world, pass } = await openOperations(context, [...old, recent, late, open])
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

test('of ended operations so many are kept, and the oldest go; open ones do not count', async (context) => {
  const open = operation({
    state: 'running',
    endedAtMs: null,
    deadlineAtMs: systemClock.nowMs() + DAY_MS,
  })
  // Ids of one millisecond are in no order.
  const ended = Array.from({ length: ENDED_MAX + 3 }, () => operation({})).toSorted((a, b) =>
    a.id < b.id ? -1 : 1,
  )
  const { world, pass } = await openOperations(context, [open, ...ended])
  assert.equal(await pass(), false)
  assert.equal(world.operation.size, ENDED_MAX + 1)
  assert.ok([open, ...ended.slice(3)].every(({ id }) => world.operation.get(id) !== undefined))
})
