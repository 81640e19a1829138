// Proves what people see of plan and apply on two servers: what is made, changed, re-created and pruned, what is refused
// and then changed nothing, and that an apply ends and says what came of it whatever happens meanwhile.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Client } from '@nubo/client'
import type { Operation, Plan } from '@nubo/contracts'
import { joinHost } from '../support/hosts.ts'
import { done, everywhere, importRootfs, makeProject, waitSet } from '../support/project.ts'
import { refusal } from '../support/refusal.ts'
import { TestRegion } from '../support/region.ts'

type Manifest = Parameters<Client['planCreate']>[0]['body']['manifest']
type Sets = NonNullable<Manifest['sets']>

const shopSet = (name: string, more: Partial<Sets[number]> = {}): Sets[number] => ({
  name,
  network: 'shop',
  containers: [{ name: 'main', image: 'web' }],
  ...more,
})

function shopManifest(change: Partial<Manifest> = {}): Manifest {
  return {
    name: 'shop',
    networks: [{ name: 'shop', cidr: '10.0.0.0/16' }],
    subnets: [{ name: 'front', network: 'shop', cidr: '10.0.1.0/24' }],
    ports: [{ name: 'vip', network: 'shop', address: '10.0.1.50' }],
    images: [{ name: 'web' }],
    sets: [shopSet('db', { port: 'vip' }), shopSet('web-1', { after: ['db'] })],
    ...change,
  }
}

const summary = ({ changes }: Plan): string[] =>
  changes.map(({ action, kind, name }) => `${action} ${kind} ${name}`)

async function openShop(context: TestContext, hosts = 2) {
  const region = await TestRegion.open(context)
  const shop = await makeProject(region, 'shop')
  await importRootfs(shop.member, 'web')
  await importRootfs(shop.member, 'web-2', 'two')
  await everywhere(region)
  for (let at = 1; at <= hosts; at++) await joinHost(region, { name: `host-${at}`, server: at % 2 })
  const [one, other] = region.servers.map((server) => region.client(shop.tokens.member, [server]))
  assert.ok(one !== undefined && other !== undefined)
  return { region, shop, one, other }
}

async function applied(client: Client, manifest: Manifest, how: object = {}): Promise<Operation> {
  const ended = await client.waitOperation(
    (await client.applyCreate({ body: { manifest, ...how } })).id,
  )
  if (ended.state !== 'done') throw new Error(`${ended.state}: ${JSON.stringify(ended.reason)}`)
  return ended
}

