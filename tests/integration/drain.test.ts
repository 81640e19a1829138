// Proves what operators see when they empty hosts: two real servers, real agents on fakes.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Operation } from '@nubo/contracts'
import { joinHost, type HostAsked, type JoinedHost } from '../support/hosts.ts'
import { done, importRootfs, makeNetwork, makeProject, setOf, waitSet } from '../support/project.ts'
import { refusal } from '../support/refusal.ts'
import { TestRegion } from '../support/region.ts'
import { waitUntil } from '../support/wait.ts'

const gibibyte = 2 ** 30

async function open(context: TestContext, asked: readonly HostAsked[]) {
  const region = await TestRegion.open(context)
  const { member } = await makeProject(region, 'shop')
  await makeNetwork(member, 'net')
  await importRootfs(member, 'web')
  const hosts = new Map<string, JoinedHost>()
  for (const one of asked) hosts.set(one.name, await joinHost(region, one))
  const { operator } = region
  const show = (id: string) => member.setShow({ params: { id } })
  return {
    region,
    operator,
    member,
    host: (name: string): JoinedHost => hosts.get(name) ?? assert.fail(),
    show,
    run: async (name: string, more: object = {}) => {
      await done(member, await member.setCreate({ body: { ...setOf(name), ...more } }))
      return show(name)
    },
    drain: (id: string) => operator.hostDrain({ params: { id } }),
    ended: (operation: Operation) => operator.waitOperation(operation.id),
    cordon: (id: string) => operator.hostCordon({ params: { id } }),
    uncordon: (id: string) => operator.hostUncordon({ params: { id } }),
  }
}

/** What runs on a host according to its engine. */
const running = ({ simulated }: JoinedHost): string[] =>
  [...simulated.setHost.sets.keys()].toSorted()

/** A host whose containers ignore what tells them to stop, until they are let go. */
function stubborn(name: string): { asked: HostAsked; hold: () => void; letGo: () => void } {
  let held: PromiseWithResolvers<void> | undefined
  const before = async (call: string): Promise<void> => {
    if (call === 'stopContainer') await held?.promise
  }
  return {
    asked: { name, sets: { before } },
    hold: () => (held = Promise.withResolvers()),
    letGo: () => held?.resolve(),
  }
}

const room = (memoryBytes: number) => ({
  cpuMillis: 16_000,
  memoryBytes,
  diskBytes: 500 * gibibyte,
})

test('all sets of a host move, with their addresses and higher epochs, never twice at once; pinned ones stay with a reason', async (context) => {
  const { operator, member, host, run, show, drain, ended, cordon, uncordon } = await open(
    context,
    [{ name: 'a' }, { name: 'b' }, { name: 'c' }],
  )
  await cordon('b')
  await cordon('c')
  const names = ['w1', 'w2', 'w3', 'w4', 'w5', 'w6']
  const before = new Map<string, Awaited<ReturnType<typeof show>>>()
  for (const [at, name] of names.entries())
    before.set(name, await run(name, { recovery: at % 2 === 0 ? 'local' : 'elsewhere' }))
  await uncordon('b')
  await uncordon('c')
  const twice: string[] = []
  for (const [here, there] of [
    ['a', 'b'],
    ['a', 'c'],
  ] as const) {
    const { setHost } = host(there).simulated
    const put = setHost.sets.set.bind(setHost.sets)
    setHost.sets.set = (id, value) => {
      if (host(here).simulated.setHost.sets.has(id)) twice.push(id)
      return put(id, value)
    }
  }
  const operation = await ended(await drain('a'))
  assert.equal(operation.state, 'done', JSON.stringify(operation))
  assert.equal(operation.progress, '6 of 6 moved')
  for (const name of names) {
    const set = await waitSet(member, name, ({ state }) => state === 'running')
    const old = before.get(name)
    assert.notEqual(set.host, 'a')
    assert.equal(set.address, old?.address)
    assert.equal(set.epoch, (old?.epoch ?? 0) + 1)
    assert.deepEqual(
      [set.moved?.fromHost, set.moved?.fromEpoch, set.moved?.reason],
      ['a', old?.epoch, 'host a is drained'],
    )
  }
  assert.deepEqual(twice, [])
  assert.deepEqual(running(host('a')), [])
  const found = await operator.hostShow({ params: { id: 'a' } })
  assert.deepEqual([found.cordoned, found.maintenance, found.sets], [true, false, 0])
  assert.equal(found.drain, null)

  // Pinned to it: it cannot move, and nobody stops it.
  await uncordon('a')
  const pinned = await run('pinned', { placement: { host: 'a' } })
  const refused = await ended(await drain('a'))
  assert.equal(refused.state, 'failed')
  assert.equal(refused.reason?.code, 'NOT_ALLOWED_NOW')
  assert.match(
    refused.reason.text,
    /pinned stays: it was asked for on a \(--host\); a stays cordoned/,
  )
  assert.equal((await show('pinned')).epoch, pinned.epoch)
  const late = await member.setCreate({ body: { ...setOf('late'), placement: { host: 'a' } } })
  assert.equal((await member.waitOperation(late.id)).reason?.code, 'NOT_PLACED')
})

