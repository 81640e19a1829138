// Proves that servers can be replaced one after the other while clients work: nothing that was acknowledged is lost or
// fails, and clients, watchers and agents move on by themselves.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClient } from '@nubo/client'
import { quotaMismatches, type Tables } from '@nubo/control-plane'
import { openDatabase, silentLog, systemClock, systemRandom } from '@nubo/runtime'
import { joinHost } from '../support/hosts.ts'
import { importRootfs, makeNetwork, makeProject } from '../support/project.ts'
import { TestRegion } from '../support/region.ts'
import { startServerProcess } from '../support/server-process.ts'
import { waitUntil } from '../support/wait.ts'
import { Load } from './load.ts'

const WORKERS = 4
const ROUNDS = 2
/** So many changes are acknowledged between one restart and the next. */
const CHANGES_BETWEEN = 12

test('two servers are restarted in turn, twice, while clients create, remove, list and watch: no call fails, no write is lost, the end is exact', async (t) => {
  const region = await TestRegion.open(t, { servers: 0 })
  // Processes have no registry: a server in here takes the image, and gives its place to a process.
  const first = await region.startServer(0)
  const shop = await makeProject(region, 'shop')
  await makeNetwork(shop.member, 'net')
  await importRootfs(shop.member, 'web')
  const hosts = [
    await joinHost(region, { name: 'host-1' }),
    await joinHost(region, { name: 'host-2' }),
  ]
  await first.stop()
  const servers = [await startServerProcess(region, 0), await startServerProcess(region, 1)]
  const urls = servers.map(({ url }) => url)
  const token = shop.tokens.member
  const load = new Load({ servers: urls, token, workers: WORKERS })
  t.after(() => load.close())
  const moreChanges = (): Promise<unknown> => {
    const before = load.acknowledged
    return waitUntil(
      () => load.failures.length > 0 || load.acknowledged - before >= CHANGES_BETWEEN,
      (isSo) => isSo,
      { what: `${CHANGES_BETWEEN} more changes` },
    )
  }

  for (let round = 0; round < ROUNDS; round++) {
    for (const index of servers.keys()) {
      await moreChanges()
      assert.equal(await servers[index]?.stop(), 0, servers[index]?.log())
      await moreChanges()
      servers[index] = await startServerProcess(region, index)
    }
  }
  await moreChanges()
  await load.stop()
  t.diagnostic(
    `${load.acknowledged} changes acknowledged, ${load.unknown} outcomes unknown, ${load.lists} lists`,
  )
  assert.deepEqual(load.failures, [])

  const client = createClient({ servers: urls, token, clock: systemClock, random: systemRandom })
  const sets = await waitUntil(
    () => client.listAll('setList'),
    (all) => all.length === load.wanted.size && all.every(({ state }) => state === 'running'),
    { what: 'exactly the sets that are wanted run' },
  )
  assert.deepEqual(new Set(sets.map(({ name }) => name)), load.wanted)
  await waitUntil(
    () => [...load.watched],
    (watched) =>
      watched.length === sets.length && watched.every(([, state]) => state === 'running'),
    { what: 'the watcher knows the same' },
  )
  const addresses = new Set(sets.map(({ address }) => address))
  assert.equal(addresses.size, sets.length, 'no address twice')
  for (const { id, name, host } of sets) {
    const running = hosts.filter(({ simulated }) => simulated.setHost.sets.has(id))
    assert.deepEqual(
      running.map((one) => one.name),
      [host],
      name,
    )
  }
  const operations = await client.listAll('operationList')
  const bad = operations.filter(({ state }) => state !== 'done')
  assert.deepEqual(bad, [], 'every operation ended well')

  const database = openDatabase<Tables>({
    url: region.databaseUrl,
    clock: systemClock,
    log: silentLog,
  })
  try {
    assert.deepEqual(await quotaMismatches(database), [])
  } finally {
    await database.close()
  }
})
