import assert from 'node:assert/strict'
import { test } from 'node:test'

import { systemClock } from '@nubo/runtime/process'

import { switchDriverConformance, type SwitchRig } from '../conformance.ts'
import { FakeSwitchDriver } from './fake-switch-driver.ts'

const options = { clock: systemClock, vtepAddress: '192.168.77.1' }

async function makeRig(): Promise<SwitchRig> {
  const driver = new FakeSwitchDriver(options)
  return {
    driver,
    again: () => new FakeSwitchDriver({ ...options, hardware: driver.hardware }),
    makeDevice: async (name) => driver.hardware.makeDevice(name),
    removeDevice: async (name) => driver.hardware.removeDevice(name),
    killSwitch: async () => driver.hardware.disconnect(),
    startSwitch: async () => driver.hardware.reconnect('flows lost'),
    tunnelOfport: 65_000,
    dispose: () => driver.close(),
  }
}

switchDriverConformance('fake switch', makeRig)

test('a fake that is told to fail before it is prepared cannot be prepared until it is back', async () => {
  const driver = new FakeSwitchDriver(options)
  driver.hardware.disconnect()
  await assert.rejects(driver.prepare(), { problem: 'unreachable' })
  driver.hardware.reconnect()
  await driver.prepare()
  driver.hardware.restart()
  assert.deepEqual(await driver.dumpFlows(), [])
})

test('flows survive a lost connection of the fake, and neighbours can be looked at', async () => {
  const driver = new FakeSwitchDriver(options)
  await driver.prepare()
  await driver.applyFlows([
    { type: 'add', flow: { table: 0, priority: 1, cookie: 0n, match: {}, actions: [] } },
  ])
  await driver.setNeighbour('10.0.0.1', '0a:00:00:00:00:01')
  let restarts = 0
  driver.events.onRestart(() => (restarts += 1))
  driver.hardware.disconnect()
  await assert.rejects(driver.dumpFlows(), { problem: 'unreachable' })
  driver.hardware.reconnect()
  assert.equal(restarts, 0)
  assert.equal((await driver.dumpFlows()).length, 1)
  assert.deepEqual([...driver.hardware.neighbours], [['10.0.0.1', '0a:00:00:00:00:01']])
})
