// Proves what users and operators see when hosts die: two real servers, real agents on fakes, controllers as told.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { FakePowerControl } from '@nubo/control-plane'
import { systemClock } from '@nubo/runtime'
import { hostState, joinHost, type JoinedHost } from '../support/hosts.ts'
import { done, importRootfs, makeNetwork, makeProject, setOf, waitSet } from '../support/project.ts'
import { refusal } from '../support/refusal.ts'
import { TestRegion } from '../support/region.ts'
import { waitUntil } from '../support/wait.ts'

const LONG_MS = 60_000
const controller = { redfish: 'http://127.0.0.1:1/redfish/v1/Systems/1', user: 'u', password: 'p' }

async function open(context: TestContext, names: readonly string[]) {
  const hosts = new Map<string, JoinedHost>()
  const find = (id: string): JoinedHost =>
    [...hosts.values()].find((host) => host.id === id) ?? assert.fail()
  const power = new FakePowerControl({
    clock: systemClock,
    isOn: (id) => find(id).simulated.isRunning,
    powerOff: (id) => find(id).simulated.powerOff(),
  })
  const region = await TestRegion.open(context, { power })
  const { member } = await makeProject(region, 'shop')
  await makeNetwork(member, 'net')
  await importRootfs(member, 'web')
  for (const name of names) {
    hosts.set(name, await joinHost(region, { name, rack: `rack-${name}` }))
    await region.operator.hostPowerSet({ params: { id: name }, body: controller })
  }
  const host = (name: string | null): JoinedHost => hosts.get(name ?? '') ?? assert.fail()
  return { region, member, power, host, hosts }
}

const setsOn = ({ simulated }: JoinedHost): string[] => [...simulated.setHost.sets.keys()]

test('a host dies: its elsewhere set runs on another with the same address; it returns clean; local sets wait for it', async (context) => {
  const { region, member, host } = await open(context, ['a', 'b', 'c'])
  const { operator } = region
  await done(
    member,
    await member.setCreate({ body: { ...setOf('mobile'), recovery: 'elsewhere' } }),
  )
  const before = await member.setShow({ params: { id: 'mobile' } })
  const dead = before.host ?? assert.fail()
  const there = { placement: { host: dead } }
  await done(member, await member.setCreate({ body: { ...setOf('local'), ...there } }))
  await done(member, await member.setCreate({ body: { ...setOf('doomed'), ...there } }))

  await host(dead).simulated.powerOff()
  const fenced = await waitUntil(
    () => operator.hostShow({ params: { id: dead } }),
    ({ state }) => state === 'fenced',
    { timeoutMs: LONG_MS, what: 'it is fenced' },
  )
  assert.equal(fenced.fence?.by, 'power')
  const after = await waitUntil(
    () => member.setShow({ params: { id: 'mobile' } }),
    ({ state, host: now }) => state === 'running' && now !== dead,
    { timeoutMs: LONG_MS, what: 'the set runs elsewhere' },
  )
  assert.equal(after.address, before.address)
  assert.equal(after.epoch, before.epoch + 1)
  assert.equal(after.moved?.fromHost, dead)
  assert.equal(after.moved?.fromEpoch, before.epoch)
  const local = await member.setShow({ params: { id: 'local' } })
  assert.deepEqual([local.state, local.host], ['unknown', dead])
  assert.match(local.reason?.text ?? '', /is fenced/)
  await refusal(operator.hostRemove({ params: { id: dead } }), 'IN_USE')
  // Nothing runs there, so its end needs nobody.
  await done(member, await member.setRemove({ params: { id: 'doomed' } }))

  host(dead).simulated.powerOn()
  await hostState(region, dead, 'ready')
  await waitSet(member, 'local', ({ state, host: now }) => state === 'running' && now === dead)
  assert.deepEqual(setsOn(host(dead)), [local.id])
  const still = await member.setShow({ params: { id: 'mobile' } })
  assert.deepEqual([still.host, still.epoch], [after.host, after.epoch], 'nothing moves back')
})

test('two of three hosts vanish: the brake is seen and holds, an operator goes through it, and it ends with their return', async (context) => {
  const { region, member, power, host } = await open(context, ['a', 'b', 'c'])
  const { operator } = region
  const body = { ...setOf('mobile'), recovery: 'elsewhere' as const, placement: { host: 'a' } }
  await done(member, await member.setCreate({ body }))
  await Promise.all([host('a').simulated.powerOff(), host('b').simulated.powerOff()])
  const { items } = await waitUntil(
    () => operator.brakeList(),
    (list) => list.items.length > 0,
    { timeoutMs: LONG_MS, what: 'the brake is on' },
  )
  assert.deepEqual(items[0]?.hosts, ['a', 'b'])
  for (const name of ['a', 'b'])
    await waitUntil(
      () => operator.hostShow({ params: { id: name } }),
      ({ state, fence }) => state === 'unreachable' && fence?.step === 'held',
      { timeoutMs: LONG_MS, what: `${name} is held` },
    )
  assert.deepEqual(power.orders, [])
  // New sets go where hosts are well.
  await done(member, await member.setCreate({ body: setOf('new') }))

  host('b').simulated.powerOn()
  await hostState(region, 'b', 'ready')
  await waitUntil(
    () => operator.brakeList(),
    (list) => list.items.length === 0,
    { timeoutMs: LONG_MS, what: 'the brake is released' },
  )
  await waitUntil(
    () => operator.hostShow({ params: { id: 'a' } }),
    ({ state }) => state === 'fenced',
    { timeoutMs: LONG_MS, what: 'the other one is fenced' },
  )
})

test('operators: a wish for a connected host is refused; force switches it off and ends when it is fenced', async (context) => {
  const { region, host } = await open(context, ['a', 'b'])
  const { operator } = region
  const fence = (body: { confirmOff?: boolean; force?: boolean }) =>
    operator.hostFence({ params: { id: 'a' }, body })
  await refusal(fence({}), 'NOT_ALLOWED_NOW')
  await refusal(fence({ confirmOff: true }), 'NOT_ALLOWED_NOW')
  assert.equal((await operator.hostPowerShow({ params: { id: 'a' } })).state, 'on')
  const ended = await operator.waitOperation((await fence({ force: true })).id)
  assert.equal(ended.state, 'done', JSON.stringify(ended.reason))
  assert.equal(host('a').simulated.isRunning, false)
  assert.equal((await operator.hostShow({ params: { id: 'a' } })).state, 'fenced')
  assert.equal((await operator.hostPowerShow({ params: { id: 'a' } })).state, 'off')
  await operator.hostPowerClear({ params: { id: 'a' } })
  assert.equal((await operator.hostPowerShow({ params: { id: 'a' } })).state, 'none')
  await operator.hostRemove({ params: { id: 'a' } })
})
