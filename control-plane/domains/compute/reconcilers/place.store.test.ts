// Proves that a pass considers every set that waits, and that the rows of hosts decide where two processes place at once.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { newId, seededRandom, type ProjectId } from '@nubo/base'
import { setCreate } from '@nubo/contracts'
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
import { rewriteSet } from '../store.ts'
import { insertInstances } from '../wanted-store.ts'
import { insertImage } from '../../images/store.ts'
import { setUpdates } from '../update.ts'
import { WorldLedger } from '../../placement/index.ts'
import { createPlacer, type Placer } from './place.ts'

const OVERCOMMIT = { cpu: 4, memory: 1 }
const MIB = 2 ** 20

interface Process {
  readonly world: World
  /** Of this process; each call begins anew, as another that comes to lead. */
  readonly newPlacer: () => Placer
  readonly recorder: Recorder
  /** Its world no longer moves; it can still write. */
  freeze(): Promise<void>
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
    let current = createRecorder({ ...deps, feed })
    const recorder: Recorder = { write: (work) => current.write(work) }
    const ledger = new WorldLedger(deps.world, { overcommit: OVERCOMMIT, reserveHosts: 0 })
    return {
      world: deps.world,
      recorder,
      newPlacer: () => createPlacer({ ...deps, ledger, recorder, random: seededRandom(1) }),
      freeze: async () => {
        await feed.stop()
        // Notifications no longer reach it, as in a process that is slow.
        await own.close()
        current = { write: async (work) => (await commit({ ...deps, database }, work)).value }
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
            drain: null,
          })
          .execute()
        touched.touch('host', row.id)
      }),
    addSets: (...rows: SetRow[]) =>
      write(async (tx, touched) => {
        await insertInstances(
          tx,
          rows.map((row) => ({ touched, row: { ...row, projectId: project, epoch: 0 } })),
        )
      }),
  }
}

const host = (changes: Partial<HostRow> = {}) =>
  hostRow(1, { capacity: { cpuMillis: 4_000, memoryBytes: 100 * MIB, diskBytes: 0 }, ...changes })

type TestRegion = Awaited<ReturnType<typeof openRegion>>

async function newest({ database }: TestRegion): Promise<number> {
  const row = await database.query.selectFrom('revision').select('value').executeTakeFirstOrThrow()
  return row.value
}

/** A placer that has placed already, set 99 at least. */
async function leading(region: TestRegion, process: Process): Promise<Placer> {
  await region.addSets(setRow(99, { memoryBytes: MIB }))
  await process.world.reached(await newest(region))
  const placer = process.newPlacer()
  await placer.pass()
  assert.equal(process.world.set.get(setId(99))?.hostId, hostId(1))
  return placer
}

test('sets that fit nowhere do not hold up the sets behind them, however many they are', async (t) => {
  const region = await openRegion(t)
  await region.addHost(host())
  const elsewhere = { hostId: hostId(9), spread: 'host' as const, hostLabels: {} }
  const stuck = Array.from({ length: 600 }, (_none, at) =>
    setRow(at + 1, { placementRule: elsewhere, memoryBytes: MIB }),
  )
  await region.addSets(...stuck, setRow(1_000, { memoryBytes: MIB }))
  const { world, newPlacer } = await region.start()
  const placer = newPlacer()
  const pass = async (): Promise<void> => {
    while (await placer.pass()) {
      // a pass ends after some batches, and more wait
    }
  }
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
  const slow = await region.start()
  const slowPlacer = await leading(region, slow)
  await region.addSets(setRow(2, { memoryBytes: 60 * MIB }))
  await slow.world.reached(await newest(region))
  await slow.freeze()
  await region.addSets(setRow(1, { memoryBytes: 60 * MIB }))
  const leader = await region.start()
  await leader.newPlacer().pass()
  assert.equal(leader.world.set.get(setId(1))?.hostId, hostId(1))
  await slowPlacer.pass()
  const placed = await region.database.query
    .selectFrom('set')
    .select('id')
    .where('hostId', 'is not', null)
    .execute()
  assert.deepEqual(placed.map(({ id }) => id).toSorted(), [setId(1), setId(99)])
})

