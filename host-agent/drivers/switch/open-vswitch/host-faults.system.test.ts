import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'

import { vtepMac } from '@nubo/base'
import { run } from '@nubo/runtime/process'
import { flowKey, type Flow } from '@nubo/wire-openflow'

import { UNREADABLE_ACTIONS } from '../switch-driver.ts'
import { OpenVswitchHost, waitUntil } from '../testing/open-vswitch-host.ts'
import { driverOf } from '../testing/open-vswitch-rig.ts'
import type { OpenVswitchSwitchDriver } from './open-vswitch-switch-driver.ts'

const VNI = 5_000
const TUNNEL = 65_000

interface Rig {
  readonly host: OpenVswitchHost
  readonly driver: OpenVswitchSwitchDriver
}

async function makeRig(t: TestContext, vtepAddress?: string): Promise<Rig> {
  const host = await OpenVswitchHost.start(vtepAddress)
  const driver = driverOf(host)
  t.after(async () => {
    await driver.close()
    await host.remove()
  })
  await driver.prepare()
  return { host, driver }
}

function flow(parts: Partial<Flow>): Flow {
  return { table: 0, priority: 10, cookie: 1n, match: {}, actions: [], ...parts }
}

/** Everything from the guest goes through the tunnel to the other host, and back. */
function wireFlows(guestOfport: number, otherVtep: string): Flow[] {
  return [
    flow({
      match: { inPort: guestOfport },
      actions: [
        { type: 'setField', field: 'tunId', value: VNI },
        { type: 'setField', field: 'tunDst', value: otherVtep },
        { type: 'output', port: TUNNEL },
      ],
    }),
    flow({
      match: { inPort: TUNNEL, tunId: VNI },
      actions: [{ type: 'output', port: guestOfport }],
    }),
  ]
}

/** Number of answers to `count` pings, sent 20 ms apart and each waited for one second at most. */
async function ping(netns: string, address: string, count: number): Promise<number> {
  const { stdout } = await run({
    argv: ['ping', '-n', '-q', '-i', '0.02', '-W', '1', '-c', String(count), address],
    netns: `/run/netns/${netns}`,
  }).catch(({ stdout: said }: { stdout: string }) => ({ stdout: said }))
  return Number(/(\d+) received/.exec(stdout)?.[1])
}

test('two hosts: no first packet is lost, and a replaced device of a guest is used again', async (t) => {
  const a = await makeRig(t, '192.168.77.1')
  const b = await makeRig(t, '192.168.77.2')
  await a.host.cable(b.host)
  const guests = [
    { ...a, other: b, address: '10.9.0.1/24', mac: '0a:00:00:00:00:01' },
    { ...b, other: a, address: '10.9.0.2/24', mac: '0a:00:00:00:00:02' },
  ]
  const names: string[] = []
  for (const { host, driver, other, address, mac } of guests) {
    names.push(await host.makeGuest('ve1', { address, mac }))
    const flows = wireFlows(7, other.host.vtepAddress)
    await Promise.all([
      driver.attach({ portId: 'p', name: 've1', ofport: 7 }),
      driver.applyFlows(flows.map((each) => ({ type: 'add', flow: each }))),
      driver.setNeighbour(other.host.vtepAddress, vtepMac(other.host.vtepAddress)),
    ])
    await driver.plugged('p', 10_000)
  }
  const [first = '', second = ''] = names
  // ARP of the guests is not what is measured here.
  const neighbour = ['neigh', 'replace', 'dev', 'eth0'] as const
  await run({
    argv: ['ip', '-n', first, ...neighbour, '10.9.0.2', 'lladdr', '0a:00:00:00:00:02'],
  })
  await run({
    argv: ['ip', '-n', second, ...neighbour, '10.9.0.1', 'lladdr', '0a:00:00:00:00:01'],
  })
  assert.equal(await ping(first, '10.9.0.2', 5), 5, 'not even the first is lost')

  const replugged = new Promise<void>((resolve) => {
    let wasGone = false
    a.driver.events.onPortChange((change) => {
      if (change.new === undefined) wasGone = true
      if (wasGone && change.new?.state.at === 'plugged') resolve()
    })
  })
  await a.host.removeDevice('ve1')
  await a.host.makeGuest('ve1', { address: '10.9.0.1/24', mac: '0a:00:00:00:00:01' })
  await replugged
  // The neighbour entry went with the device, so the guest asks first.
  assert.ok((await ping(first, '10.9.0.2', 20)) >= 19)
})

