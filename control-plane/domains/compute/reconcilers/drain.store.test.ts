// Proves which sets a drain stops, what frees them for another host, and what becomes of them when something else happens
// to set, host or operation meanwhile.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { FoundSet } from '@nubo/contracts/host'
import { silentLog, systemRandom } from '@nubo/runtime'
import { WorldLedger } from '../../placement/index.ts'
import { joinHost, openServers, placeSet, type TestServer } from '../../fleet/testing/region.ts'
import { isLeaving, type HostRow, type SetRow } from '../../../world/index.ts'
import { createHostDrains } from '../host-drains.ts'
import { removeRows } from '../removal.ts'
import { createFoundRecorder } from '../reports.ts'
import { drainHosts } from './drain.ts'
import { releaseFrom } from './evacuate.ts'
import { createPlacer } from './place.ts'

const capacity = JSON.stringify({ cpuMillis: 16_000, memoryBytes: 2 ** 33, diskBytes: 2 ** 40 })

/** Sets a1, a2, … on host a, and host b with nothing on it. */
async function stage(context: TestContext, setsOnA: number) {
  const [server] = await openServers(context)
  assert.ok(server)
  const { recorder, world } = server
  const a = (await joinHost(server, 'a')).hostId
  const b = (await joinHost(server, 'b')).hostId
  const changeHosts = (values: Partial<Pick<HostRow, 'state' | 'cordoned'>>, names = ['a', 'b']) =>
    recorder.write(async (tx, touched) => {
      await tx.updateTable('host').set(values).where('name', 'in', names).execute()
      touched.touch('host', a)
      touched.touch('host', b)
    })
  await server.database.query.updateTable('host').set({ capacity }).execute()
  await changeHosts({ state: 'ready' })
  for (let n = 1; n <= setsOnA; n += 1) await placeSet(server, { name: `a${n}`, hostId: a })
  const ledger = new WorldLedger(world, { overcommit: { cpu: 4, memory: 1 }, reserveHosts: 0 })
  context.after(() => ledger.stop())
  const find = server.fleet.service.find
  const drains = createHostDrains({ ...server, random: systemRandom, find })
  const limits = { movesPerHost: 2, movesPerRegion: 3 }
  const set = (name: string): SetRow =>
    [...world.set.values()].find((row) => row.name === name) ?? assert.fail()
  const record = createFoundRecorder({ ...server, log: silentLog })
  return {
    server,
    a,
    b,
    drains,
    set,
    changeHosts,
    pass: () => drainHosts({ ...server, random: systemRandom, ledger, limits }),
    place: async () => {
      const placer = createPlacer({ ...server, random: systemRandom, ledger })
      await placer.pass()
      placer.stop()
    },
    leaving: () =>
      [...world.set.values()]
        .filter(isLeaving)
        .map(({ name }) => name)
        .toSorted(),
    say: (name: string, state: FoundSet['state'], changes: Partial<FoundSet> = {}, host = a) => {
      const { id, epoch } = set(name)
      const about = { generation: 0, progress: '', reason: null, containers: [] }
      const found: FoundSet = { kind: 'set', id, epoch, state, ...about, ...changes }
      return record(host, { instances: [found], full: false, mentioned: new Set([id]) })
    },
    change: (name: string, values: Partial<Pick<SetRow, 'wanted' | 'recovery'>>) =>
      recorder.write(async (tx, touched) => {
        await tx.updateTable('set').set(values).where('name', '=', name).execute()
        touched.touch('set', set(name).id)
      }),
  }
}

const operation = ({ world }: TestServer, id: string) => world.operation.get(id) ?? assert.fail()

