import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PlatformError, seededRandom, vtepMac, VirtualClock } from '@nubo/base'
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
import { MemoryDisk, type DiskChange } from '../wanted/disk.ts'
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

class FullDisk extends MemoryDisk {
  isFull = true

  override write(changes: readonly DiskChange[]): void {
    if (this.isFull) throw new PlatformError('HOST_DISK_FULL', {})
    super.write(changes)
  }
}

test('a full disk neither keeps the agent from starting nor costs a port its flows', async () => {
  const disk = new FullDisk()
  const rig = make({ disk })
  assert.equal(rig.network.round, 1)
  disk.isFull = false
  rig.want([testNetwork()])
  await rig.clock.advance(0)
  const before = rig.driver.hardware.flows.flows.length
  const change = rig.store.apply(testUpdate(++revision, testSetWithPort(1)), 'boot')
  disk.isFull = true
  rig.network.wantedChanged(change?.keys ?? new Set())
  await rig.clock.advance(6_000)
  assert.ok(rig.driver.hardware.flows.flows.length > before)
  assert.equal(rig.network.trouble, null)
  await rig.stop()
})

test('flows do not wait until the switch has let go of a device', async () => {
  const rig = make()
  rig.want(testSetWithPort(1))
  await rig.clock.advance(0)
  await rig.network.attachPorts(set)
  const { promise: isLetGo, resolve: letGo } = Promise.withResolvers<void>()
  const detach = rig.driver.detach.bind(rig.driver)
  rig.driver.detach = async (portId) => {
    await isLetGo
    await detach(portId)
  }
  rig.want([], [`port/${testId('port', 1)}`, wantedKey(set)])
  await rig.clock.advance(0)
  const before = rig.bundles.length
  rig.want([testPort(2, { on: 'set', setId: testId('set', 2) })])
  await rig.clock.advance(0)
  assert.equal(rig.bundles.length, before + 1)
  // Until it is off the switch its number is nobody else's.
  assert.equal(rig.disk.load('ofport').length, 2)
  letGo()
  await rig.clock.advance(0)
  assert.equal(rig.driver.attached().size, 0)
  assert.equal(rig.disk.load('ofport').length, 1)
  await rig.stop()
})

test('a port that cannot be taken from the switch is taken later', async () => {
  const rig = make()
  rig.want(testSetWithPort(1))
  await rig.clock.advance(0)
  await rig.network.attachPorts(set)
  const detach = rig.driver.detach.bind(rig.driver)
  rig.driver.detach = () => Promise.reject(new Error('too slow'))
  rig.want([], [`port/${testId('port', 1)}`, wantedKey(set)])
  await rig.clock.advance(1_000)
  assert.equal(rig.network.trouble, null)
  rig.driver.detach = detach
  await rig.clock.advance(10_000)
  assert.equal(rig.driver.attached().size, 0)
  assert.equal(rig.disk.load('ofport').length, 0)
  await rig.stop()
})

test('a device that one port gives back is the next one’s at once', async () => {
  const rig = make()
  rig.want([testNetwork(), testPort(5, { on: 'interface', interfaceName: 'veth5' })])
  await rig.clock.advance(0)
  rig.want(
    [testPort(6, { on: 'interface', interfaceName: 'veth5' })],
    [`port/${testId('port', 5)}`],
  )
  await rig.clock.advance(1_000)
  assert.deepEqual([...rig.driver.attached().keys()], [testId('port', 6)])
  await rig.stop()
})

test('a port that is wanted again while it leaves comes back', async () => {
  const rig = make()
  const port = testPort(5, { on: 'interface', interfaceName: 'veth5' })
  rig.want([testNetwork(), port])
  await rig.clock.advance(0)
  const left = Promise.withResolvers<void>()
  const detach = rig.driver.detach.bind(rig.driver)
  rig.driver.detach = async (portId) => {
    await left.promise
    await detach(portId)
  }
  rig.want([], [`port/${port.id}`])
  await rig.clock.advance(0)
  rig.want([port])
  await rig.clock.advance(0)
  left.resolve()
  await rig.clock.advance(1_000)
  assert.deepEqual([...rig.driver.attached().keys()], [port.id])
  await rig.stop()
})

test('a port that comes to the switch when nobody wants it any more leaves it again', async () => {
  const rig = make()
  const items = testSetWithPort(1)
  rig.want(items)
  await rig.clock.advance(0)
  const placed = rig.driver.attach.bind(rig.driver)
  const begun = Promise.withResolvers<void>()
  rig.driver.attach = async (wanted) => {
    await begun.promise
    await placed(wanted)
  }
  const attaching = rig.network.attachPorts(set)
  rig.want([], [`set/${set.id}`, `port/${testId('port', 1)}`])
  await rig.clock.advance(1_000)
  begun.resolve()
  await attaching
  await rig.clock.advance(1_000)
  assert.deepEqual([...rig.driver.attached().keys()], [])
  await rig.stop()
})