test('neighbours are told again after a restart of the switch', async (t) => {
  const { host, driver } = await makeRig(t)
  await driver.setNeighbour('192.168.77.9', '0a:6e:c0:a8:4d:09')
  assert.match(await host.appctl('tnl/neigh/show'), /192\.168\.77\.9 +0a:6e:c0:a8:4d:09 +br-phy/)
  await host.killVswitchd()
  await assert.rejects(driver.setNeighbour('192.168.77.8', '0a:6e:c0:a8:4d:08'), {
    problem: 'unreachable',
  })
  await host.startVswitchd()
  await waitUntil(async () => {
    // A daemon that has just begun answers before it knows this command.
    const shown = await host.appctl('tnl/neigh/show').catch(() => '')
    return shown.includes('192.168.77.9') && shown.includes('192.168.77.8')
  })
})

test('after kill -9 of the database, ports can be attached again and none was lost', async (t) => {
  const { host, driver } = await makeRig(t)
  await host.makeDevice('ve1')
  await host.makeDevice('ve2')
  await driver.attach({ portId: 'p1', name: 've1', ofport: 1 })
  await driver.plugged('p1', 10_000)
  await driver.applyFlows([{ type: 'add', flow: flow({}) }])
  let restarts = 0
  driver.events.onRestart(() => (restarts += 1))
  const lost = new Promise<void>((resolve) => void driver.events.onDisconnected(() => resolve()))
  const ready = new Promise<void>((resolve) => void driver.events.onReady(() => resolve()))
  await host.killOvsdbServer()
  await lost
  await assert.rejects(driver.attach({ portId: 'p2', name: 've2', ofport: 2 }), {
    problem: 'unreachable',
    code: 'ENGINE_UNAVAILABLE',
  })
  // Open vSwitch does not work on OpenFlow either while its database is away, so that waiting would be long.
  await assert.rejects(driver.dumpFlows(), { problem: 'unreachable' })
  await host.startOvsdbServer()
  await ready
  assert.deepEqual([...driver.attached().keys()], ['p1'])
  await driver.attach({ portId: 'p2', name: 've2', ofport: 2 })
  await driver.plugged('p2', 10_000)
  assert.equal((await driver.dumpFlows()).length, 1)
  assert.equal(restarts, 0)
})

test('preparing puts right what somebody changed on the bridge', async (t) => {
  const { host, driver } = await makeRig(t)
  let restarts = 0
  driver.events.onRestart(() => (restarts += 1))
  await driver.applyFlows([{ type: 'add', flow: flow({}) }])
  await host.vsctl('set', 'bridge', 'br-int', 'fail_mode=standalone', 'protocols=OpenFlow13')
  await host.vsctl('set-controller', 'br-int', 'tcp:127.0.0.1:1')
  await host.vsctl('set', 'interface', 'vx0', 'options:remote_ip=192.168.77.99')
  await driver.prepare()
  const bridge = await host.vsctl('--columns=fail_mode,controller', 'list', 'bridge', 'br-int')
  assert.match(bridge, /fail_mode +: secure/)
  assert.match(bridge, /controller +: \[\]/)
  assert.match(await host.vsctl('get', 'interface', 'vx0', 'options'), /remote_ip=flow/)
  // Open vSwitch deletes all flows when a bridge gets its first controller, and when it loses its last.
  assert.ok(restarts > 0)
  await driver.applyFlows([{ type: 'add', flow: flow({}) }])
  assert.equal((await driver.dumpFlows()).length, 1)
})