test('a host that was cordoned is not placed on by a process that does not know it yet', async (t) => {
  const region = await openRegion(t)
  await region.addHost(host())
  const slow = await region.start()
  const placer = await leading(region, slow)
  await region.addSets(setRow(1, { memoryBytes: MIB }))
  await slow.world.reached(await newest(region))
  await slow.freeze()
  await region.write(async (tx, touched) => {
    await tx.updateTable('host').set({ cordoned: true }).execute()
    touched.touch('host', hostId(1))
  })
  await placer.pass()
  const waiting = await region.database.query
    .selectFrom('set')
    .select('id')
    .where('hostId', 'is', null)
    .execute()
  assert.deepEqual(waiting, [{ id: setId(1) }])
})

test('a set that goes on waiting for room is not written anew whenever other sets change what is free', async (t) => {
  const region = await openRegion(t)
  await region.addHost(host())
  await region.addSets(setRow(1, { memoryBytes: 60 * MIB }), setRow(2, { memoryBytes: 60 * MIB }))
  const { world, newPlacer } = await region.start()
  const placer = newPlacer()
  const pass = async (): Promise<void> => {
    while (await placer.pass()) {
      // a pass ends after some batches, and more wait
    }
  }
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

test('sets that exclude each other stay apart, also where one process does not know what another placed', async (t) => {
  const region = await openRegion(t)
  await region.addHost(host())
  await region.addHost(hostRow(2, { capacity: host().capacity, rack: 'rack-2' }))
  const slow = await region.start()
  const slowPlacer = await leading(region, slow)
  const rule = { hostId: null, spread: 'host', antiAffinity: 'rack', hostLabels: {} } as const
  const member = (n: number) =>
    setRow(n, { name: `web-${n}`, memoryBytes: MIB, placementRule: rule })
  await region.addSets(member(2))
  await slow.world.reached(await newest(region))
  await slow.freeze()
  await region.addSets(member(1), member(3))
  const leader = await region.start()
  await leader.newPlacer().pass()
  await slowPlacer.pass()
  const hosts = await region.database.query
    .selectFrom('set')
    .select(['id', 'hostId'])
    .where('name', 'like', 'web-%')
    .orderBy('id')
    .execute()
  assert.deepEqual(
    new Set(hosts.map((set) => set.hostId)),
    new Set([hostId(1), hostId(2), null]),
    'two on two racks, and the third nowhere',
  )
  const waiting = leader.world.set.by('unplaced', 'yes')[0]
  assert.match(waiting?.placement?.reason?.text ?? '', /same rack/)
})

test('the higher priority first, then those that lost their host, then the oldest', async (t) => {
  const region = await openRegion(t)
  const small = { memoryBytes: 60 * MIB }
  await region.addSets(
    setRow(1, small),
    setRow(2, { ...small, priority: 200 }),
    setRow(3, { ...small, priority: 200 }),
    setRow(4, small),
  )
  await region.write(async (tx, touched) => {
    await tx.updateTable('set').set({ epoch: 3 }).where('id', '=', setId(4)).execute()
    touched.touch('set', setId(4))
  })
  const { world, newPlacer } = await region.start()
  const placer = newPlacer()
  const order: string[] = []
  // One host at a time, with room for one.
  for (let n = 1; n <= 4; n += 1) {
    await region.addHost(hostRow(n, { capacity: host().capacity }))
    await world.reached(await newest(region))
    await placer.pass()
    const placed = world.set.by('host', hostId(n)).map(({ id }) => id)
    order.push(...placed)
  }
  assert.deepEqual(order, [2, 3, 4, 1].map(setId))
  assert.equal(world.set.get(setId(4))?.epoch, 4)
})

test('a set that was removed meanwhile is not placed, and its batch is', async (t) => {
  const region = await openRegion(t)
  await region.addHost(host())
  const slow = await region.start()
  const placer = await leading(region, slow)
  await region.addSets(setRow(1, { memoryBytes: MIB }), setRow(2, { memoryBytes: MIB }))
  await slow.world.reached(await newest(region))
  await slow.freeze()
  await region.write(async (tx, touched) => {
    await tx.updateTable('set').set({ wanted: 'removed' }).where('id', '=', setId(1)).execute()
    touched.touch('set', setId(1))
  })
  await placer.pass()
  const placed = await region.database.query
    .selectFrom('set')
    .select('id')
    .where('hostId', 'is not', null)
    .orderBy('id')
    .execute()
  assert.deepEqual(placed, [{ id: setId(2) }, { id: setId(99) }])
})

test('what was decided about a set of which something else is asked by now is not recorded', async (t) => {
  const region = await openRegion(t)
  await region.addHost(host())
  const slow = await region.start()
  const placer = await leading(region, slow)
  const tooLarge = setRow(2, { memoryBytes: 1_000 * MIB })
  await region.addSets(setRow(1, { memoryBytes: MIB }), tooLarge, setRow(3, { memoryBytes: MIB }))
  await slow.world.reached(await newest(region))
  await slow.freeze()
  const elsewhere = { ...tooLarge.placementRule, hostId: hostId(9) }
  await region.write(async (tx, touched) => {
    await rewriteSet(tx, touched, {
      before: setRow(1),
      row: setRow(1, { placementRule: elsewhere, memoryBytes: MIB }),
    })
    await rewriteSet(tx, touched, { before: tooLarge, row: setRow(2, { memoryBytes: MIB }) })
  })
  await placer.pass()
  const rows = await region.database.query
    .selectFrom('set')
    .select(['id', 'hostId', 'placement'])
    .where('id', '!=', setId(99))
    .orderBy('id')
    .execute()
  assert.deepEqual(
    rows.map((row) => [row.id, row.hostId, row.placement?.reason?.code ?? null]),
    [
      [setId(1), null, null],
      [setId(2), null, null],
      [setId(3), hostId(1), null],
    ],
  )
})

test('a set that grows through a process that does not know where it is takes no more than its host has', async (t) => {
  const region = await openRegion(t)
  await region.addHost(host())
  const slow = await region.start()
  const [row, image] = [setRow(1, { memoryBytes: MIB }), setRow(1).containers[0]]
  assert.ok(image)
  await region.addSets(row)
  await slow.world.reached(await newest(region))
  const known = slow.world.set.get(row.id)
  assert.ok(known?.hostId === null)
  const { repository, digest } = image.image
  const about = { id: image.imageId, name: image.imageName, repository, digest, disk: null }
  await region.write(async (tx, touched) => {
    const rest = {
      uploadDigest: null,
      sizeBytes: 1,
      layers: 1,
      source: 'rootfs' as const,
      command: [],
      createdAtMs: 1,
      kind: 'container' as const,
    }
    await insertImage(tx, touched, { ...about, ...rest, projectId: known.projectId })
  })
  const quick = await region.start()
  await quick.newPlacer().pass()
  assert.equal(quick.world.set.get(row.id)?.hostId, hostId(1))
  const { updateSet } = setUpdates(
    {
      world: slow.world,
      recorder: slow.recorder,
      clock: systemClock,
      random: systemRandom,
      images: { resolve: () => about },
      ledger: new WorldLedger(slow.world, { overcommit: OVERCOMMIT, reserveHosts: 0 }),
    },
    () => known,
  )
  const containers = [{ name: image.name, image: image.imageName }]
  const ask = (memoryBytes: number) => ({
    ...setCreate.parse({
      name: row.name,
      network: 'none',
      cpuMillis: 250,
      memoryBytes,
      containers,
    }),
    network: '',
  })
  const tokenId = newId<'token'>(systemClock, systemRandom)
  const who = { tokenId, tokenName: 't', accountId: null, role: 'member' as const }
  const caller = { ...who, project: known.projectId }
  const grow = (memoryBytes: number) =>
    updateSet(caller, row.name, ask(memoryBytes), { ifMatch: undefined })
  await assert.rejects(grow(200 * MIB), { code: 'NOT_PLACED' })
  assert.equal((await grow(80 * MIB)).kind, 'set.update')
})
