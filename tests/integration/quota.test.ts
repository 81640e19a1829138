// Proves what a customer sees of quotas: they hold on both servers at once, say what to do, and give back what goes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { QuotaResource } from '@nubo/contracts'
import { quotaMismatches } from '@nubo/control-plane'
import { importRootfs, makeNetwork, makeProject, setOf } from '../support/project.ts'
import { refusal } from '../support/refusal.ts'
import { TestRegion } from '../support/region.ts'

type LimitChanges = Partial<Record<QuotaResource, number | null | 'default'>>

test('quotas: limits, defaults, refusals, and what is given back', async (t) => {
  const region = await TestRegion.open(t, { quotaDefaults: { networks: 3 } })
  const { operator } = region
  const shop = await makeProject(region, 'shop')
  const set = (body: LimitChanges, project = 'shop') =>
    operator.quotaSet({ query: { project }, body })

  await t.test('a viewer sees what is used and allowed; only operators change it', async () => {
    const shown = await shop.viewer.quotaShow()
    assert.equal(shown.project, 'shop')
    assert.deepEqual(shown.resources.networks, { used: 0, limit: 3, isDefault: true })
    assert.deepEqual(shown.resources.instances, { used: 0, limit: null, isDefault: true })
    await refusal(shop.owner.quotaSet({ body: { instances: 1_000 } }), 'FORBIDDEN')
    await refusal(shop.viewer.quotaShow({ query: { project: 'default' } }), 'NOT_FOUND')
    await refusal(set({}, 'nowhere'), 'NOT_FOUND')
    await refusal(set({ instances: -1 }), 'INVALID_INPUT')
    const changed = await set({ instances: 2, networks: null })
    assert.deepEqual(changed.resources.instances, { used: 0, limit: 2, isDefault: false })
    assert.deepEqual(changed.resources.networks, { used: 0, limit: null, isDefault: false })
    const back = await set({ networks: 'default' })
    assert.deepEqual(back.resources.networks, { used: 0, limit: 3, isDefault: true })
    assert.equal(back.resources.instances.limit, 2, 'what is not named stays')
  })

  await makeNetwork(shop.member, 'net')
  await importRootfs(shop.member, 'web')

  await t.test('40 creations at once on two servers make as many sets as are allowed', async () => {
    const clients = region.servers.map((server) => region.client(shop.tokens.member, [server]))
    const outcomes = await Promise.allSettled(
      Array.from({ length: 40 }, async (_, at) =>
        clients[at % 2]?.setCreate({ body: setOf(`web-${at}`) }),
      ),
    )
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 2)
    const { resources } = await shop.viewer.quotaShow()
    assert.equal(resources.instances.used, 2)
    assert.equal(resources.addresses.used, 2, 'ports of refused sets are not counted')
    assert.equal((await shop.member.portList()).items.length, 2)
  })

  await t.test('a refusal names field, limit, use and what to do next', async () => {
    const error = await refusal(shop.member.setCreate({ body: setOf('more') }), 'QUOTA_EXCEEDED')
    assert.equal(error.status, 409)
    const { field, limit, used, asked, project } = error.details
    assert.deepEqual(
      { field, limit, used, asked, project },
      { field: 'instances', limit: 2, used: 2, asked: 1, project: 'shop' },
    )
    assert.match(String(error.details['next']), /nubo quota set --project shop/)
    assert.match(
      error.message,
      /may have 2 instances; it has 2 instances, and this needs 1 instance more/,
    )
    await set({ addresses: 2 })
    const address = await refusal(
      shop.member.portCreate({ body: { name: 'spare', network: 'net' } }),
      'QUOTA_EXCEEDED',
    )
    assert.equal(address.details['field'], 'addresses')
    for (const name of ['n2', 'n3'])
      await shop.member.networkCreate({ body: { name, cidr: '10.0.0.0/16' } })
    await refusal(
      shop.member.networkCreate({ body: { name: 'n4', cidr: '10.0.0.0/16' } }),
      'QUOTA_EXCEEDED',
    )
  })

  await t.test('a limit may be set below the use; removing makes room only below it', async () => {
    const { resources } = await set({ instances: 1 })
    assert.deepEqual(resources.instances, { used: 2, limit: 1, isDefault: false })
    const [first, second] = (await shop.member.setList()).items
    assert.ok(first !== undefined && second !== undefined)
    // Not placed anywhere, so the rows go at once.
    await shop.member.setRemove({ params: { id: first.id } })
    await refusal(shop.member.setCreate({ body: setOf('more') }), 'QUOTA_EXCEEDED')
    await shop.member.setRemove({ params: { id: second.id } })
    await shop.member.networkRemove({ params: { id: 'n3' } })
    const { resources: after } = await shop.viewer.quotaShow()
    assert.deepEqual(
      [after.instances.used, after.addresses.used, after.networks.used, after.cpuMillis.used],
      [0, 0, 2, 0],
    )
    assert.deepEqual(await quotaMismatches(region.server(0).database), [])
  })
})
