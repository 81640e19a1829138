import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Client } from '@nubo/client'
import { joinHost } from '../support/hosts.ts'
import { everywhere, importRootfs, makeNetwork, makeProject, setOf } from '../support/project.ts'
import { refusal } from '../support/refusal.ts'
import { TestRegion } from '../support/region.ts'
import { waitUntil } from '../support/wait.ts'

test('who may do what: tokens, roles, projects, on both servers', async (t) => {
  const region = await TestRegion.open(t)
  const shop = await makeProject(region, 'shop')
  const bank = await makeProject(region, 'bank')

  await t.test(
    'a token says who it is on either server; none, a wrong and a cut one say nothing',
    async () => {
      for (const [index, server] of region.servers.entries()) {
        const me = await region.client(shop.tokens.viewer, [server]).whoAmI()
        assert.equal(me.token.role, 'viewer')
        assert.equal(me.project?.name, 'shop')
        assert.equal(me.serverName, `server-${index + 1}`)
        assert.ok(!JSON.stringify(me).includes(shop.tokens.viewer), 'no secret in a reply')
      }
      for (const token of [
        '',
        'nubo-wrong',
        shop.tokens.owner.slice(0, -1),
        `${shop.tokens.owner}x`,
      ])
        await refusal(region.client(token).whoAmI(), 'UNAUTHENTICATED')
    },
  )

  await t.test('a token made on one server works on the other at once', async () => {
    for (let round = 0; round < 5; round++) {
      const { secret } = await region
        .client(shop.tokens.owner, [region.server(0)])
        .tokenCreate({ body: { name: `quick-${round}` } })
      const me = await region.client(secret, [region.server(1)]).whoAmI()
      assert.equal(me.token.role, 'member')
    }
  })

  await t.test('a viewer reads and may change nothing', async () => {
    const { viewer } = shop
    await viewer.networkList()
    await viewer.setList()
    await viewer.operationList()
    await viewer.projectList()
    const calls: Promise<unknown>[] = [
      viewer.networkCreate({ body: { name: 'n', cidr: '10.0.0.0/16' } }),
      viewer.networkRemove({ params: { id: 'n' } }),
      viewer.subnetCreate({ body: { network: 'n', name: 'n', cidr: '10.0.0.0/24' } }),
      viewer.subnetRemove({ params: { id: 'n' } }),
      viewer.portCreate({ body: { name: 'p', network: 'n' } }),
      viewer.portRemove({ params: { id: 'p' } }),
      importRootfs(viewer, 'i'),
      viewer.imageRemove({ params: { id: 'i' } }),
      viewer.setCreate({ body: setOf('s') }),
      viewer.setStop({ params: { id: 's' } }),
      viewer.setStart({ params: { id: 's' } }),
      viewer.setRestart({ params: { id: 's' } }),
      viewer.setRemove({ params: { id: 's' } }),
      viewer.setExec({ params: { id: 's' }, body: { command: ['true'] } }),
      viewer.tokenList(),
      viewer.tokenCreate({ body: { name: 't' } }),
      viewer.hostList(),
    ]
    await Promise.all(calls.map((call) => refusal(call, 'FORBIDDEN')))
  })

  await t.test('a member changes resources, and makes no tokens, projects or hosts', async () => {
    const { member } = shop
    const calls: Promise<unknown>[] = [
      member.tokenCreate({ body: { name: 't', role: 'viewer' } }),
      member.tokenList(),
      member.tokenRevoke({ params: { id: 'shop-viewer' } }),
      member.projectCreate({ body: { name: 'p' } }),
      member.projectRemove({ params: { id: 'shop' } }),
      member.hostInvite({ body: { name: 'h' } }),
      member.hostShow({ params: { id: 'h' } }),
      member.portBind({ params: { id: 'p' }, body: { host: 'h', interfaceName: 'eth9' } }),
    ]
    await Promise.all(calls.map((call) => refusal(call, 'FORBIDDEN')))
  })

  await t.test('an owner makes tokens of the own project up to the own role', async () => {
    const { owner } = shop
    const made = await owner.tokenCreate({ body: { name: 'ci', role: 'owner' } })
    assert.equal(made.projectId, shop.id)
    const error = await refusal(
      owner.tokenCreate({ body: { name: 'big', role: 'operator' } }),
      'FORBIDDEN',
    )
    assert.equal(error.details['field'], 'role')
    await refusal(owner.tokenCreate({ body: { name: 'x', project: 'bank' } }), 'NOT_FOUND')
    await refusal(owner.tokenList({ query: { project: 'bank' } }), 'NOT_FOUND')
    const list = await owner.tokenList()
    assert.ok(list.items.every(({ projectId }) => projectId === shop.id))
    assert.ok(!JSON.stringify(list).includes('secret'))
    const bankToken = (await bank.owner.tokenList()).items[0]
    await refusal(owner.tokenRevoke({ params: { id: bankToken?.id ?? '' } }), 'NOT_FOUND')
  })

  await t.test('a revoked token ends on both servers, and its watch ends too', async () => {
    const made = await shop.owner.tokenCreate({ body: { name: 'short', role: 'viewer' } })
    const clients = region.servers.map((server) => region.client(made.secret, [server]))
    for (const client of clients) await client.whoAmI()
    const [, other] = clients
    assert.ok(other !== undefined)
    const watching = (async () => {
      for await (const event of other.watch({}, { outageMaxMs: 1_000 })) assert.ok(event)
    })()
    const watchEnd = refusal(watching, 'UNAUTHENTICATED')
    const revoked = await shop.owner.tokenRevoke({ params: { id: 'short' } })
    assert.notEqual(revoked.revokedAtMs, null)
    await everywhere(region)
    for (const client of clients) await refusal(client.whoAmI(), 'UNAUTHENTICATED')
    await watchEnd
    const again = await shop.owner.tokenRevoke({ params: { id: made.id } })
    assert.equal(again.revokedAtMs, revoked.revokedAtMs, 'revoking twice changes nothing')
  })

  await t.test('a token whose name several bear is revoked by id', async () => {
    await shop.owner.tokenCreate({ body: { name: 'twin' } })
    await shop.owner.tokenCreate({ body: { name: 'twin' } })
    const error = await refusal(shop.owner.tokenRevoke({ params: { id: 'twin' } }), 'INVALID_INPUT')
    assert.equal(error.details['field'], 'id')
  })

  await t.test('names of projects are unique, and an empty one goes with its tokens', async () => {
    const { operator } = region
    await refusal(operator.projectCreate({ body: { name: 'shop' } }), 'NAME_TAKEN')
    const races = await Promise.allSettled(
      [0, 1].map((index) => region.via(index).projectCreate({ body: { name: 'race' } })),
    )
    assert.deepEqual(races.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
    const race = await makeProject(region, 'gone')
    await makeNetwork(race.member, 'net')
    await refusal(operator.projectRemove({ params: { id: 'gone' } }), 'IN_USE')
    await race.member.subnetRemove({ params: { id: 'net' } })
    await race.member.networkRemove({ params: { id: 'net' } })
    await operator.projectRemove({ params: { id: 'gone' } })
    await everywhere(region)
    for (const server of region.servers) {
      await refusal(region.client(race.tokens.owner, [server]).whoAmI(), 'UNAUTHENTICATED')
      assert.equal(server.region.world.project.get(race.id), undefined)
      assert.equal(server.region.world.token.by('project', race.id).length, 0)
    }
    await refusal(operator.projectRemove({ params: { id: 'gone' } }), 'NOT_FOUND')
  })

  await t.test('an operator is in the default project unless another is named', async () => {
    const { operator } = region
    assert.equal((await operator.whoAmI()).project?.name, 'default')
    await operator.networkCreate({
      query: { project: 'bank' },
      body: { name: 'b', cidr: '10.1.0.0/16' },
    })
    assert.equal((await operator.networkList()).items.length, 0)
    assert.equal((await operator.networkList({ query: { project: bank.id } })).items.length, 1)
    await refusal(operator.networkList({ query: { project: 'none' } }), 'NOT_FOUND')
    await refusal(shop.owner.networkList({ query: { project: 'bank' } }), 'NOT_FOUND')
    assert.ok((await operator.tokenList()).items.some(({ role }) => role === 'operator'))
  })

  await t.test('without a default project an operator must name one, and is told so', async () => {
    const { operator } = region
    await operator.projectRemove({ params: { id: 'default' } })
    await everywhere(region)
    for (const index of [0, 1]) {
      const client = region.via(index)
      assert.equal((await client.whoAmI()).project, null)
      const calls: Promise<unknown>[] = [
        client.networkList(),
        client.setList(),
        client.networkCreate({ body: { name: 'n', cidr: '10.0.0.0/16' } }),
        client.tokenCreate({ body: { name: 'n', role: 'member' } }),
      ]
      for (const error of await Promise.all(calls.map((call) => refusal(call, 'INVALID_INPUT'))))
        assert.equal(error.details['field'], 'project')
      const sets = await client.setList({ query: { allProjects: 'true' } })
      assert.deepEqual(sets.items, [])
    }
  })
})

test('an expired token is refused at its time', async (t) => {
  const region = await TestRegion.open(t)
  const { secret } = await region.operator.tokenCreate({
    body: { name: 'hour', role: 'operator', expiresInSeconds: 3_600 },
  })
  const client = region.client(secret)
  await client.whoAmI()
  region.clock.moveMs(3_599_000)
  await client.whoAmI()
  region.clock.moveMs(2_000)
  await refusal(client.whoAmI(), 'UNAUTHENTICATED')
  await region.operator.whoAmI()
})

test('what belongs to another project is not found, by name, by id, in lists, and in references', async (t) => {
  const region = await TestRegion.open(t)
  const shop = await makeProject(region, 'shop')
  const bank = await makeProject(region, 'bank')
  await joinHost(region, { name: 'host-1' })
  await makeNetwork(shop.member, 'net')
  const image = await importRootfs(shop.member, 'web')
  const operation = await shop.member.setCreate({ body: setOf('web') })
  await shop.member.waitOperation(operation.id)
  const network = (await shop.member.networkList()).items[0]
  const subnet = (await shop.member.subnetList()).items[0]
  const port = (await shop.member.portList()).items[0]
  const set = (await shop.member.setList()).items[0]
  assert.ok(network && subnet && port && set)
  await everywhere(region)

  const thief: Client = bank.owner
  for (const id of [network.id, 'net']) {
    await refusal(thief.networkShow({ params: { id } }), 'NOT_FOUND')
    await refusal(thief.networkRemove({ params: { id } }), 'NOT_FOUND')
    await refusal(
      thief.subnetCreate({ body: { network: id, name: 'x', cidr: '10.0.9.0/24' } }),
      'NOT_FOUND',
    )
    await refusal(thief.subnetList({ query: { network: id } }), 'NOT_FOUND')
    await refusal(thief.portList({ query: { network: id } }), 'NOT_FOUND')
    await refusal(thief.portCreate({ body: { name: 'x', network: id } }), 'NOT_FOUND')
  }
  for (const id of [subnet.id, 'net'])
    await refusal(thief.subnetRemove({ params: { id } }), 'NOT_FOUND')
  for (const id of [port.id, port.name]) {
    await refusal(thief.portShow({ params: { id } }), 'NOT_FOUND')
    await refusal(thief.portRemove({ params: { id } }), 'NOT_FOUND')
  }
  for (const id of [image.id, 'web']) {
    await refusal(thief.imageShow({ params: { id } }), 'NOT_FOUND')
    await refusal(thief.imageRemove({ params: { id } }), 'NOT_FOUND')
  }
  for (const id of [set.id, 'web']) {
    await refusal(thief.setShow({ params: { id } }), 'NOT_FOUND')
    await refusal(thief.setStop({ params: { id } }), 'NOT_FOUND')
    await refusal(thief.setStart({ params: { id } }), 'NOT_FOUND')
    await refusal(thief.setRestart({ params: { id } }), 'NOT_FOUND')
    await refusal(thief.setRemove({ params: { id } }), 'NOT_FOUND')
    await refusal(thief.setExec({ params: { id }, body: { command: ['true'] } }), 'NOT_FOUND')
    await refusal(thief.setLogs({ params: { id }, body: {} }), 'NOT_FOUND')
  }
  await refusal(thief.operationShow({ params: { id: operation.id } }), 'NOT_FOUND')
  await refusal(thief.operationCancel({ params: { id: operation.id } }), 'NOT_FOUND')

  // A network of the same name does not make the other project's image, subnet or port usable.
  await makeNetwork(thief, 'net')
  const own = { ...setOf('web'), containers: [{ name: 'main', image: image.id }] }
  await refusal(thief.setCreate({ body: own }), 'NOT_FOUND')
  await importRootfs(thief, 'web', 'bank')
  for (const reference of [{ subnet: subnet.id }, { port: port.id }, { network: network.id }])
    await refusal(thief.setCreate({ body: { ...setOf('web'), ...reference } }), 'NOT_FOUND')

  const lists = await Promise.all([thief.setList(), thief.operationList(), thief.portList()])
  for (const list of lists) assert.deepEqual(list.items, [])
  assert.deepEqual(
    (await thief.projectList()).items.map(({ name }) => name),
    ['bank'],
  )
  // `allProjects` is for operators; others get their own.
  const all = await thief.setList({ query: { allProjects: 'true' } })
  assert.deepEqual(all.items, [])
  const seen = await region.operator.setList({ query: { allProjects: 'true' } })
  assert.deepEqual(
    seen.items.map(({ name }) => name),
    ['web'],
  )
  await waitUntil(
    () => shop.member.setShow({ params: { id: 'web' } }),
    ({ state }) => state === 'running',
  )
})
