import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { isPlatformError, type ErrorCode } from '@nubo/base'
import { formatJoinToken, parseJoinToken } from '@nubo/contracts/host'
import { joinRegion } from '@nubo/host-agent'
import { systemClock } from '@nubo/runtime'
import { hostState, joinHost, type JoinedHost } from '../support/hosts.ts'
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
import { openShop } from '../support/shop.ts'
import { waitUntil } from '../support/wait.ts'

function joinAnew(region: TestRegion, token: string) {
  const stateDir = mkdtempSync(join(region.folder, 'join-'))
  return joinRegion({ token, stateDir, clock: systemClock })
}

async function joinRefused(region: TestRegion, token: string, code: ErrorCode): Promise<void> {
  await assert.rejects(joinAnew(region, token), (error) => {
    assert.ok(isPlatformError(error, code), String(error))
    return true
  })
}

function runsOf({ simulated }: JoinedHost): string[] {
  return [...simulated.setHost.sets.values()].flatMap((set) =>
    [...set.containers.values()].map(
      ({ found }) => `${found.containerId} ${found.startedAtMs} ${found.state}`,
    ),
  )
}

test('a host is invited, joins once with its token, is shown and cordoned, and is removed with its certificate', async (t) => {
  const region = await TestRegion.open(t)
  const { operator } = region

  await t.test('an invited host waits for its agent, and says until when', async () => {
    const invited = await operator.hostInvite({ body: { name: 'new-1', rack: 'rack-7' } })
    assert.equal(invited.host.state, 'invited')
    assert.equal(invited.host.rack, 'rack-7')
    assert.match(invited.host.reason?.text ?? '', /No agent has joined yet/)
    const token = parseJoinToken(invited.token)
    assert.equal(token?.hostName, 'new-1')
    assert.deepEqual(token?.servers, region.hostContracts)
    await everywhere(region)
    const shown = await region.via(1).hostShow({ params: { id: 'new-1' } })
    assert.ok(!JSON.stringify(shown).includes(token?.secret ?? '?'))
  })

  await t.test('a token is for one join of one host, of this region', async () => {
    const { token } = await operator.hostInvite({ body: { name: 'new-1' } })
    const parsed = parseJoinToken(token)
    assert.ok(parsed !== undefined)
    await joinRefused(region, 'nubo-join-what', 'JOIN_REFUSED')
    await joinRefused(region, formatJoinToken({ ...parsed, hostName: 'new-2' }), 'JOIN_REFUSED')
    await joinRefused(region, formatJoinToken({ ...parsed, secret: 'guess' }), 'JOIN_REFUSED')
    const another = { ...parsed, caSha256: '0'.repeat(64) }
    await joinRefused(region, formatJoinToken(another), 'JOIN_REFUSED')
    const identity = await joinAnew(region, token)
    assert.equal((await operator.hostShow({ params: { id: identity.hostId } })).state, 'joining')
    await joinRefused(region, token, 'JOIN_REFUSED')
  })

  await t.test('of two joins with one token at two servers one is in', async () => {
    const { token } = await operator.hostInvite({ body: { name: 'twice' } })
    const parsed = parseJoinToken(token)
    assert.ok(parsed !== undefined)
    const tokens = parsed.servers.map((server) => formatJoinToken({ ...parsed, servers: [server] }))
    const outcomes = await Promise.allSettled(tokens.map((one) => joinAnew(region, one)))
    assert.deepEqual(outcomes.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
  })

  await t.test(
    'a host that is there tells what it has, and can be cordoned again and again',
    async () => {
      await joinHost(region, { name: 'host-1', server: 1, labels: { disk: 'fast' } })
      const host = await operator.hostShow({ params: { id: 'host-1' } })
      assert.equal(host.serverName, 'server-2')
      assert.equal(host.reason, null)
      assert.deepEqual(host.labels, { disk: 'fast' })
      assert.deepEqual(host.roles, ['compute'])
      assert.equal(host.capacity?.cpuMillis, 16_000)
      assert.equal(host.inventory?.engines['docker'], 'simulated')
      assert.equal(host.sets, 0)
      for (const _twice of [1, 2])
        assert.equal((await operator.hostCordon({ params: { id: 'host-1' } })).cordoned, true)
      await everywhere(region)
      for (const index of [0, 1])
        assert.equal((await region.via(index).hostShow({ params: { id: host.id } })).cordoned, true)
      assert.equal((await operator.hostUncordon({ params: { id: 'host-1' } })).cordoned, false)
      await refusal(operator.hostCordon({ params: { id: 'none' } }), 'NOT_FOUND')
    },
  )

  await t.test(
    'a removed host is cut off at once and cannot come back with its certificate',
    async () => {
      const { simulated } = await joinHost(region, { name: 'host-2', server: 0 })
      await waitUntil(
        () => region.server(0).region.sessions.connected,
        (connected) => connected === 1,
      )
      // Through the server that does not have its session.
      await everywhere(region)
      await region.via(1).hostRemove({ params: { id: 'host-2' } })
      await waitUntil(
        () => region.server(0).region.sessions.connected,
        (connected) => connected === 0,
      )
      await refusal(operator.hostShow({ params: { id: 'host-2' } }), 'NOT_FOUND')
      await simulated.stop()
      simulated.start()
      await joinHost(region, { name: 'host-3', server: 0 })
      await waitUntil(
        () => region.server(0).region.sessions.connected,
        (connected) => connected === 1,
      )
      assert.equal(simulated.agent?.connectedTo, null)
      await simulated.stop()
    },
  )

  await t.test('lists show every host once', async () => {
    const { items } = await operator.hostList()
    assert.deepEqual(items.map(({ name }) => name).toSorted(), [
      'host-1',
      'host-3',
      'new-1',
      'twice',
    ])
  })

  await t.test(
    'a token ends after a quarter of an hour; a new one for the same host counts',
    async () => {
      const late = await operator.hostInvite({ body: { name: 'new-3' } })
      region.clock.moveMs(15 * 60_000 + 1_000)
      await joinRefused(region, late.token, 'JOIN_REFUSED')
      const anew = await operator.hostInvite({ body: { name: 'new-3' } })
      assert.equal(anew.host.id, late.host.id)
      await joinAnew(region, anew.token)
    },
  )
})

test('a host whose agent speaks version 1 of the contract runs sets beside one of version 2', async (t) => {
  const region = await TestRegion.open(t)
  const shop = await makeProject(region, 'shop')
  const { member } = shop
  await makeNetwork(member, 'net')
  await importRootfs(member, 'web')
  const old = await joinHost(region, { name: 'host-old', contract: 1 })
  const newer = await joinHost(region, { name: 'host-new' })
  for (const host of [old.name, newer.name]) {
    await done(member, await member.setCreate({ body: { ...setOf(host), placement: { host } } }))
    await waitSet(member, host, ({ state }) => state === 'running')
  }
})

test('a host that falls silent: its sets are unknown, with reason and since when; it returns, and nothing was made anew', async (t) => {
  const region = await TestRegion.open(t)
  const { operator } = region
  const shop = await makeProject(region, 'shop')
  const { member } = shop
  await makeNetwork(member, 'net')
  await importRootfs(member, 'web')
  const host = await joinHost(region, { name: 'host-1' })
  await done(member, await member.setCreate({ body: setOf('web') }))
  const running = await waitSet(member, 'web', ({ state }) => state === 'running')
  await refusal(operator.hostRemove({ params: { id: 'host-1' } }), 'IN_USE')
  const runs = runsOf(host)
  const stoppedAtMs = systemClock.nowMs()

  await host.simulated.crash()
  const silent = await hostState(region, 'host-1', 'unreachable')
  assert.equal(silent.reason?.code, 'HOST_UNREACHABLE')
  assert.ok(Math.abs(silent.since - stoppedAtMs) < 5_000, 'since it was last heard')
  const unknown = await waitSet(member, 'web', ({ state }) => state === 'unknown')
  assert.equal(unknown.reason?.code, 'HOST_UNREACHABLE')
  assert.match(unknown.reason?.text ?? '', /host host-1 is unreachable: Nothing was heard/)
  assert.equal(unknown.sinceMs, silent.since)
  assert.equal(unknown.containers[0]?.state, 'unknown')
  assert.equal(unknown.host, 'host-1')
  const listed = await member.setList({ query: { state: 'unknown' } })
  assert.deepEqual(
    listed.items.map(({ name }) => name),
    ['web'],
  )
  // A set is not placed there now; the reason is told.
  const waiting = await member.waitOperation((await member.setCreate({ body: setOf('new') })).id)
  assert.equal(waiting.reason?.code, 'NOT_PLACED')
  assert.match(waiting.reason?.text ?? '', /it is unreachable/)
  await refusal(operator.hostRemove({ params: { id: 'host-1' } }), 'IN_USE')

  host.simulated.start()
  await hostState(region, 'host-1', 'ready')
  const back = await waitSet(member, 'web', ({ state }) => state === 'running')
  assert.deepEqual(back.containers, running.containers)
  assert.equal(back.epoch, running.epoch)
  assert.equal(back.address, running.address)
  for (const run of runs) assert.ok(runsOf(host).includes(run), 'nothing was started anew')
  await waitSet(member, 'new', ({ state }) => state === 'running')
})

test('a host whose server stops goes on with the other one, and its sets do not notice', async (t) => {
  const region = await TestRegion.open(t)
  const shop = await makeProject(region, 'shop')
  await makeNetwork(shop.member, 'net')
  await importRootfs(shop.member, 'web')
  const host = await joinHost(region, { name: 'host-1', server: 0 })
  await done(shop.member, await shop.member.setCreate({ body: setOf('web') }))
  const runs = runsOf(host)
  await everywhere(region)
  const other = region.client(shop.tokens.member, [region.server(1)])

  await region.server(0).stop()
  await waitUntil(
    () => region.server(1).region.sessions.connected,
    (connected) => connected === 1,
  )
  const shown = await region.via(1).hostShow({ params: { id: 'host-1' } })
  assert.equal(shown.state, 'ready')
  assert.equal(shown.serverName, 'server-2')
  assert.equal((await other.setShow({ params: { id: 'web' } })).state, 'running')
  assert.deepEqual(runsOf(host), runs)
  // The one that is left leads, and places.
  await done(other, await other.setCreate({ body: setOf('next') }))
})

test('a host that was powered off starts its local sets when it is powered on, with their addresses', async (t) => {
  const { region, shop } = await openShop(t)
  const { member } = shop
  const host = await joinHost(region, { name: 'host-1' })
  await done(member, await member.setCreate({ body: setOf('web') }))
  const before = await waitSet(member, 'web', ({ state }) => state === 'running')
  await host.simulated.powerOff()
  await hostState(region, 'host-1', 'unreachable')
  host.simulated.powerOn()
  await hostState(region, 'host-1', 'ready')
  const after = await waitSet(
    member,
    'web',
    ({ state, containers }) =>
      state === 'running' &&
      (containers[0]?.startedAtMs ?? 0) > (before.containers[0]?.startedAtMs ?? 0),
  )
  assert.equal(after.address, before.address)
  assert.equal(after.epoch, before.epoch)
  assert.equal((await region.operator.hostShow({ params: { id: 'host-1' } })).bootId, 'boot-2')
})
