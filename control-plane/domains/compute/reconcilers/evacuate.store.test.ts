// Proves what becomes of sets when their host is fenced: `elsewhere` ones wait for a place, `local` ones stay, removed ones end.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { HostFence } from '@nubo/contracts'
import type { HostId } from '@nubo/base'
import type { SetRow } from '../../../world/index.ts'
import {
  joinHost,
  noFence,
  openServers,
  placeSet,
  type TestServer,
} from '../../fleet/testing/region.ts'
import { upsertFound } from '../store.ts'
import { evacuateFenced, releaseFrom } from './evacuate.ts'

async function stage(context: TestContext, by: HostFence['by']) {
  const [server] = await openServers(context)
  assert.ok(server)
  const { hostId } = await joinHost(server, 'h1')
  const names = ['local', 'elsewhere', 'local-removed', 'elsewhere-removed', 'stopped']
  for (const name of names) await placeSet(server, { name, hostId })
  await server.recorder.write(async (tx, touched) => {
    const fence = { ...noFence, step: 'fenced' as const, by }
    await tx
      .updateTable('host')
      .set({ state: 'fenced', fence: JSON.stringify(fence) })
      .execute()
    const elsewhere = { recovery: 'elsewhere' as const }
    const change = (name: string, values: Partial<Pick<SetRow, 'recovery' | 'wanted'>>) =>
      tx.updateTable('set').set(values).where('name', '=', name).execute()
    await change('elsewhere', elsewhere)
    await change('stopped', { ...elsewhere, wanted: 'stopped' })
    await change('local-removed', { wanted: 'removed' })
    await change('elsewhere-removed', { ...elsewhere, wanted: 'removed' })
    touched.touch('host', hostId)
    for (const set of server.world.set.values()) touched.touch('set', set.id)
  })
  return { server, hostId }
}

const byName = ({ world }: TestServer): Map<string, SetRow> =>
  new Map([...world.set.values()].map((set) => [set.name, set]))

async function release(server: TestServer, hostId: HostId): Promise<void> {
  const host = server.world.host.get(hostId) ?? assert.fail()
  await server.recorder.write((tx, touched) => releaseFrom(tx, touched, { host, atMs: 7 }))
}

test('what may run elsewhere waits for a place and remembers where it was; its epoch rises only with the next place', async (context) => {
  const { server, hostId } = await stage(context, 'power')
  await release(server, hostId)
  const sets = byName(server)
  for (const name of ['elsewhere', 'stopped']) {
    const set = sets.get(name)
    assert.equal(set?.hostId, null)
    assert.equal(set.epoch, 1)
    assert.deepEqual(set.moved, {
      fromHost: 'h1',
      fromEpoch: 1,
      atMs: 7,
      reason: 'its host h1 was fenced',
    })
    assert.match(set.placement?.reason?.text ?? '', /its host h1 was fenced; waits to be placed/)
  }
  assert.equal(sets.get('local')?.hostId, hostId)
  assert.equal(sets.get('local')?.moved, null)
  const { revision } = server.world
  await release(server, hostId)
  assert.equal(server.world.revision, revision, 'a second time does nothing')
})

test('sets that are to be removed end, and one that was left out is released', async (context) => {
  const { server, hostId } = await stage(context, 'power')
  await evacuateFenced(server)
  const sets = byName(server)
  assert.deepEqual([...sets.keys()].toSorted(), ['elsewhere', 'local', 'stopped'])
  assert.equal(sets.get('elsewhere')?.hostId, null)
  assert.equal(sets.get('local')?.hostId, hostId)
  const { revision } = server.world
  await evacuateFenced(server)
  assert.equal(server.world.revision, revision)
})

test('on a host of which only the leases have ended, a local set may still run: its removal waits', async (context) => {
  const { server } = await stage(context, 'lease')
  await evacuateFenced(server)
  assert.deepEqual([...byName(server).keys()].toSorted(), [
    'elsewhere',
    'local',
    'local-removed',
    'stopped',
  ])
})

test('on a host that is back nothing is done', async (context) => {
  const { server, hostId } = await stage(context, 'power')
  // The world has not heard of its return yet.
  await server.database.query.updateTable('host').set({ state: 'returning' }).execute()
  await evacuateFenced(server)
  assert.equal(byName(server).size, 5)
  assert.equal(byName(server).get('elsewhere')?.hostId, hostId)
})

test('a set that became `elsewhere` stays until its host has said that it knows', async (context) => {
  const { server, hostId } = await stage(context, 'power')
  const { id } = byName(server).get('elsewhere') ?? assert.fail()
  const removed = byName(server).get('elsewhere-removed') ?? assert.fail()
  await server.recorder.write(async (tx, touched) => {
    await tx
      .updateTable('set')
      .set({ localGeneration: 3 })
      .where('id', 'in', [id, removed.id])
      .execute()
    touched.touch('set', id)
    touched.touch('set', removed.id)
  })
  const say = (generation: number, epoch = 1) =>
    server.recorder.write((tx, touched) => {
      const about = { state: 'running' as const, progress: '', reason: null, containers: [] }
      return upsertFound(tx, touched, [
        { hostId, found: { kind: 'set', id, epoch, generation, ...about }, sinceMs: 1 },
      ])
    })
  for (const said of [undefined, { generation: 3 }, { generation: 4, epoch: 2 }]) {
    if (said !== undefined) await say(said.generation, said.epoch)
    await release(server, hostId)
    await evacuateFenced(server)
    assert.equal(byName(server).get('elsewhere')?.hostId, hostId)
  }
  assert.equal(byName(server).get('stopped')?.hostId, null, 'others do not wait for it')
  assert.equal(
    byName(server).get('elsewhere-removed'),
    undefined,
    'without power nothing of it runs',
  )
  await say(4)
  await release(server, hostId)
  assert.equal(byName(server).get('elsewhere')?.hostId, null)
})
