// Proves that a pass considers every set that waits, and that the rows of hosts decide where two processes place at once.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { newId, type ProjectId } from '@nubo/base'
import { openDatabase, silentLog, systemClock, systemRandom } from '@nubo/runtime'
import { openTestDatabase } from '../../../../tests/support/database.ts'
import { waitUntil } from '../../../../tests/support/wait.ts'
import { hostId, hostRow, setId, setRow } from '../../../host-sessions/testing/rows.ts'
import {
  commit,
  createRecorder,
  FeedReader,
  World,
  type HostRow,
  type Recorder,
  type SetRow,
  type Tables,
} from '../../../world/index.ts'
import { insertSet } from '../store.ts'
import { placeSets } from './place.ts'

const OVERCOMMIT = { cpu: 4, memory: 1 }
const MIB = 2 ** 20

interface Process {
  readonly world: World
  readonly recorder: Recorder
  /** Its world no longer moves; it can still write. */
  freeze(): Promise<Recorder>
}

async function openRegion(context: TestContext) {
  const { url, database } = await openTestDatabase<Tables>(context)
  const accountId = newId<'account'>(systemClock, systemRandom)
  const project: ProjectId = newId(systemClock, systemRandom)
  await commit({ database, clock: systemClock }, async (tx, touched) => {
    await tx.insertInto('account').values({ id: accountId, name: 'a', createdAtMs: 1 }).execute()
    await tx
      .insertInto('project')
      .values({ id: project, accountId, name: 'p', createdAtMs: 1 })
      .execute()
    touched.touch('project', project)
  })
  const start = async (): Promise<Process> => {
    const own = openDatabase<Tables>({ url, clock: systemClock, log: silentLog })
    const deps = {
      database: own,
      clock: systemClock,
      log: silentLog,
      world: new World(systemClock),
    }
    const feed = new FeedReader(deps)
    await feed.start()
    context.after(async () => {
      await feed.stop()
      await own.close()
    })
    return {
      world: deps.world,
      recorder: createRecorder({ ...deps, feed }),
      freeze: async () => {
        await feed.stop()
        // Notifications no longer reach it, as in a process that is slow.
        await own.close()
        return { write: async (work) => (await commit({ ...deps, database }, work)).value }
      },
    }
  }
  const write = (change: Parameters<Recorder['write']>[0]) =>
    commit({ database, clock: systemClock }, change)
  return {
    database,
    start,
    write,
    addHost: (row: HostRow) =>
      write(async (tx, touched) => {
        const { roles, labels, capacity } = row
        await tx
          .insertInto('host')
          .values({
            ...row,
            roles: JSON.stringify(roles),
            labels: JSON.stringify(labels),
            reason: null,
            inventory: null,
            capacity: JSON.stringify(capacity),
            reserve: null,
            fence: null,
            fenceAsked: null,
            power: null,
          })
          .execute()
        touched.touch('host', row.id)
      }),
    addSets: (...rows: SetRow[]) =>
      write(async (tx, touched) => {
        for (const row of rows)
          await insertSet(tx, touched, { ...row, projectId: project, epoch: 0 })
      }),
  }
}

const host = (changes: Partial<HostRow> = {}) =>
  hostRow(1, { capacity: { cpuMillis: 4_000, memoryBytes: 100 * MIB, diskBytes: 0 }, ...changes })

test('sets that fit nowhere do not hold up the sets behind them, however many they are', async (t) => {
  const region = await openRegion(t)
  await region.addHost(host())
  const elsewhere = { hostId: hostId(9), spread: 'host' as const, hostLabels: {} }
  const stuck = Array.from({ length: 600 }, (_none, at) =>
    setRow(at + 1, { placementRule: elsewhere, memoryBytes: MIB }),
  )
  await region.addSets(...stuck, setRow(1_000, { memoryBytes: MIB }))
  const { world, recorder } = await region.start()
  const pass = () => placeSets({ world, recorder, clock: systemClock, overcommit: OVERCOMMIT })
  await pass()
  assert.equal(world.set.get(setId(1_000))?.hostId, hostId(1))
  assert.match(
    world.set.get(setId(600))?.placement?.reason?.text ?? '',
    /another host was asked for/,
  )
  const before = world.revision
  await pass()
  assert.equal(world.revision, before, 'a pass without news writes nothing')
})

test('a process that does not know what another placed a moment ago does not spend its room again', async (t) => {
  const region = await openRegion(t)
  await region.addHost(host())
  await region.addSets(setRow(2, { memoryBytes: 60 * MIB }))
  const slow = await region.start()
  const slowRecorder = await slow.freeze()
  await region.addSets(setRow(1, { memoryBytes: 60 * MIB }))
  const leader = await region.start()
  const shared = { clock: systemClock, overcommit: OVERCOMMIT }
  await placeSets({ world: leader.world, recorder: leader.recorder, ...shared })
  assert.equal(leader.world.set.get(setId(1))?.hostId, hostId(1))
  await placeSets({ world: slow.world, recorder: slowRecorder, ...shared })
  const placed = await region.database.query
    .selectFrom('set')
    .select('id')
    .where('hostId', 'is not', null)
    .execute()
  assert.deepEqual(placed, [{ id: setId(1) }])
})

test('a host that was cordoned is not placed on by a process that does not know it yet', async (t) => {
  const region = await openRegion(t)
  await region.addHost(host())
  await region.addSets(setRow(1, { memoryBytes: MIB }))
  const slow = await region.start()
  const recorder = await slow.freeze()
  await region.write(async (tx, touched) => {
    await tx.updateTable('host').set({ cordoned: true }).execute()
    touched.touch('host', hostId(1))
  })
  await placeSets({ world: slow.world, recorder, clock: systemClock, overcommit: OVERCOMMIT })
  const set = await region.database.query.selectFrom('set').select('hostId').executeTakeFirst()
  assert.equal(set?.hostId, null)
})

test('a set that goes on waiting for room is not written anew whenever other sets change what is free', async (t) => {
  const region = await openRegion(t)
  await region.addHost(host())
  await region.addSets(setRow(1, { memoryBytes: 60 * MIB }), setRow(2, { memoryBytes: 60 * MIB }))
  const { world, recorder } = await region.start()
  const pass = () => placeSets({ world, recorder, clock: systemClock, overcommit: OVERCOMMIT })
  await pass()
  const waiting = world.set.get(setId(2))
  assert.match(waiting?.placement?.reason?.text ?? '', /60 MiB wanted, 40 MiB free/)
  await region.addSets(setRow(3, { memoryBytes: 30 * MIB }))
  await waitUntil(
    () => world.set.get(setId(3)),
    (set) => set !== undefined,
  )
  await pass()
  assert.equal(world.set.get(setId(3))?.hostId, hostId(1))
  assert.equal(world.set.get(setId(2)), waiting, 'the very same row')
  await region.write(async (tx, touched) => {
    await tx.updateTable('host').set({ cordoned: true }).execute()
    touched.touch('host', hostId(1))
  })
  await waitUntil(
    () => world.host.get(hostId(1)),
    (row) => row?.cordoned === true,
  )
  await pass()
  assert.match(world.set.get(setId(2))?.placement?.reason?.text ?? '', /cordoned/)
})
