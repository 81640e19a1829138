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
import { Load } from './load.ts'

const WORKERS = 4
/** So many changes are acknowledged between one restart and the next. */
const CHANGES_BETWEEN = 8

test('two servers are restarted in turn while clients create, remove, list and watch: no call fails, no write is lost, the end is exact', async (t) => {
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
  for (const index of servers.keys()) {
    await load.moreChanges(CHANGES_BETWEEN)
    assert.equal(await servers[index]?.stop(), 0, servers[index]?.log())
    await load.moreChanges(CHANGES_BETWEEN)
    servers[index] = await startServerProcess(region, index)
  }
  await load.moreChanges(CHANGES_BETWEEN)
  await load.stop()
  t.diagnostic(
    `${load.acknowledged} changes acknowledged, ${load.unknown} outcomes unknown, ${load.lists} lists`,
  )
  const client = createClient({ servers: urls, token, clock: systemClock, random: systemRandom })
  await load.assertExact(
    client,
    hosts.map(({ name, simulated }) => ({
      name,
      setIds: async () => [...simulated.setHost.sets.keys()],
    })),
  )
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