test('so many at a time; each only waits for a place when its host has said at this epoch that it is gone', async (context) => {
  const { server, a, b, drains, pass, place, leaving, say, set } = await stage(context, 3)
  const { id } = await drains.drain('a')
  await pass()
  assert.deepEqual(leaving(), ['a1', 'a2'])
  // The host is told from that revision on, so what it says of an earlier one does not count.
  const begun = set('a1').leaving ?? assert.fail()
  assert.equal(begun.revision, set('a2').leaving?.revision)
  assert.ok(begun.revision <= server.world.revision)
  const reached = server.world.changesSince(begun.revision - 1, 1)?.[0]
  assert.ok(reached?.changes.some((change) => change.id === set('a1').id))
  await pass()
  assert.deepEqual(leaving(), ['a1', 'a2'])

  await say('a1', 'running')
  await say('a1', 'stopping')
  await say('a1', 'absent', { epoch: 2 })
  await say('a1', 'absent', {}, b)
  await place()
  assert.deepEqual([set('a1').hostId, set('a1').epoch], [a, 1])

  await say('a1', 'absent')
  assert.deepEqual([set('a1').hostId, set('a1').leaving], [null, null])
  assert.equal(server.world.setFound.get(set('a1').id), undefined)
  assert.equal(set('a1').moved?.reason, 'host a is drained')
  assert.equal(set('a1').placement?.reason?.code, 'HOST_DRAINED')
  // On its way until it is placed.
  await pass()
  assert.deepEqual(leaving(), ['a2'])
  assert.match(
    operation(server, id).progress,
    /^0 of 3 moved; a2 stops on a .*; a1 is being placed$/,
  )
  await place()
  assert.deepEqual([set('a1').hostId, set('a1').epoch], [b, 2])
  await pass()
  assert.deepEqual(leaving(), ['a2', 'a3'])
  for (const name of ['a2', 'a3']) await say(name, 'absent')
  await place()
  await pass()
  const { state, progress } = operation(server, id)
  assert.deepEqual([state, progress], ['done', '3 of 3 moved'])
})

test('of all hosts together no more than the region allows; a newer drain takes the place of one that is open', async (context) => {
  const { server, b, drains, pass, leaving } = await stage(context, 3)
  for (const name of ['b1', 'b2']) await placeSet(server, { name, hostId: b })
  await joinHost(server, 'c')
  await server.recorder.write(async (tx, touched) => {
    await tx.updateTable('host').set({ state: 'ready', capacity }).execute()
    for (const host of server.world.host.values()) touched.touch('host', host.id)
  })
  const first = await drains.drain('a')
  await drains.drain('b')
  await pass()
  assert.deepEqual(leaving(), ['a1', 'a2', 'b1'])
  const second = await drains.drain('a')
  assert.equal(operation(server, first.id).state, 'superseded')
  await pass()
  assert.deepEqual(leaving(), ['a1', 'a2', 'b1'])
  assert.match(operation(server, second.id).progress, /^0 of 3 moved; a1 stops on a /)
})

test('cancelled at the very moment, uncordoned or lost: no move begins', async (context) => {
  const { server, drains, pass, leaving, changeHosts } = await stage(context, 2)
  const { database } = server
  const cancelled = await drains.drain('a')
  // The world has not heard of it yet.
  await database.query.updateTable('operation').set({ endedAtMs: 7, state: 'cancelled' }).execute()
  await pass()
  assert.deepEqual(leaving(), [])
  assert.equal(cancelled.state, 'pending')

  const uncordoned = await drains.drain('a')
  await changeHosts({ cordoned: false }, ['a'])
  await pass()
  assert.equal(operation(server, uncordoned.id).state, 'cancelled')
  assert.match(operation(server, uncordoned.id).reason?.text ?? '', /uncordoned/)

  const lost = await drains.drain('a')
  await changeHosts({ state: 'unreachable' }, ['a'])
  await pass()
  assert.deepEqual(leaving(), [])
  assert.match(operation(server, lost.id).progress, /a is unreachable/)
  await assert.rejects(drains.drain('a'), { code: 'NOT_ALLOWED_NOW' })
  const maintained = await drains.beginMaintenance('a')
  assert.deepEqual(
    [maintained.state, server.world.host.get(maintained.resourceId)?.maintenance],
    ['done', true],
  )
})

test('the host dies half-way: fencing frees what may run elsewhere; local sets wait for the host, and the drain says so', async (context) => {
  const { server, a, drains, pass, leaving, change, changeHosts, set, say } = await stage(
    context,
    2,
  )
  await change('a1', { recovery: 'elsewhere' })
  const { id } = await drains.drain('a')
  await pass()
  assert.deepEqual(leaving(), ['a1', 'a2'])
  await changeHosts({ state: 'fenced' }, ['a'])
  const host = server.world.host.get(a) ?? assert.fail()
  await server.recorder.write((tx, touched) => releaseFrom(tx, touched, { host, atMs: 7 }))
  assert.deepEqual([set('a1').hostId, set('a1').leaving], [null, null])
  assert.deepEqual(leaving(), ['a2'])
  await changeHosts({ cordoned: false }, ['b'])
  await pass()
  const { state, reason } = operation(server, id)
  assert.equal(state, 'failed')
  assert.match(
    reason?.text ?? '',
    /a was fenced meanwhile; a2 was being stopped and goes on to another host once a is back/,
  )
  // It is back, and has ended what it was to end.
  await changeHosts({ state: 'returning' }, ['a'])
  await say('a2', 'absent')
  assert.equal(set('a2').hostId, null)
})