test('a bridge that is gone is made anew', async () => {
  const rig = make()
  rig.want(testSetWithPort(1))
  await rig.clock.advance(0)
  const flows = rig.driver.hardware.flows.flows.length
  // As if somebody had deleted it: nothing works until it has been prepared.
  const prepare = rig.driver.prepare.bind(rig.driver)
  rig.driver.prepare = () => {
    rig.driver.hardware.reconnect('flows lost')
    return prepare()
  }
  rig.driver.hardware.disconnect()
  await rig.clock.advance(2_000)
  assert.equal(rig.network.trouble, null)
  assert.equal(rig.driver.hardware.flows.flows.length, flows)
  await rig.stop()
})

test('a switch that works gets its flows, though it cannot be prepared anew', async () => {
  const rig = make()
  rig.want(testSetWithPort(1))
  await rig.clock.advance(0)
  const flows = rig.driver.hardware.flows.flows.length
  for (const prepare of [
    () => Promise.reject(new Error('no tunnel')),
    () => new Promise<never>(() => undefined),
  ]) {
    rig.driver.prepare = prepare
    rig.driver.hardware.disconnect()
    await rig.clock.advance(2_000)
    rig.driver.hardware.reconnect('flows lost')
    await rig.clock.advance(0)
    assert.equal(rig.driver.hardware.flows.flows.length, flows)
    assert.equal(rig.network.trouble, null)
  }
  await rig.stop()
})

test('a port that its network has no place for any more is not ready, and says why', async () => {
  const rig = make()
  rig.want(testSetWithPort(1))
  await rig.clock.advance(0)
  await rig.network.attachPorts(set)
  assert.ok(rig.network.portsOf(set).areReady)
  const [subnet] = testNetwork().subnets
  assert.ok(subnet)
  rig.woken.length = 0
  rig.want([
    testNetwork(1, {
      subnets: [{ ...subnet, cidr: '10.9.0.0/24', gatewayAddress: '10.9.0.1' }],
    }),
  ])
  await rig.clock.advance(0)
  assert.equal(rig.network.trouble, null)
  assert.equal(rig.network.portsOf(set).areReady, false)
  assert.equal(rig.network.portsOf(set).trouble?.code, 'INVALID_INPUT')
  assert.deepEqual(rig.woken, [set.id])
  await rig.stop()
})

test('two ports that have each other’s numbers, as after a lost table, both come back', async () => {
  const rig = make()
  const sets = [1, 2].map((number) =>
    testSet({ id: testId('set', number), portIds: [testId('port', number)] }),
  )
  rig.want([1, 2].flatMap((number) => testSetWithPort(number)))
  await rig.clock.advance(0)
  await Promise.all(sets.map((one) => rig.network.attachPorts(one)))
  const [first, second] = [...rig.driver.attached().values()]
  assert.ok(first !== undefined && second !== undefined)
  for (const { portId } of [first, second]) await rig.driver.detach(portId)
  await rig.driver.attach({ ...first, ofport: second.ofport })
  await rig.driver.attach({ ...second, ofport: first.ofport })
  for (const one of sets) await rig.network.attachPorts(one)
  assert.deepEqual(
    [...rig.driver.attached().values()].map(({ portId, ofport }) => [portId, ofport]),
    [
      [first.portId, first.ofport],
      [second.portId, second.ofport],
    ],
  )
  await rig.stop()
})

test('a new port gets no number before the switch has said which are taken', async () => {
  const first = make()
  first.want(testSetWithPort(1))
  await first.clock.advance(0)
  await first.network.attachPorts(set)
  await first.stop()
  const { hardware } = first.driver
  hardware.disconnect()
  const again = make({ hardware }) // its table is lost
  again.want([...testSetWithPort(2), ...testSetWithPort(1)])
  const other = testSet({ id: testId('set', 2), portIds: [testId('port', 2)] })
  assert.deepEqual(again.network.interfacesOf(other), {
    missing: 'The switch of this host has not answered yet.',
  })
  again.woken.length = 0
  hardware.reconnect()
  await again.clock.advance(10_000)
  assert.ok(again.woken.includes(other.id))
  assert.ok(Array.isArray(again.network.interfacesOf(other)))
  assert.ok(again.network.portsOf(set).areReady, 'it kept its number')
  await again.stop()
})
