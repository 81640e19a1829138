import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Tables } from '@nubo/control-plane'
import {
  migrate,
  openDatabase,
  PostgresServer,
  readMigrations,
  silentLog,
  systemClock,
} from '@nubo/runtime'
import { send } from '../support/http.ts'
import { joinHost } from '../support/hosts.ts'
import {
  done,
  everywhere,
  importRootfs,
  makeNetwork,
  makeProject,
  setOf,
} from '../support/project.ts'
import { refusal } from '../support/refusal.ts'
import { TestRegion } from '../support/region.ts'
import { waitUntil } from '../support/wait.ts'

const migrationsFolder = new URL('../../control-plane/migrations', import.meta.url).pathname

test('the database goes away and comes back: changes are refused as unavailable, reads and hosts go on, and everything works again by itself', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'nt-un-'))
  chmodSync(folder, 0o755)
  const server = new PostgresServer({
    folder: join(folder, 'db'),
    runFolder: join(folder, 'run'),
    logFile: join(folder, 'log'),
    sharedBuffersMib: 32,
  })
  await server.start()
  let region: TestRegion | undefined
  try {
    const database = openDatabase<Tables>({ url: server.url, clock: systemClock, log: silentLog })
    await migrate(database.query, await readMigrations(migrationsFolder))
    await database.close()
    await t.test('outage', async (inner) => {
      region = await TestRegion.open(inner, { databaseUrl: server.url })
      await outage(region, server)
    })
  } finally {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
})

async function outage(region: TestRegion, server: PostgresServer): Promise<void> {
  const shop = await makeProject(region, 'shop')
  const both = region.servers.map((one) => region.client(shop.tokens.member, [one]))
  await makeNetwork(shop.member, 'net')
  await importRootfs(shop.member, 'web')
  const { simulated } = await joinHost(region, { name: 'host-1' })
  await done(shop.member, await shop.member.setCreate({ body: setOf('web') }))
  await everywhere(region)
  const before = await shop.member.setShow({ params: { id: 'web' } })
  const containers = containersOf(simulated.setHost)

  await server.stop()
  for (const [at, client] of both.entries()) {
    const error = await refusal(
      client.networkCreate({ body: { name: `n-${at}`, cidr: '10.0.0.0/16' } }),
      'DATABASE_UNAVAILABLE',
    )
    assert.equal(error.status, 503)
    await refusal(client.setCreate({ body: setOf('late') }), 'DATABASE_UNAVAILABLE')
    await refusal(client.setRemove({ params: { id: 'web' } }), 'DATABASE_UNAVAILABLE')
    // What is known is still told; what is not known is still refused, in time.
    assert.equal((await client.setShow({ params: { id: 'web' } })).id, before.id)
    assert.equal((await client.networkList()).items.length, 1)
    await refusal(client.setShow({ params: { id: 'none' } }), 'NOT_FOUND')
  }
  const raw = await send(region.server(0).url, {
    method: 'POST',
    path: '/v1/networks',
    token: shop.tokens.member,
    body: { name: 'raw', cidr: '10.0.0.0/16' },
  })
  assert.equal(raw.status, 503)
  assert.equal(raw.headers['retry-after'], '1')
  await waitUntil(
    () => region.servers.some((one) => one.region.isLeading()),
    (isLed) => !isLed,
    { what: 'nobody leads without a record' },
  )

  await server.start()
  for (const [at, client] of both.entries()) {
    await waitUntil(
      () =>
        client.networkCreate({ body: { name: `n-${at}`, cidr: '10.0.0.0/16' } }).then(
          () => true,
          () => false,
        ),
      (isDone) => isDone,
    )
  }
  await waitUntil(
    () => region.servers.filter((one) => one.region.isLeading()).length,
    (leaders) => leaders === 1,
  )
  // Both hear of each other's changes again, sets are placed again, and nothing was started anew.
  await waitUntil(
    () => Promise.all(both.map(async (client) => (await client.networkList()).items.length)),
    (counts) => counts.every((count) => count === 3),
  )
  await done(shop.member, await shop.member.setCreate({ body: setOf('late') }))
  const host = await region.operator.hostShow({ params: { id: 'host-1' } })
  assert.equal(host.state, 'ready')
  const after = await shop.member.setShow({ params: { id: 'web' } })
  assert.deepEqual({ ...after, ports: null }, { ...before, ports: null })
  const kept = containersOf(simulated.setHost)
  for (const id of containers) assert.ok(kept.includes(id), 'the container is the same')
}

function containersOf(setHost: {
  sets: ReadonlyMap<string, { containers: ReadonlyMap<string, { found: { containerId: string } }> }>
}): string[] {
  return [...setHost.sets.values()].flatMap((set) =>
    [...set.containers.values()].map(({ found }) => found.containerId),
  )
}