test('a host without the underlay bridge, or with the tunnel elsewhere, is not ready and says why', async (t) => {
  const { host, driver } = await makeRig(t)
  await host.vsctl('del-br', 'br-int')
  await host.vsctl('add-port', 'br-phy', 'vx0', '--', 'set', 'interface', 'vx0', 'type=vxlan')
  await assert.rejects(driver.prepare(), { problem: 'host_not_ready', message: /vx0/ })
})

test('preparing without a running switch ends at its deadline and says what is missing', async (t) => {
  const host = await OpenVswitchHost.start()
  const driver = driverOf(host, { prepareDeadlineMs: 300 })
  t.after(async () => {
    await driver.close()
    await host.remove()
  })
  await host.killVswitchd()
  await assert.rejects(driver.prepare(), { problem: 'host_not_ready', message: /ovs-vswitchd/ })
  await assert.rejects(driver.applyFlows([]), { problem: 'host_not_ready' })
  await host.killOvsdbServer()
  await assert.rejects(driver.prepare(), { problem: 'unreachable' })
  await host.startOvsdbServer()
  await host.startVswitchd()
  await driver.prepare()
})

test('a device that another bridge has is refused', async (t) => {
  const { host, driver } = await makeRig(t)
  await host.makeDevice('ve1')
  await host.vsctl('add-port', 'br-phy', 've1')
  await assert.rejects(driver.attach({ portId: 'p', name: 've1', ofport: 1 }), {
    problem: 'name_taken',
  })
  assert.equal(driver.attached().size, 0)
})

test('an ofport that a foreign port has makes the port fail with the reason', async (t) => {
  const { host, driver } = await makeRig(t)
  await host.makeDevice('ve1')
  await host.makeDevice('ve2')
  await host.vsctl('add-port', 'br-int', 've1', '--', 'set', 'interface', 've1', 'ofport_request=9')
  await driver.attach({ portId: 'p', name: 've2', ofport: 9 })
  await assert.rejects(driver.plugged('p', 10_000), { problem: 'device_failed' })
})

test('flows that people put there are seen, and those that cannot be read are taken away', async (t) => {
  const { host, driver } = await makeRig(t)
  const target = `unix:${host.folder}/br-int.mgmt`
  const byHand = [
    'cookie=3,table=3,priority=5,in_port=1,actions=set_queue:5',
    'cookie=4,pkt_mark=1,actions=drop',
  ]
  for (const text of byHand) {
    await run({ argv: ['ovs-ofctl', '-O', 'OpenFlow14', 'add-flow', target, text] })
  }
  await driver.applyFlows([{ type: 'add', flow: flow({}) }])
  const found = await driver.dumpFlows()
  assert.deepEqual(
    found.map(flowKey).sort(),
    [flow({}), flow({ table: 3, priority: 5, match: { inPort: 1 } })].map(flowKey).sort(),
  )
  assert.deepEqual(found.find(({ table }) => table === 3)?.actions, UNREADABLE_ACTIONS)
})

test('a bridge that is deleted and made again comes back empty, which is told as a restart', async (t) => {
  const { host, driver } = await makeRig(t)
  await driver.applyFlows([{ type: 'add', flow: flow({}) }])
  const restarted = new Promise<void>((resolve) => void driver.events.onRestart(() => resolve()))
  const lost = new Promise<void>((resolve) => void driver.events.onDisconnected(() => resolve()))
  await host.vsctl('del-br', 'br-int')
  await lost
  await assert.rejects(driver.attach({ portId: 'p', name: 've1', ofport: 1 }), {
    problem: 'host_not_ready',
  })
  await driver.prepare()
  await restarted
  assert.deepEqual(await driver.dumpFlows(), [])
})