test('the life of what a manifest describes', async (t) => {
  const { one, other } = await openShop(t)

  await t.test(
    'a plan says what would be made and where, in order, and makes nothing',
    async () => {
      const plan = await one.planCreate({ body: { manifest: shopManifest() } })
      assert.deepEqual(plan.problems, [])
      assert.deepEqual(summary(plan), [
        'create network shop',
        'create subnet shop/front',
        'create port vip',
        'adopt image web',
        'create set db',
        'create set web-1',
      ])
      assert.match(plan.changes[4]?.notes.join() ?? '', /^would go to host-[12]$/)
      assert.deepEqual((await other.networkList()).items, [])
    },
  )

  await t.test(
    'applied on the other server with the check of the plan, all of it runs',
    async () => {
      const { check } = await one.planCreate({ body: { manifest: shopManifest() } })
      const ended = await applied(other, shopManifest(), { check })
      assert.equal(ended.kind, 'apply')
      assert.deepEqual(ended.resource.name, 'shop')
      assert.equal(ended.progress, '6 of 6 done')
      const db = await waitSet(one, 'db', ({ state }) => state === 'running')
      assert.equal(db.address, '10.0.1.50')
      await waitSet(one, 'web-1', ({ state }) => state === 'running')
      const { steps, manifest } = await one.applyShow({ params: { id: ended.id } })
      assert.equal(manifest, 'shop')
      assert.deepEqual(new Set(steps.map(({ state }) => state)), new Set(['done']))
    },
  )

  await t.test('the same again changes nothing and says so', async () => {
    const plan = await one.planCreate({ body: { manifest: shopManifest(), prune: true } })
    assert.deepEqual([plan.changes, plan.problems, plan.unchanged], [[], [], 6])
    const before = await other.setShow({ params: { id: 'web-1' } })
    const again = await one.applyCreate({ body: { manifest: shopManifest(), prune: true } })
    assert.deepEqual([again.state, again.progress], ['done', 'nothing to change'])
    assert.deepEqual(await other.setShow({ params: { id: 'web-1' } }), before)
  })

  await t.test('a changed field is shown and changed in place', async () => {
    const sets = [
      shopSet('db', { port: 'vip', labels: { tier: 'data' } }),
      shopSet('web-1', {
        after: ['db'],
        containers: [{ name: 'main', image: 'web-2', env: { KEY: 'secret' } }],
      }),
    ]
    const manifest = shopManifest({ sets })
    const before = await one.setShow({ params: { id: 'web-1' } })
    const plan = await one.planCreate({ body: { manifest } })
    assert.deepEqual(summary(plan), ['update set db', 'update set web-1'])
    assert.deepEqual(
      plan.changes.flatMap(({ fields }) =>
        fields.map(({ path, before: from, after, effect }) => [path, from, after, effect]),
      ),
      [
        ['labels.tier', null, 'data', 'mutable'],
        ['containers.main.image', 'web', 'web-2', 'restarting'],
        ['containers.main.env.KEY', null, '(hidden)', 'restarting'],
      ],
    )
    await applied(one, manifest, { check: plan.check })
    const now = await waitSet(one, 'web-1', ({ state }) => state === 'running')
    assert.equal(now.containers[0]?.image, 'web-2')
    assert.deepEqual([now.id, now.address, now.host], [before.id, before.address, before.host])
    assert.deepEqual((await one.setShow({ params: { id: 'db' } })).labels, { tier: 'data' })
  })

  await t.test('what cannot be changed in place is refused, and done with recreate', async () => {
    const manifest = shopManifest({
      sets: [
        shopSet('db', { port: 'vip', labels: { tier: 'data' } }),
        shopSet('web-1', { address: '10.0.1.90' }),
      ],
    })
    const before = await one.setShow({ params: { id: 'web-1' } })
    const plan = await one.planCreate({ body: { manifest } })
    assert.equal(plan.problems[0]?.code, 'FIELD_IMMUTABLE')
    assert.match(plan.problems[0]?.next ?? '', /--recreate/)
    const refused = await refusal(one.applyCreate({ body: { manifest } }), 'FIELD_IMMUTABLE')
    assert.equal(refused.details['field'], 'address')
    assert.deepEqual(await one.setShow({ params: { id: 'web-1' } }), before)
    const willing = await one.planCreate({ body: { manifest, recreate: true } })
    assert.deepEqual([summary(willing), willing.problems], [['recreate set web-1'], []])
    await applied(one, manifest, { recreate: true, check: willing.check })
    const now = await waitSet(one, 'web-1', ({ state }) => state === 'running')
    assert.equal(now.address, '10.0.1.90')
    assert.notEqual(now.id, before.id)
  })

  await t.test(
    'a touched set that moved since the plan: refused, and nothing is changed',
    async () => {
      const manifest = shopManifest({
        networks: [
          { name: 'shop', cidr: '10.0.0.0/16' },
          { name: 'new', cidr: '10.1.0.0/16' },
        ],
      })
      const { check } = await one.planCreate({ body: { manifest, recreate: true } })
      await done(other, await other.setRestart({ params: { id: 'db' } }))
      await refusal(
        one.applyCreate({ body: { manifest, recreate: true, check } }),
        'CHANGED_MEANWHILE',
      )
      assert.deepEqual(
        (await one.networkList()).items.map(({ name }) => name),
        ['shop'],
      )
    },
  )

  await t.test(
    'prune removes what is no longer named, in order, and nothing of others',
    async () => {
      await other.networkCreate({ body: { name: 'mine', cidr: '10.7.0.0/16' } })
      await applied(one, { name: 'side', networks: [{ name: 'side', cidr: '10.8.0.0/16' }] })
      const empty: Manifest = { name: 'shop' }
      const plan = await one.planCreate({ body: { manifest: empty } })
      assert.deepEqual([plan.changes, plan.orphans.length], [[], 6])
      const pruned = await one.planCreate({ body: { manifest: empty, prune: true } })
      assert.deepEqual(summary(pruned), [
        'remove set db',
        'remove set web-1',
        'remove port vip',
        'remove subnet shop/front',
        'remove network shop',
        'remove image web',
      ])
      await applied(other, empty, { prune: true, check: pruned.check })
      assert.deepEqual((await one.networkList()).items.map(({ name }) => name).toSorted(), [
        'mine',
        'side',
      ])
      assert.deepEqual((await one.setList()).items, [])
      assert.deepEqual((await one.portList()).items, [])
      assert.deepEqual(
        (await one.imageList()).items.map(({ name }) => name),
        ['web-2'],
      )
    },
  )
})

