// Proves that each change and each refusal leaves a row, with who, what and how it ended; and that a flood leaves few.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Client } from '@nubo/client'
import type { AuditEntry } from '@nubo/contracts'
import { joinHost } from '../support/hosts.ts'
import { done, importRootfs, makeNetwork, makeProject, setOf, waitSet } from '../support/project.ts'
import { refusal } from '../support/refusal.ts'
import { TestRegion } from '../support/region.ts'
import { waitUntil } from '../support/wait.ts'

type Query = NonNullable<NonNullable<Parameters<Client['auditList']>[0]>['query']>

test('the audit of a region with two servers', async (t) => {
  const region = await TestRegion.open(t)
  const { operator } = region
  await joinHost(region, { name: 'h1' })
  const shop = await makeProject(region, 'shop')
  const bank = await makeProject(region, 'bank')
  const audit = async (query: Query = {}, client: Client = shop.owner): Promise<AuditEntry[]> =>
    (await client.auditList({ query })).items
  /** Refusals are written a moment after their answer. */
  const told = (query: Query, isEnough: (items: AuditEntry[]) => boolean, client?: Client) =>
    waitUntil(() => audit(query, client), isEnough, { what: JSON.stringify(query) })

  await makeNetwork(shop.member, 'net')
  await importRootfs(shop.member, 'web')
  await done(shop.member, await shop.member.setCreate({ body: setOf('web') }))

  await t.test('a change has its actor, call, resource and digests that join up', async () => {
    const [created, ...others] = await audit({ resource: 'web', actor: 'shop-member' })
    assert.ok(created !== undefined)
    assert.deepEqual(
      others.map(({ call, resource }) => [call, resource.kind]),
      [['imageImport', 'image']],
    )
    assert.equal(created.call, 'setCreate')
    assert.equal(created.resource.name, 'web')
    assert.equal(created.projectId, shop.id)
    assert.equal(created.outcome, 'done')
    assert.equal(created.beforeSha256, null)
    assert.match(created.afterSha256 ?? '', /^[0-9a-f]{64}$/)
    assert.notEqual(created.requestId, null)
    await shop.member.portCreate({ body: { name: 'spare', network: 'net' } })
    await shop.member.portRemove({ params: { id: 'spare' } })
    const [removed, made] = await audit({ resource: 'spare' })
    assert.equal(removed?.call, 'portRemove')
    assert.equal(removed?.afterSha256, null)
    assert.equal(removed?.beforeSha256, made?.afterSha256, 'what was removed is what was made')
    const byId = await audit({ resource: made?.resource.id ?? '' })
    assert.deepEqual(
      byId.map(({ call }) => call),
      ['portRemove', 'portCreate'],
    )
  })

  await t.test('a placement is told with the reconciler as its actor', async () => {
    const [placed] = await audit({ actor: 'system:place' })
    assert.equal(placed?.resource.name, 'web')
    assert.equal(placed?.projectId, shop.id)
    assert.match(placed?.note ?? '', /hostId "[0-9a-f-]{36}", epoch 1/)
  })

  await t.test('streams are told with their program and without its arguments', async () => {
    await waitSet(shop.member, 'web', ({ state }) => state === 'running')
    await shop.member.setExec({
      params: { id: 'web' },
      body: { command: ['login', 'very-secret'] },
    })
    await shop.viewer.setLogs({ params: { id: 'web' }, body: {} })
    const [logs, exec] = await audit({ resource: 'web' })
    assert.deepEqual([logs?.call, logs?.actor], ['setLogs', 'shop-viewer'])
    assert.deepEqual(
      [exec?.call, exec?.actor, exec?.note],
      ['setExec', 'shop-member', 'program login'],
    )
    assert.ok(!JSON.stringify(await audit()).includes('very-secret'))
  })

  await t.test('refusals are told with their code: role, absence, input, name, quota', async () => {
    await refusal(shop.viewer.setRemove({ params: { id: 'web' } }), 'FORBIDDEN')
    await refusal(shop.member.setRemove({ params: { id: 'nothing' } }), 'NOT_FOUND')
    await refusal(
      shop.member.networkCreate({ body: { name: 'wrong', cidr: '10.0.0.1/99' } }),
      'INVALID_INPUT',
    )
    await refusal(
      shop.member.networkCreate({ body: { name: 'net', cidr: '10.0.0.0/16' } }),
      'NAME_TAKEN',
    )
    await operator.quotaSet({ query: { project: 'shop' }, body: { networks: 1 } })
    await refusal(
      shop.member.networkCreate({ body: { name: 'more', cidr: '10.0.0.0/16' } }),
      'QUOTA_EXCEEDED',
    )
    const refused = await told({ outcome: 'refused' }, (items) => items.length >= 5)
    assert.deepEqual(
      refused
        .map(({ call, code, actor, resource }) => [call, code, actor, resource.name])
        .toReversed(),
      [
        ['setRemove', 'FORBIDDEN', 'shop-viewer', 'web'],
        ['setRemove', 'NOT_FOUND', 'shop-member', 'nothing'],
        ['networkCreate', 'INVALID_INPUT', 'shop-member', 'wrong'],
        ['networkCreate', 'NAME_TAKEN', 'shop-member', 'net'],
        ['networkCreate', 'QUOTA_EXCEEDED', 'shop-member', 'more'],
      ],
    )
    const [quota] = await audit({}, operator)
    assert.ok(quota !== undefined)
    const [set] = (await audit({ project: 'shop' }, operator)).filter(
      ({ call }) => call === 'quotaSet',
    )
    assert.notEqual(set?.beforeSha256, set?.afterSha256)
  })

  await t.test(
    'an owner sees the own project only, a member nothing, an operator all',
    async () => {
      await refusal(shop.member.auditList(), 'FORBIDDEN')
      await refusal(shop.owner.auditList({ query: { project: 'bank' } }), 'NOT_FOUND')
      await makeNetwork(bank.member, 'secret-plans')
      assert.ok((await audit()).every(({ projectId }) => projectId === shop.id))
      const all = await audit({ limit: 1_000 }, operator)
      assert.ok(all.some(({ projectId }) => projectId === bank.id))
      const invited = all.find(({ call }) => call === 'hostInvite')
      assert.deepEqual([invited?.actor, invited?.projectId], ['bootstrap', null])
      const secrets = [...Object.values(shop.tokens), region.operatorToken]
      const text = JSON.stringify(all)
      for (const secret of secrets) assert.ok(!text.includes(secret))
    },
  )

  await t.test('pages neither repeat nor leave out, and times bound them', async () => {
    const whole = await audit({ limit: 1_000 })
    const paged: AuditEntry[] = []
    let cursor: string | undefined
    do {
      const page = await shop.owner.auditList({
        query: { limit: 3, ...(cursor === undefined ? {} : { cursor }) },
      })
      paged.push(...page.items)
      cursor = page.cursor ?? undefined
    } while (cursor !== undefined)
    assert.deepEqual(paged, whole)
    const middle = whole[Math.floor(whole.length / 2)]
    assert.ok(middle !== undefined)
    const since = await audit({ sinceMs: middle.atMs, limit: 1_000 })
    const until = await audit({ untilMs: middle.atMs, limit: 1_000 })
    assert.deepEqual([...since, ...until], whole)
    assert.ok(since.some(({ id }) => id === middle.id))
  })

  await t.test(
    'without a valid token nobody is named, with a revoked one its holder is',
    async () => {
      const made = await shop.owner.tokenCreate({ body: { name: 'gone' } })
      await shop.owner.tokenRevoke({ params: { id: 'gone' } })
      for (const token of ['nubo-wrong', made.secret])
        await refusal(region.client(token).setRemove({ params: { id: 'web' } }), 'UNAUTHENTICATED')
      const refused = await told(
        { outcome: 'refused' },
        (items) => items.filter(({ code }) => code === 'UNAUTHENTICATED').length === 2,
        operator,
      )
      const actors = refused
        .filter(({ code }) => code === 'UNAUTHENTICATED')
        .map(({ actor }) => actor)
      assert.deepEqual(actors, ['gone', 'unknown'])
    },
  )

  await t.test('a flood of refusals is counted, and takes few rows', async () => {
    const mallory = await shop.owner.tokenCreate({ body: { name: 'mallory', role: 'viewer' } })
    const client = region.client(mallory.secret, [region.server(0)])
    for (let round = 0; round < 10; round++)
      await Promise.all(
        Array.from({ length: 40 }, () =>
          refusal(client.setRemove({ params: { id: 'web' } }), 'FORBIDDEN'),
        ),
      )
    // Told when the server stops, else every ten seconds.
    await region.server(0).stop()
    const rows = await audit({ actor: 'mallory', limit: 1_000 }, region.via(1))
    assert.equal(
      rows.reduce((sum, { count }) => sum + count, 0),
      400,
    )
    assert.ok(rows.length < 250, `${rows.length} rows`)
    assert.ok(rows.some(({ count, note }) => count > 1 && /more refusals/.test(note ?? '')))
  })
})
