// Proves what a customer sees of placement: questions that change nothing, and rules that hold through two servers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { joinHost } from '../support/hosts.ts'
import { done, everywhere, setOf } from '../support/project.ts'
import { refusal } from '../support/refusal.ts'
import { openShop } from '../support/shop.ts'

const SMALL_HOST = { cpuMillis: 1_000, memoryBytes: 2 ** 30, diskBytes: 2 ** 33 }

test('placement asked for without placing: where it would go, why nowhere else, and what is reserved: nothing', async (t) => {
  const { region, shop } = await openShop(t)
  const { member, viewer } = shop
  await joinHost(region, { name: 'host-1', rack: 'rack-1', server: 0 })
  await joinHost(region, { name: 'host-2', rack: 'rack-2', server: 1, capacity: SMALL_HOST })
  await everywhere(region)
  const apart = { spread: 'host', antiAffinity: 'rack' } as const

  const first = await member.placeDryRun({ body: { ...setOf('web-1'), placement: apart } })
  assert.deepEqual(
    first.items.map(({ host, rack, reason }) => ({ host, rack, reason })),
    [
      { host: 'host-1', rack: 'rack-1', reason: null },
      { host: 'host-2', rack: 'rack-2', reason: null },
    ],
  )
  assert.equal(first.reason, null)
  assert.deepEqual((await member.setList()).items, [])

  for (const name of ['web-1', 'web-2'])
    await done(member, await member.setCreate({ body: { ...setOf(name), placement: apart } }))
  await everywhere(region)
  const sets = (await member.setList()).items
  assert.deepEqual(new Set(sets.map(({ host }) => host)), new Set(['host-1', 'host-2']))

  for (const index of [0, 1]) {
    const client = region.client(shop.tokens.member, [region.server(index)])
    const third = await client.placeDryRun({
      body: { ...setOf('web-3'), placement: apart },
      query: { limit: 1 },
    })
    assert.equal(third.host, null)
    assert.equal(third.reason?.code, 'NOT_PLACED')
    assert.match(third.reason?.text ?? '', /one of its group is on the same rack already/)
    assert.deepEqual(third.counts, [{ reason: 'its group is there already', hosts: 2 }])
    assert.equal(third.items.length, 1)
    assert.equal(third.cursor, 'host-1')
    const rest = await client.placeDryRun({
      body: { ...setOf('web-3'), placement: apart },
      query: { limit: 1, cursor: 'host-1' },
    })
    assert.deepEqual(
      rest.items.map(({ host }) => host),
      ['host-2'],
    )
    assert.equal(rest.cursor, null)
  }

  // A set that exists is looked at as if it were nowhere: its own host could take it again.
  const own = await viewer.setPlacement({ params: { id: 'web-1' } })
  assert.equal(own.host, sets.find(({ name }) => name === 'web-1')?.host)
  assert.deepEqual(own.counts, [{ reason: 'its group is there already', hosts: 1 }])

  await refusal(viewer.placeDryRun({ body: setOf('web-3') }), 'FORBIDDEN')
  await refusal(
    member.placeDryRun({ body: { ...setOf('x'), placement: { host: 'absent' } } }),
    'NOT_FOUND',
  )
  await refusal(viewer.setPlacement({ params: { id: 'absent' } }), 'NOT_FOUND')
})
