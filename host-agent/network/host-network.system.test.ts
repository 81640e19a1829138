// The network of a host on a real Open vSwitch that this test starts and removes: a bridge that is gone, ports that go.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { wantedKey, type WantedItem } from '@nubo/contracts/host'
import { silentLog, systemClock, systemRandom } from '@nubo/runtime/process'
import type { OpenVswitchSwitchDriver } from '../drivers/switch/open-vswitch/open-vswitch-switch-driver.ts'
import { OpenVswitchHost, waitUntil } from '../drivers/switch/testing/open-vswitch-host.ts'
import { driverOf } from '../drivers/switch/testing/open-vswitch-rig.ts'
import { testId, testNetwork, testPort, testUpdate } from '../testing/wanted.ts'
import { MemoryDisk } from '../wanted/disk.ts'
import { WantedStore } from '../wanted/wanted-store.ts'
import { HostNetwork } from './host-network.ts'

interface Rig {
  readonly host: OpenVswitchHost
  readonly driver: OpenVswitchSwitchDriver
  readonly want: (items: WantedItem[], removes?: string[]) => void
}

async function makeRig(t: TestContext): Promise<Rig> {
  const host = await OpenVswitchHost.start()
  const driver = driverOf(host)
  const disk = new MemoryDisk()
  const store = new WantedStore({ disk, log: silentLog })
  const network = new HostNetwork({
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    store,
    disk,
    driver,
    onPortChange: () => undefined,
  })
  const abort = new AbortController()
  const running = network.run(abort.signal)
  t.after(async () => {
    abort.abort()
    await driver.close()
    await running
    await host.remove()
  })
  let revision = 0
  return {
    host,
    driver,
    want: (items, removes = []) => {
      const full = revision === 0
      const change = store.apply(testUpdate(++revision, items, { full, removes }), 'boot')
      network.wantedChanged(change?.keys ?? new Set())
    },
  }
}

const onDevice = (number: number, interfaceName: string): WantedItem =>
  testPort(number, { on: 'interface', interfaceName })

test('a bridge that somebody deleted is made anew, with its flows and its ports', async (t) => {
  const { host, driver, want } = await makeRig(t)
  await host.makeDevice('veth5')
  want([testNetwork(), onDevice(5, 'veth5')])
  const isPlugged = (): boolean => driver.attached().get(testId('port', 5))?.state.at === 'plugged'
  await waitUntil(isPlugged)
  const flows = (await driver.dumpFlows()).length
  assert.ok(flows > 0)
  await host.vsctl('del-br', 'br-int')
  await waitUntil(() => !isPlugged())
  await waitUntil(isPlugged)
  await waitUntil(async () => (await driver.dumpFlows().catch(() => [])).length === flows)
})

test('a device goes from one port to the next, and flows of others do not wait for it', async (t) => {
  const { host, driver, want } = await makeRig(t)
  await host.makeDevice('veth5')
  want([testNetwork(), onDevice(5, 'veth5')])
  await waitUntil(() => driver.attached().get(testId('port', 5))?.state.at === 'plugged')
  want([onDevice(6, 'veth5')], [wantedKey(onDevice(5, 'veth5'))])
  want([testPort(7, { on: 'remote', vtep: '192.168.77.2' })])
  await waitUntil(() => driver.attached().get(testId('port', 6))?.state.at === 'plugged')
  assert.equal(driver.attached().size, 1)
})
