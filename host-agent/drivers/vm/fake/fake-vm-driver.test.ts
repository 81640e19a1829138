// The fake passes what every VM driver must, and does what tests and the simulator ask of it, in virtual time.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PlatformError, VirtualClock } from '@nubo/base'
import { systemClock } from '@nubo/runtime/process'
import { vmDriverConformance } from '../conformance.ts'
import { plainVmSpec } from '../testing/plain-vm-spec.ts'
import type { VmEvent } from '../vm-driver.ts'
import { obedientGuest, stubbornGuest } from './fake-guest.ts'
import { FakeVmDriver } from './fake-vm-driver.ts'
import { FakeVmHost } from './fake-vm-host.ts'

const imageOf = (letter: string): { repository: string; digest: string } => ({
  repository: 'team/tiny',
  digest: `sha256:${letter.repeat(64)}`,
})
const [IMAGE, STUBBORN, ABSENT] = [imageOf('a'), imageOf('b'), imageOf('0')]
const TOKEN = { registry: '127.0.0.1:5000', token: 'token' }
const IMAGE_BYTES = 2 * 2 ** 20

vmDriverConformance('fake', async () => {
  const host = new FakeVmHost({ imageBytes: IMAGE_BYTES })
  host.absentImages.add(ABSENT.digest)
  return {
    open: () =>
      new FakeVmDriver(
        {
          clock: systemClock,
          guest: ({ image }) => (image.digest === STUBBORN.digest ? stubbornGuest : obedientGuest),
        },
        host,
      ),
    image: IMAGE,
    stubbornImage: STUBBORN,
    absentImage: ABSENT,
    imageBytes: IMAGE_BYTES,
    auth: async () => TOKEN,
    interfaces: (number) => [
      { hostInterface: `v${number}`, mac: '0a:00:00:00:00:05', mtuBytes: 1_450 },
    ],
    crash: async (vmId) => host.end(vmId, 'crashed'),
    traces: async ({ vmId }) => (host.find(vmId) === null ? [] : ['the VM']),
    dispose: async () => {},
  }
})

test('boots and ends take virtual time, and nothing while the guest is held', async () => {
  const clock = new VirtualClock()
  const driver = new FakeVmDriver({
    clock,
    guest: () => ({ ...obedientGuest, bootMs: 2_000, powerOffMs: 500 }),
  })
  await driver.ensureImage(IMAGE, async () => TOKEN)
  const vm = plainVmSpec({ image: IMAGE })
  await driver.start(vm)
  const stateOf = async (): Promise<unknown> => (await driver.find(vm.vmId))?.state
  // Too early: nobody looks at the button yet.
  await driver.shutDown(vm.vmId)
  await clock.advance(2_000)
  assert.equal(await stateOf(), 'running')
  await driver.shutDown(vm.vmId)
  await driver.pause(vm.vmId)
  await clock.advance(1_000)
  assert.equal(await stateOf(), 'paused')
  await driver.resume(vm.vmId)
  await clock.advance(500)
  assert.equal(await stateOf(), 'stopped')
  assert.equal((await driver.find(vm.vmId))?.end, 'shut-down')
})

test('a power failure of the host ends all runs and keeps disks', async () => {
  const clock = new VirtualClock()
  const host = new FakeVmHost()
  const driver = new FakeVmDriver({ clock }, host)
  await driver.ensureImage(IMAGE, async () => TOKEN)
  const vm = plainVmSpec({ image: IMAGE })
  await driver.start(vm)
  await clock.advance(10)
  host.powerOff()
  await assert.rejects(driver.list(), { code: 'ENGINE_UNAVAILABLE' })
  host.bringUp()
  const later = new FakeVmDriver({ clock }, host)
  assert.deepEqual(
    (await later.list()).map(({ state, end }) => [state, end]),
    [['stopped', 'crashed']],
  )
  await later.start(vm)
  await clock.advance(10)
  const port = await later.serial(vm.vmId)
  assert.equal(String(port.read()), 'READY 2\r\n')
  port.destroy()
})

test('starts fail as told: before anything is made, or half-way', async () => {
  const clock = new VirtualClock()
  const driver = new FakeVmDriver({ clock })
  await driver.ensureImage(IMAGE, async () => TOKEN)
  const vm = plainVmSpec({ image: IMAGE })
  const error = new PlatformError('VM_START_FAILED', {})
  driver.failNext('start', error)
  await assert.rejects(driver.start(vm), error)
  assert.equal(await driver.find(vm.vmId), null)
  driver.cutNextStart(error)
  await assert.rejects(driver.start(vm), error)
  assert.equal((await driver.find(vm.vmId))?.state, 'incomplete')
  await driver.start(vm)
  assert.equal((await driver.find(vm.vmId))?.state, 'running')
  const events: VmEvent[] = []
  driver.events((event) => void events.push(event))
  driver.crash(vm.vmId)
  await driver.close()
  driver.crash(vm.vmId)
  await new Promise(setImmediate)
  assert.deepEqual(events, [])
})