test('what is refused before anything is changed', async (t) => {
  const { region, one, shop } = await openShop(t, 1)
  const problemsOf = async (manifest: Manifest): Promise<string[]> =>
    (await one.planCreate({ body: { manifest } })).problems.map(
      ({ code, kind, name, field }) => `${code} ${kind} ${name} ${field}`,
    )

  assert.deepEqual(
    await problemsOf(
      shopManifest({
        images: [{ name: 'nothing' }],
        subnets: [
          { name: 'front', network: 'shop', cidr: '10.0.1.0/24' },
          { name: 'front', network: 'shop', cidr: '10.0.1.0/24' },
          { name: 'back', network: 'shop', cidr: '10.0.1.128/25' },
          { name: 'far', network: 'nowhere', cidr: '10.3.1.0/24' },
        ],
        ports: [],
        sets: [
          shopSet('a', { subnet: 'front', after: ['b'] }),
          shopSet('b', { subnet: 'front', after: ['a'] }),
        ],
      }),
    ),
    [
      'INVALID_INPUT subnet shop/front name',
      'NETWORK_OVERLAPS subnet shop/front cidr',
      'NETWORK_OVERLAPS subnet shop/front cidr',
      'NETWORK_OVERLAPS subnet shop/back cidr',
      'NOT_FOUND subnet nowhere/far network',
      'NOT_FOUND image nothing ',
      'INVALID_INPUT set a after',
    ],
  )
  assert.deepEqual(
    await problemsOf(
      shopManifest({
        sets: [
          shopSet('a', { subnet: 'back' }),
          shopSet('b', { port: 'nothing' }),
          shopSet('c', { containers: [{ name: 'main', image: 'nothing' }] }),
          shopSet('d', { address: '10.0.1.1' }),
          shopSet('e', { placement: { host: 'nowhere' } }),
          shopSet('f', { containers: [{ name: 'main', image: 'web', memoryBytes: 2 ** 40 }] }),
        ],
      }),
    ),
    [
      'NOT_FOUND set a subnet',
      'NOT_FOUND set b port',
      'NOT_FOUND set c containers.main.image',
      'INVALID_INPUT set d address',
      'NOT_FOUND set e ',
      'INVALID_INPUT set f containers.0.memoryBytes',
    ],
  )
  const broken = shopManifest({ sets: [shopSet('a', { network: 'nowhere' })] })
  const refused = await refusal(one.applyCreate({ body: { manifest: broken } }), 'NOT_FOUND')
  assert.match(refused.message, /set a: there is no network nowhere/)
  await refusal(shop.viewer.planCreate({ body: { manifest: shopManifest() } }), 'FORBIDDEN')
  const tooMany = Array.from({ length: 1_001 }, (_, at) => ({
    name: `n${at}`,
    cidr: '10.0.0.0/16',
  }))
  await refusal(
    one.planCreate({ body: { manifest: { name: 'x', networks: tooMany } } }),
    'INVALID_INPUT',
  )
  const pending = shopManifest({ images: [{ name: 'soon', willUpload: true }] })
  assert.deepEqual((await one.planCreate({ body: { manifest: pending } })).problems, [])
  await refusal(one.applyCreate({ body: { manifest: pending } }), 'NOT_FOUND')
  assert.deepEqual((await one.networkList()).items, [])
  assert.deepEqual(
    (await one.operationList()).items.filter(({ kind }) => kind === 'apply'),
    [],
  )

  await t.test('what another manifest describes is not changed', async () => {
    const mine = { name: 'mine', networks: [{ name: 'net', cidr: '10.5.0.0/16' }] }
    await applied(one, mine)
    assert.deepEqual(await problemsOf({ ...mine, name: 'yours' }), [])
    assert.deepEqual(
      await problemsOf({ name: 'yours', networks: [{ name: 'net', cidr: '10.6.0.0/16' }] }),
      ['IN_USE network net cidr'],
    )
  })

  await t.test('another project sees nothing of it', async () => {
    const bank = await makeProject(region, 'bank')
    const [apply] = (await one.operationList()).items.filter(({ kind }) => kind === 'apply')
    await refusal(bank.member.applyShow({ params: { id: apply?.id ?? '' } }), 'NOT_FOUND')
  })
})
