// Proves that applies end and can be explained when much happens at once, when parts of them fail, and when the server
// that carries them out is killed.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { createClient, isApiError, type Client } from '@nubo/client'
import { systemClock, systemRandom } from '@nubo/runtime'
import { joinHost } from '../support/hosts.ts'
import {
  done,
  everywhere,
  importRootfs,
  makeNetwork,
  makeProject,
  waitSet,
} from '../support/project.ts'
import { TestRegion } from '../support/region.ts'
import { startServerProcess } from '../support/server-process.ts'
import { waitUntil } from '../support/wait.ts'

type Manifest = Parameters<Client['planCreate']>[0]['body']['manifest']
type ManifestSet = NonNullable<Manifest['sets']>[number]

const setOf = (name: string, more: Partial<ManifestSet> = {}): ManifestSet => ({
  name,
  network: 'net',
  cpuMillis: 10,
  memoryBytes: 2 ** 24,
  containers: [{ name: 'main', image: 'web' }],
  ...more,
})

async function openShop(context: TestContext, how: { servers?: 0 | 2 } = {}) {
  const region = await TestRegion.open(context, how)
  const open = async () => {
    const shop = await makeProject(region, 'shop')
    await importRootfs(shop.member, 'web')
    await makeNetwork(shop.member, 'net')
    await everywhere(region)
    return shop
  }
  return { region, open }
}

const TRIES_MAX = 20

/** A server whose connections are all taken says so and asks to be asked again; on a busy machine that happens. */
async function patiently<Reply>(call: () => Promise<Reply>): Promise<Reply> {
  for (let tries = 1; ; tries++) {
    try {
      return await call()
    } catch (error) {
      if (!isApiError(error, 'DATABASE_UNAVAILABLE') || tries === TRIES_MAX) throw error
    }
  }
}

const APPLIES = 200
const MANIFESTS = 50

test('200 applies of manifests that overlap, at once on two servers: none hangs, each says what came of it, and what the last ones say is so', async (t) => {
  const { region, open } = await openShop(t)
  const shop = await open()
  await joinHost(region, { name: 'host-1', server: 0 })
  await joinHost(region, { name: 'host-2', server: 1 })
  const clients = region.servers.map((server) => region.client(shop.tokens.member, [server]))
  // Each manifest has a network and a set of its own; all want the same network, subnet and set, described in two ways.
  const manifestOf = (at: number): Manifest => {
    const own = at % MANIFESTS
    return {
      name: `m-${own}`,
      networks: [
        { name: 'shared', cidr: '10.20.0.0/16' },
        { name: `own-${own}`, cidr: '10.30.0.0/16' },
      ],
      subnets: [{ name: 'shared', network: 'shared', cidr: '10.20.1.0/24' }],
      sets: [
        setOf('shared', { network: 'shared', labels: { way: String(at % 2) } }),
        setOf(`set-${own}`, { labels: { version: String(at) } }),
      ],
    }
  }
  const outcomes = await Promise.all(
    Array.from({ length: APPLIES }, async (_, at) => {
      const client = clients[at % clients.length]
      assert.ok(client !== undefined)
      try {
        const operation = await patiently(() =>
          client.applyCreate({ body: { manifest: manifestOf(at) } }),
        )
        const ended = await client.waitOperation(operation.id)
        return { how: ended.state, why: ended.reason?.code ?? '', text: ended.reason?.text ?? '' }
      } catch (error) {
        if (!isApiError(error)) throw error
        return { how: 'refused', why: error.code, text: error.message }
      }
    }),
  )
  const counts = new Map<string, number>()
  for (const { how, why } of outcomes)
    counts.set(`${how} ${why}`, (counts.get(`${how} ${why}`) ?? 0) + 1)
  t.diagnostic([...counts].map(([what, count]) => `${what}: ${count}`).join(', '))
  const explained = new Set([
    'done ',
    // A newer apply of the same manifest.
    'superseded NOT_ALLOWED_NOW',
    // The shared set: described otherwise by another manifest, or changed by one while this plan was made.
    'failed CHANGED_MEANWHILE',
    'refused CHANGED_MEANWHILE',
    'refused IN_USE',
  ])
  assert.deepEqual(
    outcomes.filter(({ how, why }) => !explained.has(`${how} ${why}`)),
    [],
  )
  assert.ok((counts.get('done ') ?? 0) > 0)
  // Everything is there once and runs, and a last apply of each still comes to its end.
  const [client] = clients
  assert.ok(client !== undefined)
  const sets = await waitUntil(
    async () => (await client.setList()).items,
    (items) => items.length > 0 && items.every(({ state }) => state === 'running'),
  )
  assert.equal(new Set(sets.map(({ name }) => name)).size, sets.length)
  const networks = (await client.networkList()).items.map(({ name }) => name)
  assert.equal(new Set(networks).size, networks.length)
  const open2 = (await client.operationList({ query: { state: 'pending' } })).items
  const running = (await client.operationList({ query: { state: 'running' } })).items
  assert.deepEqual([...open2, ...running], [])
  for (let own = 0; own < MANIFESTS; own++) {
    const manifest = { ...manifestOf(own), networks: [], subnets: [], sets: [setOf(`set-${own}`)] }
    await done(client, await client.applyCreate({ body: { manifest } }))
  }
})