test('removed or changed while it leaves: it goes for good, or is placed as it is wanted by then', async (context) => {
  const { server, drains, pass, change, say, set, place, b } = await stage(context, 2)
  await drains.drain('a')
  await pass()
  const { id } = set('a1')
  await change('a1', { wanted: 'removed' })
  await change('a2', { wanted: 'stopped' })
  await say('a1', 'absent')
  assert.equal(server.world.set.get(id), undefined)
  await say('a2', 'absent')
  await place()
  assert.deepEqual([set('a2').hostId, set('a2').wanted, set('a2').epoch], [b, 'stopped', 2])
})

test('a host in maintenance takes nothing, even if somebody uncordons it; afterwards it does again', async (context) => {
  const { server, drains, place, set, pass, changeHosts } = await stage(context, 0)
  await drains.beginMaintenance('a')
  await pass()
  await changeHosts({ cordoned: false }, ['a'])
  await assert.rejects(server.fleet.service.cordon('a', false), { code: 'NOT_ALLOWED_NOW' })
  await changeHosts({ cordoned: true }, ['b'])
  await placeSet(server, { name: 'new', hostId: null })
  await place()
  assert.match(set('new').placement?.reason?.text ?? '', /a: it is in maintenance/)
  const host = await drains.endMaintenance('a')
  assert.deepEqual([host.maintenance, host.cordoned], [false, false])
  await place()
  assert.equal(set('new').hostId, host.id)
})

test('the room that was chosen is held from the beginning of a move until the set is placed, or gone', async (context) => {
  const { server, b, drains, pass, place, leaving, say, set } = await stage(context, 1)
  const { recorder, database } = server
  const { cpuMillis, memoryBytes } = set('a1')
  await recorder.write(async (tx, touched) => {
    const one = JSON.stringify({ cpuMillis, memoryBytes, diskBytes: 2 ** 40 })
    await tx.updateTable('host').set({ capacity: one }).where('name', '=', 'b').execute()
    touched.touch('host', b)
  })
  await drains.drain('a')
  await pass()
  assert.deepEqual([leaving(), set('a1').leaving?.toHostId], [['a1'], b])
  await placeSet(server, { name: 'late', hostId: null })
  await place()
  assert.equal(set('late').hostId, null)
  assert.match(set('late').placement?.reason?.text ?? '', /memory|cpu/)
  await say('a1', 'absent')
  assert.equal(set('a1').placement?.heldOn, b)
  // Also for a leader that has just begun, and whichever of the two it comes to first.
  await database.query
    .updateTable('set')
    .set({ priority: 1_000 })
    .where('name', '=', 'late')
    .execute()
  await recorder.write(async (_tx, touched) => touched.touch('set', set('late').id))
  const fresh = new WorldLedger(server.world, {
    overcommit: { cpu: 4, memory: 1 },
    reserveHosts: 0,
  })
  assert.equal(fresh.host(b)?.allocated.memoryBytes, memoryBytes)
  fresh.stop()
  await place()
  assert.deepEqual([set('a1').hostId, set('late').hostId], [b, null])
  assert.equal(set('a1').placement?.heldOn, undefined)
  // One that is removed meanwhile holds nothing any more.
  await recorder.write((tx, touched) =>
    removeRows(tx, touched, {
      refs: [{ kind: 'set', id: set('a1').id }],
      nowMs: server.clock.nowMs(),
    }),
  )
  await place()
  assert.equal(set('late').hostId, b)
})

test('a set that was asked for on this very host stays; one that was asked for on another since moves there', async (context) => {
  const { server, a, b, drains, pass, leaving, set } = await stage(context, 2)
  const pin = async (name: string, hostId: string): Promise<void> => {
    const { id, placementRule } = set(name)
    await server.recorder.write(async (tx, touched) => {
      const rule = JSON.stringify({ ...placementRule, hostId })
      await tx.updateTable('set').set({ placementRule: rule }).where('id', '=', id).execute()
      touched.touch('set', id)
    })
  }
  await pin('a1', a)
  await pin('a2', b)
  await drains.drain('a')
  await pass()
  assert.deepEqual(leaving(), ['a2'])
})