test('no room elsewhere: what fits moves by priority, the rest is never stopped and says why; all hosts at once end too', async (context) => {
  const { host, run, show, drain, ended, cordon, uncordon, member } = await open(context, [
    { name: 'a' },
    { name: 'b', capacity: room(1.5 * gibibyte) },
  ])
  await cordon('b')
  const big = { memoryBytes: gibibyte }
  const low = await run('low', { ...big, priority: 10 })
  await run('high', { ...big, priority: 900 })
  await uncordon('b')
  const operation = await ended(await drain('a'))
  assert.equal(operation.state, 'failed')
  assert.equal(operation.reason?.code, 'NOT_PLACED')
  assert.match(
    operation.reason.text,
    /^low runs on: no host can take it .*b: memory: .*a stays cordoned$/,
  )
  assert.equal(operation.progress, '1 of 2 moved')
  assert.equal((await waitSet(member, 'high', ({ state }) => state === 'running')).host, 'b')
  const still = await show('low')
  assert.deepEqual([still.host, still.epoch, still.state], ['a', low.epoch, 'running'])
  assert.deepEqual(running(host('a')), [low.id])

  const both = await Promise.all([drain('a'), drain('b')])
  for (const one of both) assert.equal((await ended(one)).reason?.code, 'NOT_PLACED')
  assert.equal((await show('high')).host, 'b')
})

test('a set that takes its time to stop is told of; cancelled half-way, it still moves, and no other begins', async (context) => {
  const a = stubborn('a')
  const { operator, member, run, show, drain, cordon, uncordon } = await open(context, [
    a.asked,
    { name: 'b' },
  ])
  await cordon('b')
  for (const n of [1, 2, 3, 4, 5, 6]) await run(`w${n}`)
  await uncordon('b')
  a.hold()
  const begun = await drain('a')
  const told = await waitUntil(
    () => operator.operationShow({ params: { id: begun.id } }),
    ({ progress }) => progress.includes('stops on a'),
  )
  assert.match(told.progress, /^0 of 6 moved; w1 stops on a \(0 s; .*killed after 10 s\)/)
  const stopping = await waitSet(member, 'w1', ({ state }) => state === 'stopping')
  assert.equal(stopping.epoch, 1)
  const draining = await operator.hostShow({ params: { id: 'a' } })
  assert.deepEqual(draining.drain, { operationId: begun.id })
  const cancelled = await operator.operationCancel({ params: { id: begun.id } })
  assert.equal(cancelled.state, 'cancelled')
  assert.match(cancelled.reason?.text ?? '', /No further set moves.*Host a stays cordoned/)
  a.letGo()
  for (const name of ['w1', 'w2', 'w3', 'w4'])
    await waitSet(member, name, ({ state, host: now }) => state === 'running' && now === 'b')
  for (const name of ['w5', 'w6']) assert.equal((await show(name)).epoch, 1)
  assert.equal((await operator.hostShow({ params: { id: 'a' } })).cordoned, true)
})

test('the leading server ends half-way: the other goes on', async (context) => {
  const a = stubborn('a')
  const { region, member, run, cordon, uncordon, host, drain } = await open(context, [
    a.asked,
    { name: 'b' },
  ])
  await cordon('b')
  for (const n of [1, 2, 3, 4, 5, 6]) await run(`w${n}`)
  await uncordon('b')
  a.hold()
  const begun = await drain('a')
  await waitSet(member, 'w1', ({ state }) => state === 'stopping')
  const leader = region.servers.findIndex((server) => server.region.isLeading())
  await region.servers[leader]?.stop()
  a.letGo()
  const ended = await region.via(1 - leader).waitOperation(begun.id)
  assert.equal(ended.state, 'done', JSON.stringify(ended))
  assert.equal(ended.progress, '6 of 6 moved')
  assert.deepEqual(running(host('a')), [])
})

test('the agent restarts half-way and its engine does not answer: the set counts as there until it is known to be gone', async (context) => {
  const a = stubborn('a')
  const { member, run, cordon, uncordon, host, drain, ended, show } = await open(context, [
    a.asked,
    { name: 'b' },
  ])
  await cordon('b')
  const { id } = await run('web')
  await uncordon('b')
  a.hold()
  const begun = await drain('a')
  await waitSet(member, 'web', ({ state }) => state === 'stopping')
  const { simulated } = host('a')
  await simulated.crash()
  simulated.setHost.takeDown()
  simulated.start()
  // It has told everything it has, and what it may have.
  await waitSet(member, 'web', ({ reason }) => reason?.code === 'ENGINE_UNAVAILABLE')
  assert.deepEqual([(await show('web')).host, (await show('web')).epoch], ['a', 1])
  assert.deepEqual(running(host('a')), [id])
  a.letGo()
  simulated.setHost.bringUp()
  assert.equal((await ended(begun)).state, 'done')
  assert.deepEqual(running(host('a')), [])
})

test('maintenance: what belongs on the host stays and is listed; it takes nothing until it ends, and is never fenced', async (context) => {
  const { operator, member, run, show, ended, uncordon, cordon } = await open(context, [
    { name: 'a' },
    { name: 'b' },
  ])
  await cordon('b')
  await run('web')
  await run('db', { placement: { host: 'a' }, recovery: 'local' })
  await uncordon('b')
  const on = await ended(await operator.hostMaintenanceBegin({ params: { id: 'a' } }))
  assert.equal(on.state, 'done', JSON.stringify(on))
  assert.equal(on.progress, '1 of 2 moved; stay: db')
  assert.equal((await waitSet(member, 'web', ({ state }) => state === 'running')).host, 'b')
  const host = await operator.hostShow({ params: { id: 'a' } })
  assert.deepEqual([host.maintenance, host.cordoned], [true, true])
  await refusal(uncordon('a'), 'NOT_ALLOWED_NOW')
  const off = await operator.hostMaintenanceEnd({ params: { id: 'a' } })
  assert.deepEqual([off.maintenance, off.cordoned], [false, false])
  assert.deepEqual([(await show('web')).host, (await show('db')).host], ['b', 'a'])
})