test('what fails is told with its reason, what needs it is not tried, the rest is done, and applying again goes on', async (t) => {
  const { region, open } = await openShop(t)
  const { member } = await open()
  const small = { cpuMillis: 500, memoryBytes: 2 ** 28, diskBytes: 2 ** 33 }
  await joinHost(region, { name: 'host-1', capacity: small })
  const manifest = {
    name: 'shop',
    sets: [
      setOf('big', { memoryBytes: 2 ** 30 }),
      setOf('after-big', { after: ['big'] }),
      setOf('fine'),
    ],
  }
  const ended = await member.waitOperation((await member.applyCreate({ body: { manifest } })).id)
  assert.equal(ended.state, 'failed')
  assert.equal(ended.reason?.code, 'NOT_PLACED')
  assert.match(
    ended.reason?.text ?? '',
    /^1 of 3 done; set big: no host can take it \(host-1: memory: 1024 MiB wanted.*; not tried: set after-big$/,
  )
  const { steps } = await member.applyShow({ params: { id: ended.id } })
  assert.deepEqual(
    steps.map(({ name, state }) => [name, state]),
    [
      ['big', 'failed'],
      ['after-big', 'skipped'],
      ['fine', 'done'],
    ],
  )
  await waitSet(member, 'fine', ({ state }) => state === 'running')
  const plan = await member.planCreate({ body: { manifest } })
  assert.deepEqual(
    plan.changes.map(({ name }) => name),
    ['after-big'],
  )
  assert.match(plan.warnings.join(), /set big waits for a host/)
  const less = { ...manifest, sets: [setOf('big'), ...manifest.sets.slice(1)] }
  await done(member, await member.applyCreate({ body: { manifest: less } }))
  await waitSet(member, 'after-big', ({ state }) => state === 'running')
})

test('a cancelled apply begins nothing more; a newer one of the same manifest takes its place', async (t) => {
  const { open } = await openShop(t)
  const { member } = await open()
  // Without a host a set is not placed; with a container that never gets healthy the chain would wait.
  const region = { sets: [setOf('first'), setOf('second', { after: ['first'] })] }
  const first = await member.applyCreate({ body: { manifest: { name: 'shop', ...region } } })
  await member.operationCancel({ params: { id: first.id } })
  const cancelled = await member.waitOperation(first.id)
  // It may have ended before it was cancelled: then it says so.
  assert.ok(['cancelled', 'failed'].includes(cancelled.state), cancelled.state)
  const { steps } = await member.applyShow({ params: { id: first.id } })
  assert.equal(steps.find(({ name }) => name === 'second')?.state, 'skipped')
  await assert.rejects(member.setShow({ params: { id: 'second' } }))
})

test('an address that rests after its last use is waited for, and the operation says so', async (t) => {
  const { region, open } = await openShop(t)
  const { member } = await open()
  await joinHost(region, { name: 'host-1' })
  const manifest = { name: 'shop', sets: [setOf('web', { address: '10.0.1.50' })] }
  await done(member, await member.applyCreate({ body: { manifest } }))
  await done(member, await member.setRemove({ params: { id: 'web' } }))
  const again = await member.applyCreate({ body: { manifest } })
  const waiting = await waitUntil(
    () => member.operationShow({ params: { id: again.id } }),
    ({ reason }) => reason !== null,
  )
  assert.equal(waiting.reason?.code, 'ADDRESS_TAKEN')
  assert.match(waiting.reason?.text ?? '', /^set web: 10\.0\.1\.50 .*freed less than 60 s ago/)
  region.clock.moveMs(61_000)
  await done(member, again)
  assert.equal((await member.setShow({ params: { id: 'web' } })).address, '10.0.1.50')
})

test('the server that carries an apply out is killed: its successor goes on, and everything is there once', async (t) => {
  const region = await TestRegion.open(t, { servers: 0 })
  const doomed = await startServerProcess(region, 0)
  const survivor = await region.startServer(1)
  const shop = await makeProject(region, 'shop')
  await importRootfs(shop.member, 'web')
  await joinHost(region, { name: 'host-1', server: 1 })
  const sets = Array.from({ length: 60 }, (_, at) => setOf(`web-${at}`, { network: 'shop' }))
  const manifest = {
    name: 'shop',
    networks: [{ name: 'shop', cidr: '10.0.0.0/16' }],
    subnets: [{ name: 'front', network: 'shop', cidr: '10.0.1.0/24' }],
    sets,
  }
  const viaDoomed = createClient({
    servers: [doomed.url],
    token: shop.tokens.member,
    clock: systemClock,
    random: systemRandom,
  })
  const operation = await viaDoomed.applyCreate({ body: { manifest } })
  assert.equal(survivor.region.isLeading(), false)
  await waitUntil(
    async () => (await shop.member.setList()).items.length,
    (count) => count >= 5,
  )
  await doomed.kill()
  const ended = await waitUntil(
    () => shop.member.operationShow({ params: { id: operation.id } }),
    ({ endedAtMs }) => endedAtMs !== null,
    { timeoutMs: 60_000 },
  )
  assert.deepEqual([ended.state, ended.reason, ended.progress], ['done', null, '62 of 62 done'])
  const items = (await shop.member.setList()).items
  assert.equal(items.length, 60)
  assert.equal(new Set(items.map(({ address }) => address)).size, 60)
  assert.equal((await shop.member.portList()).items.length, 60)
  const plan = await shop.member.planCreate({ body: { manifest, prune: true } })
  assert.deepEqual([plan.changes, plan.unchanged], [[], 62])
})
