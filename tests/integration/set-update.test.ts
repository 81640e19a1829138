// Proves what a set that is changed in place keeps, what starts anew, and what is refused and then as it was.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { joinHost } from '../support/hosts.ts'
import { done, everywhere, importRootfs, waitSet } from '../support/project.ts'
import { refusal } from '../support/refusal.ts'
import { openShop } from '../support/shop.ts'

const SMALL_HOST = { cpuMillis: 1_000, memoryBytes: 2 ** 30, diskBytes: 2 ** 33 }
const MIB = 2 ** 20

function web(change: object = {}, container: object = {}) {
  return {
    name: 'web',
    network: 'net',
    containers: [{ name: 'main', image: 'web', env: { MODE: 'a' }, ...container }],
    ...change,
  }
}

test('a set is changed in place', async (t) => {
  const { region, shop } = await openShop(t)
  await importRootfs(shop.member, 'web-2', 'two')
  await everywhere(region)
  const host = await joinHost(region, { name: 'host-1', capacity: SMALL_HOST })
  const { member } = shop
  await done(member, await member.setCreate({ body: web() }))
  const params = { id: 'web' }
  const before = await waitSet(member, 'web', ({ state }) => state === 'running')
  const specHash = (): string | undefined =>
    host.simulated.setHost.sets.get(before.id)?.spec.specHash

  await t.test('labels and recovery change and nothing stops', async () => {
    const hash = specHash()
    const labels = await done(
      member,
      await member.setUpdate({ params, body: web({ labels: { tier: 'front' } }) }),
    )
    assert.equal(labels.kind, 'set.update')
    const body = web(
      { labels: { tier: 'front' }, recovery: 'elsewhere' },
      { restart: { policy: 'on-failure' } },
    )
    await done(member, await member.setUpdate({ params, body }))
    const now = await waitSet(
      member,
      'web',
      ({ state, recovery }) => state === 'running' && recovery === 'elsewhere',
    )
    assert.deepEqual(now.labels, { tier: 'front' })
    assert.equal(now.containers[0]?.startedAtMs, before.containers[0]?.startedAtMs)
    assert.equal(specHash(), hash)
  })

  await t.test(
    'another image and other limits: containers start anew, host and address stay',
    async () => {
      const body = web({ memoryBytes: 256 * MIB }, { image: 'web-2', command: ['serve'] })
      const ended = await done(member, await member.setUpdate({ params, body }))
      assert.equal(ended.progress, 'running')
      const now = await member.setShow({ params })
      assert.equal(now.state, 'running')
      assert.equal(now.containers[0]?.image, 'web-2')
      assert.equal(now.memoryBytes, 256 * MIB)
      assert.deepEqual(
        [now.host, now.address, now.epoch],
        [before.host, before.address, before.epoch],
      )
      assert.ok((now.containers[0]?.startedAtMs ?? 0) > (before.containers[0]?.startedAtMs ?? 0))
      const running = host.simulated.setHost.sets.get(before.id)?.spec.containers[0]
      assert.deepEqual(running?.command, ['serve'])
    },
  )

  await t.test('the same again changes nothing', async () => {
    const was = await member.setShow({ params })
    const body = web({ memoryBytes: 256 * MIB }, { image: 'web-2', command: ['serve'] })
    // Labels and recovery are left out here, so they go back to what is usual.
    await done(member, await member.setUpdate({ params, body }))
    const first = await waitSet(
      member,
      'web',
      ({ foundGeneration, generation }) => foundGeneration === generation,
    )
    const again = await member.setUpdate({ params, body })
    assert.deepEqual([again.state, again.progress], ['done', 'nothing to change'])
    assert.equal((await member.setShow({ params })).generation, first.generation)
    assert.ok(first.generation >= was.generation)
  })

  await t.test('what cannot be changed in place is refused, and nothing is changed', async () => {
    await member.networkCreate({ body: { name: 'other', cidr: '10.9.0.0/16' } })
    await member.subnetCreate({ body: { network: 'other', name: 'other', cidr: '10.9.1.0/24' } })
    const was = await member.setShow({ params })
    const moved = await refusal(
      member.setUpdate({ params, body: web({ network: 'other', memoryBytes: 64 * MIB }) }),
      'FIELD_IMMUTABLE',
    )
    assert.equal(moved.details['field'], 'network')
    await refusal(
      member.setUpdate({ params, body: web({ address: '10.0.1.77' }) }),
      'FIELD_IMMUTABLE',
    )
    await refusal(member.setUpdate({ params, body: web({ name: 'other' }) }), 'INVALID_INPUT')
    await refusal(member.setUpdate({ params, body: web({}, { image: 'nothing' }) }), 'NOT_FOUND')
    const tooMuch = await refusal(
      member.setUpdate({ params, body: web({ memoryBytes: 2 ** 31 }) }),
      'NOT_PLACED',
    )
    assert.match(tooMuch.message, /host-1 cannot give set web so much: memory: 2048 MiB wanted/)
    await refusal(
      member.setUpdate({ params, body: web() }, { ifMatch: was.generation - 1 }),
      'CHANGED_MEANWHILE',
    )
    await refusal(shop.viewer.setUpdate({ params, body: web() }), 'FORBIDDEN')
    const now = await member.setShow({ params })
    assert.deepEqual({ ...now, sinceMs: 0 }, { ...was, sinceMs: 0 })
  })

  await t.test('with the generation that was read it is changed', async () => {
    const { generation } = await member.setShow({ params })
    await done(member, await member.setUpdate({ params, body: web() }, { ifMatch: generation }))
    assert.equal((await member.setShow({ params })).containers[0]?.image, 'web')
  })

  await t.test(
    'an image that cannot be fetched takes nothing down, and is tried again',
    async () => {
      const three = await importRootfs(member, 'web-3', 'three')
      const { absentImages } = host.simulated.setHost
      absentImages.add(three.digest)
      const was = await waitSet(member, 'web', ({ state }) => state === 'running')
      const body = web({}, { image: 'web-3' })
      const ended = await member.waitOperation((await member.setUpdate({ params, body })).id)
      assert.equal(ended.state, 'failed')
      assert.equal(ended.reason?.code, 'IMAGE_PULL_FAILED')
      assert.match(ended.reason?.text ?? '', /what ran before the change runs on.*goes on trying/)
      const kept = await waitSet(member, 'web', ({ state }) => state === 'degraded')
      assert.equal(kept.reason?.code, 'IMAGE_PULL_FAILED')
      assert.equal(kept.containers[0]?.state, 'running')
      assert.equal(kept.containers[0]?.startedAtMs, was.containers[0]?.startedAtMs)
      const manifest = {
        name: 'm',
        images: [{ name: 'web-3' }],
        networks: [],
        subnets: [],
        sets: [web({}, { image: 'web-3', env: { MODE: 'c' } })],
      }
      const applied = await member.waitOperation(
        (await member.applyCreate({ body: { manifest } })).id,
      )
      assert.equal(applied.state, 'failed')
      assert.match(applied.reason?.text ?? '', /set web: .*runs on/)
      absentImages.delete(three.digest)
      const now = await waitSet(member, 'web', ({ state }) => state === 'running')
      assert.equal(now.containers[0]?.image, 'web-3')
      assert.ok((now.containers[0]?.startedAtMs ?? 0) > (was.containers[0]?.startedAtMs ?? 0))
      await done(member, await member.setUpdate({ params, body: web() }))
    },
  )

  await t.test('a stopped set is changed and stays stopped', async () => {
    await done(member, await member.setStop({ params }))
    await done(member, await member.setUpdate({ params, body: web({}, { env: { MODE: 'b' } }) }))
    assert.equal((await member.setShow({ params })).state, 'stopped')
    await done(member, await member.setStart({ params }))
    const env = host.simulated.setHost.sets.get(before.id)?.spec.containers[0]?.env
    assert.deepEqual(env, { MODE: 'b' })
  })
})
