import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom, vtepMac, VirtualClock } from '@nubo/base'
import { unpackCookie } from '@nubo/datapath'
import { wantedKey, type WantedItem } from '@nubo/contracts/host'
import { silentLog } from '@nubo/runtime/process'
import { FakeSwitchDriver } from '../drivers/switch/fake/fake-switch-driver.ts'
import type { FakeSwitch } from '../drivers/switch/fake/fake-switch.ts'
import {
  testId,
  testNetwork,
  testPort,
  testSet,
  testSetWithPort,
  testUpdate,
} from '../testing/wanted.ts'
import { MemoryDisk } from '../wanted/disk.ts'
import { WantedStore } from '../wanted/wanted-store.ts'
import { HostNetwork } from './host-network.ts'

interface Rig {
  clock: VirtualClock
  disk: MemoryDisk
  driver: FakeSwitchDriver
  network: HostNetwork
  store: WantedStore
  bundles: number[]
  woken: string[]
  want(items: WantedItem[], removes?: string[]): void
  stop(): Promise<void>
}

let revision = 0

function make(options: { disk?: MemoryDisk; hardware?: FakeSwitch } = {}): Rig {
  const clock = new VirtualClock()
  const disk = options.disk ?? new MemoryDisk()
  const driver = new FakeSwitchDriver({
    clock,
    vtepAddress: '172.16.0.1',
    ...(options.hardware === undefined ? {} : { hardware: options.hardware }),
  })
  const bundles: number[] = []
  const applyFlows = driver.applyFlows.bind(driver)
  driver.applyFlows = (changes) => {
    bundles.push(changes.length)
    return applyFlows(changes)
  }
  const store = new WantedStore({ disk, log: silentLog })
  const woken: string[] = []
  const network = new HostNetwork({
    clock,
    random: seededRandom(1),
    log: silentLog,
    store,
    disk,
    driver,
    onPortChange: (setId) => woken.push(setId),
  })
  const abort = new AbortController()
  const running = network.run(abort.signal)
  return {
    clock,
    disk,
    driver,
    network,
    store,
    bundles,
    woken,
    want: (items, removes = []) => {
      const full = store.revision === null
      const change = store.apply(testUpdate(++revision, items, { full, removes }), 'boot')
      network.wantedChanged(change?.keys ?? new Set())
    },
    stop: async () => {
      abort.abort()
      await running
    },
  }
}

const set = testSet({ portIds: [testId('port', 1)] })
const remote = testPort(9, { on: 'remote', vtep: '172.16.0.2' })

test('before the first snapshot the switch keeps what it has; then it gets what is wanted, in one bundle', async () => {
  const rig = make()
  await rig.clock.advance(100)
  assert.deepEqual(rig.bundles, [])
  rig.want([...testSetWithPort(1), remote])
  await rig.clock.advance(0)
  assert.equal(rig.bundles.length, 1)
  assert.deepEqual([...rig.driver.hardware.neighbours], [['172.16.0.2', vtepMac('172.16.0.2')]])
  await rig.stop()
})

test('a port goes with one bundle of its own, without waiting, and is ready when it is plugged', async () => {
  const rig = make()
  rig.want([testNetwork()])
  await rig.clock.advance(0)
  const before = rig.bundles.length
  rig.want(testSetWithPort(1))
  await rig.clock.advance(0)
  assert.equal(rig.bundles.length, before + 1)
  assert.deepEqual(rig.network.portsOf(set), {
    areAttached: false,
    areReady: false,
    trouble: null,
  })
  const interfaces = rig.network.interfacesOf(set)
  assert.deepEqual(interfaces, [
    {
      name: 'eth0',
      hostInterface: 'np000000000001',
      mac: '0a:00:00:00:01:01',
      addressWithPrefix: '10.0.0.11/24',
      gateway: '10.0.0.1',
      mtu: 1_450,
    },
  ])
  rig.driver.hardware.makeDevice('np000000000001')
  rig.woken.length = 0
  await rig.network.attachPorts(set)
  await rig.clock.advance(0)
  assert.deepEqual(rig.network.portsOf(set), { areAttached: true, areReady: true, trouble: null })
  assert.ok(rig.woken.includes(set.id))
  await rig.stop()
})

test('changes that come while a bundle is under way go together with the next one', async () => {
  const rig = make()
  rig.want([testNetwork()])
  await rig.clock.advance(0)
  const before = rig.bundles.length
  for (let number = 2; number < 22; number++)
    rig.want([testPort(number, { on: 'remote', vtep: '172.16.0.2' })])
  await rig.clock.advance(0)
  assert.ok(rig.bundles.length <= before + 2, `${rig.bundles.length - before} bundles`)
  await rig.stop()
})

test('a port that is not wanted any more leaves the switch, and its number is free', async () => {
  const rig = make()
  rig.want(testSetWithPort(1))
  rig.driver.hardware.makeDevice('np000000000001')
  await rig.clock.advance(0)
  await rig.network.attachPorts(set)
  rig.want([], [`port/${testId('port', 1)}`, wantedKey(set)])
  await rig.clock.advance(0)
  assert.equal(rig.driver.attached().size, 0)
  assert.equal(rig.disk.load('ofport').length, 0)
  await rig.stop()
})

