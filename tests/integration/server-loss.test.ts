import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClient } from '@nubo/client'
import { systemClock, systemRandom } from '@nubo/runtime'
import { joinHost } from '../support/hosts.ts'
import { importRootfs, makeNetwork, makeProject, setOf } from '../support/project.ts'
import { TestRegion } from '../support/region.ts'
import { startServerProcess } from '../support/server-process.ts'
import { waitUntil } from '../support/wait.ts'

const CREATES = 40

test('one of two servers, the leading one, is killed during 40 concurrent creates: what was acknowledged exists once and runs, no address is given twice, every operation ends', async (t) => {
  const region = await TestRegion.open(t, { servers: 0 })
  const doomed = await startServerProcess(region, 0)
  const survivor = await region.startServer(1)
  assert.equal(survivor.region.isLeading(), false, 'the doomed one leads')
  const shop = await makeProject(region, 'shop')
  await makeNetwork(shop.member, 'net')
  await importRootfs(shop.member, 'web')
  const hosts = [
    await joinHost(region, { name: 'host-1', server: 0 }),
    await joinHost(region, { name: 'host-2', server: 1 }),
  ]
  const clientOf = (url: string) =>
    createClient({
      servers: [url],
      token: shop.tokens.member,
      clock: systemClock,
      random: systemRandom,
    })
  const viaDoomed = clientOf(doomed.url)
  const before = await shop.member.networkList()
  await viaDoomed.networkList({ query: { minRevision: before.revision } })

  let acknowledgedByDoomed = 0
  const creates = Array.from({ length: CREATES }, async (_, at) => {
    const client = at % 2 === 0 ? viaDoomed : shop.member
    const operation = await client.setCreate({ body: setOf(`web-${at}`) })
    if (client === viaDoomed) acknowledgedByDoomed++
    return operation
  })
  const outcomes = Promise.allSettled(creates)
  await waitUntil(
    () => acknowledgedByDoomed,
    (count) => count >= 5,
  )
  await doomed.kill()
  const acknowledged = (await outcomes).flatMap((outcome) =>
    outcome.status === 'fulfilled' ? [outcome.value] : [],
  )
  t.diagnostic(`${acknowledged.length} of ${CREATES} were acknowledged`)
  assert.ok(acknowledged.length >= CREATES / 2)

  await waitUntil(
    () => survivor.region.isLeading(),
    (leads) => leads,
  )
  const sets = await waitUntil(
    async () => (await shop.member.setList()).items,
    (items) => items.every(({ state }) => state === 'running'),
    { what: 'every set runs', timeoutMs: 40_000 },
  )
  const names = sets.map(({ name }) => name)
  for (const { resource } of acknowledged)
    assert.equal(names.filter((name) => name === resource.name).length, 1, resource.name)
  assert.equal(new Set(names).size, names.length)
  const addresses = sets.map(({ address }) => address)
  assert.equal(new Set(addresses).size, addresses.length, 'no address twice')
  const ports = (await shop.member.portList()).items
  assert.equal(ports.length, sets.length, 'no port without its set')

  const operations = await waitUntil(
    async () => (await shop.member.operationList()).items,
    (items) => items.every(({ endedAtMs }) => endedAtMs !== null),
    { what: 'every operation ends' },
  )
  for (const operation of acknowledged)
    assert.equal(operations.find(({ id }) => id === operation.id)?.state, 'done')
  assert.equal(operations.length, sets.length)

  // Each runs once: on the host that the record says, and on no other.
  for (const set of sets) {
    const running = hosts.filter(({ simulated }) => simulated.setHost.sets.has(set.id))
    assert.deepEqual(
      running.map(({ name }) => name),
      [set.host],
    )
  }
  assert.deepEqual(
    hosts.map(({ simulated }) => simulated.agent?.connectedTo),
    [survivor.hostContract, survivor.hostContract],
  )
})
