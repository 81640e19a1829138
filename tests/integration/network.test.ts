import assert from 'node:assert/strict'
import { test } from 'node:test'
import { joinHost } from '../support/hosts.ts'
import {
  done,
  everywhere,
  importRootfs,
  makeNetwork,
  makeProject,
  setOf,
  waitSet,
} from '../support/project.ts'
import { refusal } from '../support/refusal.ts'
import { TestRegion } from '../support/region.ts'

test('networks, subnets and ports: what is made, what is refused, and races on two servers', async (t) => {
  const region = await TestRegion.open(t)
  const shop = await makeProject(region, 'shop')
  const { member } = shop
  const both = region.servers.map((server) => region.client(shop.tokens.member, [server]))

  await t.test(
    'a network gets an identifier and an MTU of its own, and may overlap others',
    async () => {
      const first = await member.networkCreate({ body: { name: 'one', cidr: '10.0.0.0/16' } })
      const second = await member.networkCreate({ body: { name: 'two', cidr: '10.0.0.0/16' } })
      assert.notEqual(first.vni, second.vni)
      assert.equal(first.mtuBytes, 1_450)
      assert.equal(first.subnets, 0)
      await everywhere(region)
      for (const client of both)
        assert.deepEqual(await client.networkShow({ params: { id: 'one' } }), first)
    },
  )

  await t.test('a range that makes no network is refused with its field', async () => {
    for (const cidr of [
      '10.0.0.1/16',
      '10.0.0.0/33',
      '10.0.0.0/29',
      '10.0.0.0',
      '10.0.0.0/-1',
      '010.0.0.0/16',
      '0.0.0.0/0',
      '8.0.0.0/7',
      '127.0.0.0/8',
      '169.254.0.0/16',
      '100.64.0.0/10',
      '224.0.0.0/8',
      'fd00::/64',
      '10.0.0.0/16 ',
      '',
    ]) {
      const error = await refusal(
        member.networkCreate({ body: { name: 'bad', cidr } }),
        'INVALID_INPUT',
      )
      assert.equal(error.details['field'], 'cidr', cidr)
    }
    for (const name of ['', 'A', 'a_b', '-a', 'a-', 'a'.repeat(64), '../a', 'a/b', 'a b', 'ä'])
      await refusal(member.networkCreate({ body: { name, cidr: '10.0.0.0/16' } }), 'INVALID_INPUT')
    assert.equal((await member.networkList()).items.length, 2)
  })

  await t.test(
    'a subnet lies in its network, overlaps none, and keeps three addresses',
    async () => {
      const create = (name: string, cidr: string) =>
        member.subnetCreate({ body: { network: 'one', name, cidr } })
      const subnet = await create('a', '10.0.1.0/24')
      assert.equal(subnet.gatewayAddress, '10.0.1.1')
      assert.equal(subnet.addressesFree, 253)
      assert.equal(subnet.network, 'one')
      for (const cidr of [
        '10.0.1.0/25',
        '10.0.0.0/22',
        '10.0.1.128/26',
        '10.0.0.0/16',
        '10.1.0.0/24',
      ])
        await refusal(create('b', cidr), 'NETWORK_OVERLAPS')
      for (const cidr of ['10.0.2.0/30', '10.0.2.1/24', '10.0.2.0/32'])
        await refusal(create('b', cidr), 'INVALID_INPUT')
      await refusal(create('a', '10.0.2.0/24'), 'NAME_TAKEN')
      await create('b', '10.0.2.0/29')
      // The same name in another network is another subnet; then the network must be told.
      await member.subnetCreate({ body: { network: 'two', name: 'a', cidr: '10.0.1.0/24' } })
      const error = await refusal(member.subnetRemove({ params: { id: 'a' } }), 'INVALID_INPUT')
      assert.equal(error.details['field'], 'subnet')
      await member.subnetRemove({ params: { id: 'a' }, query: { network: 'two' } })
      const listed = await member.subnetList({ query: { network: 'one' } })
      assert.deepEqual(listed.items.map(({ name }) => name).toSorted(), ['a', 'b'])
    },
  )

  await t.test('a port gets the lowest free address, or the one it asks for', async () => {
    const create = (name: string, more: { subnet?: string; address?: string }) =>
      member.portCreate({ body: { name, network: 'one', ...more } })
    const needed = await refusal(create('p', {}), 'INVALID_INPUT')
    assert.equal(needed.details['field'], 'subnet')
    assert.match(String(needed.details['next']), /a, b/)
    const first = await create('p', { subnet: 'a' })
    assert.equal(first.address, '10.0.1.2')
    assert.match(first.mac, /^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/, 'locally administered, unicast')
    assert.equal(first.binding, null)
    const asked = await create('q', { subnet: 'a', address: '10.0.1.4' })
    assert.equal(asked.address, '10.0.1.4')
    assert.equal((await create('r', { subnet: 'a' })).address, '10.0.1.3')
    assert.equal((await create('s', { subnet: 'a' })).address, '10.0.1.5')
    for (const address of ['10.0.1.0', '10.0.1.1', '10.0.1.255', '10.0.2.9', '10.0.1.256', '1'])
      await refusal(create('t', { subnet: 'a', address }), 'INVALID_INPUT')
    await refusal(create('t', { subnet: 'a', address: '10.0.1.4' }), 'ADDRESS_TAKEN')
    await refusal(create('p', { subnet: 'a' }), 'NAME_TAKEN')
  })

  await t.test('a freed address rests for a minute before it is given again', async () => {
    await member.portRemove({ params: { id: 'p' } })
    await refusal(
      member.portCreate({ body: { name: 'p', network: 'one', subnet: 'a', address: '10.0.1.2' } }),
      'ADDRESS_TAKEN',
    )
    const next = await member.portCreate({ body: { name: 'p', network: 'one', subnet: 'a' } })
    assert.equal(next.address, '10.0.1.6')
    region.clock.moveMs(61_000)
    const again = await member.portCreate({ body: { name: 'p2', network: 'one', subnet: 'a' } })
    assert.equal(again.address, '10.0.1.2')
  })

  await t.test('two creates that race for one name: one wins, the other hears it', async () => {
    const races = [
      () =>
        both.map((client) => client.networkCreate({ body: { name: 'race', cidr: '10.0.0.0/16' } })),
      () =>
        both.map((client) =>
          client.subnetCreate({ body: { network: 'race', name: 'race', cidr: '10.0.0.0/28' } }),
        ),
      () =>
        both.map((client, at) =>
          client.subnetCreate({
            body: { network: 'race', name: `lap-${at}`, cidr: '10.0.64.0/24' },
          }),
        ),
      () =>
        both.map((client) =>
          client.portCreate({ body: { name: 'race', network: 'race', subnet: 'race' } }),
        ),
    ]
    const losses = []
    for (const race of races) {
      const outcomes = await Promise.allSettled(race())
      const lost = outcomes.filter((outcome) => outcome.status === 'rejected')
      assert.equal(lost.length, 1)
      const error: unknown = lost[0]?.reason
      losses.push(error instanceof Error && 'code' in error ? error.code : error)
      await everywhere(region)
    }
    assert.deepEqual(losses, ['NAME_TAKEN', 'NETWORK_OVERLAPS', 'NETWORK_OVERLAPS', 'NAME_TAKEN'])
  })

  await t.test(
    'racing for the last addresses: each is given once, the rest is refused',
    async () => {
      await makeNetwork(member, 'tight', { network: '10.7.0.0/28', subnet: '10.7.0.0/29' })
      await everywhere(region)
      const outcomes = await Promise.allSettled(
        [0, 1, 2, 3, 4, 5].flatMap((round) =>
          both.map((client, at) =>
            client.portCreate({ body: { name: `tight-${round}-${at}`, network: 'tight' } }),
          ),
        ),
      )
      const given = outcomes.flatMap((outcome) =>
        outcome.status === 'fulfilled' ? [outcome.value.address] : [],
      )
      assert.deepEqual(given.toSorted(), [
        '10.7.0.2',
        '10.7.0.3',
        '10.7.0.4',
        '10.7.0.5',
        '10.7.0.6',
      ])
      for (const outcome of outcomes)
        if (outcome.status === 'rejected') assert.equal(outcome.reason.code, 'ADDRESSES_EXHAUSTED')
      const subnet = (await member.subnetList({ query: { network: 'tight' } })).items[0]
      assert.equal(subnet?.addressesFree, 0)
      // One asked for by two.
      await member.portRemove({
        params: { id: (await member.portList({ query: { network: 'tight' } })).items[0]?.id ?? '' },
      })
      region.clock.moveMs(61_000)
      const asked = await Promise.allSettled(
        both.map((client, at) =>
          client.portCreate({ body: { name: `last-${at}`, network: 'tight' } }),
        ),
      )
      assert.deepEqual(asked.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
    },
  )

  await t.test('nothing is removed while something is in it', async () => {
    const inUse = await refusal(member.networkRemove({ params: { id: 'tight' } }), 'IN_USE')
    assert.match(String(inUse.details['next']), /remove what is in/)
    await refusal(member.subnetRemove({ params: { id: 'tight' } }), 'IN_USE')
    for (const port of (await member.portList({ query: { network: 'tight' } })).items)
      await member.portRemove({ params: { id: port.id } })
    await member.subnetRemove({ params: { id: 'tight' } })
    await member.networkRemove({ params: { id: 'tight' } })
    await refusal(member.networkShow({ params: { id: 'tight' } }), 'NOT_FOUND')
  })

  await t.test('lists come in pages that meet no change between them', async () => {
    for (let at = 0; at < 5; at++)
      await member.networkCreate({ body: { name: `page-${at}`, cidr: '10.0.0.0/16' } })
    const all = await member.networkList()
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page = await member.networkList({ query: { limit: 2, cursor } })
      assert.ok(page.items.length <= 2)
      seen.push(...page.items.map(({ id }) => id))
      cursor = page.cursor ?? undefined
      if (seen.length === 4) await member.networkRemove({ params: { id: 'page-0' } })
    } while (cursor !== undefined)
    const removed = all.items.find(({ name }) => name === 'page-0')?.id
    assert.deepEqual(new Set([...seen, removed]), new Set(all.items.map(({ id }) => id)))
    assert.equal(new Set(seen).size, seen.length)
    await refusal(member.networkList({ query: { cursor: 'what' } }), 'INVALID_INPUT')
    await refusal(member.networkList({ query: { limit: 0 } }), 'INVALID_INPUT')
  })
})