test('a restart of the agent changes nothing on the switch that is as it should be', async () => {
  const first = make()
  first.want([...testSetWithPort(1), remote])
  first.driver.hardware.makeDevice('np000000000001')
  await first.clock.advance(0)
  await first.network.attachPorts(set)
  await first.stop()
  const hardware = first.driver.hardware
  const again = make({ disk: first.disk, hardware })
  await again.clock.advance(0)
  assert.deepEqual(again.bundles, [])
  assert.equal(again.network.round, first.network.round + 1)
  assert.ok(again.network.portsOf(set).areReady)
  assert.ok(
    hardware.flows.flows.every(({ cookie }) => unpackCookie(cookie)?.round === first.network.round),
  )
  await again.stop()
})

test('at the start stale flows and ports go, and what is missing comes, in one bundle', async () => {
  const first = make()
  first.want([...testSetWithPort(1), remote])
  first.driver.hardware.makeDevice('np000000000001')
  await first.clock.advance(0)
  await first.network.attachPorts(set)
  await first.stop()
  const hardware = first.driver.hardware
  const [kept] = hardware.flows.flows
  assert.ok(kept)
  const stray = { ...kept, priority: 4_242 }
  hardware.flows.apply([
    { type: 'add', flow: stray },
    { type: 'deleteStrict', table: kept.table, priority: kept.priority, match: kept.match },
  ])
  const again = make({ disk: first.disk, hardware })
  again.store.apply(testUpdate(++revision, [], { removes: [`port/${testId('port', 1)}`] }), 'boot')
  again.network.wantedChanged(new Set([`port/${testId('port', 1)}`]))
  await again.clock.advance(0)
  assert.equal(again.bundles.length, 1)
  assert.ok(!hardware.flows.flows.some(({ priority }) => priority === 4_242))
  assert.ok(hardware.flows.flows.some(({ priority }) => priority === kept.priority))
  assert.equal(again.driver.attached().size, 0)
  await again.stop()
})

test('a switch that comes back empty gets everything again, and sets are told in between', async () => {
  const rig = make()
  rig.want(testSetWithPort(1))
  rig.driver.hardware.makeDevice('np000000000001')
  await rig.clock.advance(0)
  await rig.network.attachPorts(set)
  const flows = rig.driver.hardware.flows.flows.length
  rig.driver.hardware.disconnect()
  await rig.clock.advance(0)
  assert.ok(!rig.network.portsOf(set).areReady || rig.network.trouble !== null)
  rig.driver.hardware.reconnect('flows lost')
  await rig.clock.advance(6_000)
  assert.equal(rig.driver.hardware.flows.flows.length, flows)
  assert.equal(rig.network.trouble, null)
  assert.ok(rig.network.portsOf(set).areReady)
  await rig.stop()
})

test('a switch that is away at the start is waited for', async () => {
  const first = make()
  const hardware = first.driver.hardware
  await first.stop()
  hardware.disconnect()
  const rig = make({ hardware })
  rig.want(testSetWithPort(1))
  await rig.clock.advance(3_000)
  assert.equal(rig.network.trouble?.code, 'ENGINE_UNAVAILABLE')
  await assert.rejects(rig.network.attachPorts(set), { code: 'ENGINE_UNAVAILABLE' })
  hardware.reconnect()
  await rig.clock.advance(6_000)
  assert.equal(rig.network.trouble, null)
  assert.ok(hardware.flows.flows.length > 0)
  await rig.stop()
})

test('a bundle that is refused is not forgotten: the switch is compared again', async () => {
  const rig = make()
  rig.want([testNetwork()])
  await rig.clock.advance(0)
  const applyFlows = rig.driver.applyFlows.bind(rig.driver)
  rig.driver.applyFlows = () => Promise.reject(new Error('refused'))
  rig.want(testSetWithPort(1))
  await rig.clock.advance(0)
  assert.equal(rig.network.trouble?.text, 'refused')
  rig.driver.applyFlows = applyFlows
  const before = rig.driver.hardware.flows.flows.length
  await rig.clock.advance(6_000)
  assert.ok(rig.driver.hardware.flows.flows.length > before)
  assert.equal(rig.network.trouble, null)
  await rig.stop()
})

test('a port on a device that no set makes is attached by itself, also when the device comes late', async () => {
  const rig = make()
  rig.want([testNetwork(), testPort(5, { on: 'interface', interfaceName: 'veth5' })])
  await rig.clock.advance(0)
  assert.equal(rig.driver.attached().get(testId('port', 5))?.name, 'veth5')
  rig.driver.hardware.makeDevice('veth5')
  await rig.clock.advance(0)
  assert.equal(rig.driver.attached().get(testId('port', 5))?.state.at, 'plugged')
  await rig.stop()
})