test('a port lives apart from its set: made before, bound later, free again, used by one at a time', async (t) => {
  const region = await TestRegion.open(t)
  const shop = await makeProject(region, 'shop')
  const { member } = shop
  await joinHost(region, { name: 'host-1' })
  await makeNetwork(member, 'net')
  await makeNetwork(member, 'other')
  await importRootfs(member, 'web')
  const port = await member.portCreate({
    body: { name: 'front', network: 'net', address: '10.0.1.77' },
  })
  const wrong = await refusal(
    member.setCreate({ body: { ...setOf('web'), network: 'other', port: 'front' } }),
    'INVALID_INPUT',
  )
  assert.equal(wrong.details['field'], 'port')
  await refusal(
    member.setCreate({ body: { ...setOf('web'), port: 'front', address: '10.0.1.9' } }),
    'INVALID_INPUT',
  )
  await everywhere(region)
  // Two sets on two servers want it: one has it.
  const outcomes = await Promise.allSettled(
    region.servers.map((server, at) =>
      region
        .client(shop.tokens.member, [server])
        .setCreate({ body: { ...setOf(`web-${at}`), port: 'front' } }),
    ),
  )
  const won = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  const lost = outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [outcome.reason] : [],
  )
  assert.equal(won.length, 1)
  assert.equal(lost[0]?.code, 'NOT_ALLOWED_NOW')
  const [operation] = won
  assert.ok(operation !== undefined)
  await done(member, operation)
  const { name } = operation.resource
  const set = await waitSet(member, name, ({ state }) => state === 'running')
  assert.equal(set.address, '10.0.1.77')
  assert.equal(set.ports[0]?.id, port.id)
  const bound = await member.portShow({ params: { id: 'front' } })
  assert.deepEqual(bound.binding, { kind: 'set', setId: set.id, set: name })
  assert.equal(bound.host, 'host-1')

  await refusal(member.portRemove({ params: { id: 'front' } }), 'IN_USE')
  await refusal(
    region.operator.portUnbind({ params: { id: 'front' }, query: { project: 'shop' } }),
    'IN_USE',
  )
  await done(member, await member.setRemove({ params: { id: name } }))
  const free = await member.portShow({ params: { id: 'front' } })
  assert.equal(free.binding, null)
  assert.equal(free.address, '10.0.1.77')

  const query = { project: 'shop' }
  const attached = await region.operator.portBind({
    params: { id: 'front' },
    query,
    body: { host: 'host-1', interfaceName: 'probe0' },
  })
  assert.equal(attached.binding?.kind, 'interface')
  await refusal(
    region.operator.portBind({
      params: { id: 'front' },
      query,
      body: { host: 'host-1', interfaceName: 'probe1' },
    }),
    'NOT_ALLOWED_NOW',
  )
  await refusal(member.portRemove({ params: { id: 'front' } }), 'IN_USE')
  await refusal(region.operator.hostRemove({ params: { id: 'host-1' } }), 'IN_USE')
  await region.operator.portUnbind({ params: { id: 'front' }, query })
  await member.portRemove({ params: { id: 'front' } })
})
