import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PlatformError } from '@nubo/base'
import { systemClock } from '@nubo/runtime/process'
import { setDriverConformance } from '../conformance.ts'
import type { SetContainerSpec, SetEvent, SetSpec } from '../set-driver.ts'
import { FakeSetDriver, FakeSetHost } from './fake-set-driver.ts'

const IMAGE = { repository: 'team/web', digest: `sha256:${'a'.repeat(64)}` }
const ABSENT = { repository: 'team/web', digest: `sha256:${'0'.repeat(64)}` }
const TOKEN = { registry: '127.0.0.1:5000', token: 'token' }

setDriverConformance('fake', async () => {
  const host = new FakeSetHost()
  host.absentImages.add(ABSENT.digest)
  const driver = new FakeSetDriver({ clock: systemClock }, host)
  return {
    driver,
    again: () => new FakeSetDriver({ clock: systemClock }, host),
    image: IMAGE,
    absentImage: ABSENT,
    auth: async () => TOKEN,
    commands: {
      run: ['run'],
      exit: (exitCode) => ['exit', String(exitCode)],
      print: (...texts) => ['print', ...texts],
      refused: ['refuse'],
    },
    execs: {
      echo: (text) => ['echo', text],
      fail: (exitCode, text) => ['fail', String(exitCode), text],
      cat: ['cat'],
      hang: ['hang'],
    },
    interfaces: (number) => [
      {
        name: 'eth0',
        hostInterface: `v${number}`,
        mac: '0a:00:00:00:00:05',
        addressWithPrefix: '10.0.0.5/24',
        gateway: '10.0.0.1',
        mtu: 1_450,
      },
    ],
    endContainer: async (setId, container) =>
      driver.endContainer(setId, container, { exitCode: 137 }),
    endSandbox: async (setId) => driver.endSandbox(setId),
    killEngine: async () => host.takeDown(),
    startEngine: async () => host.bringUp(),
    dispose: async () => {},
  }
})

const CONTAINER: SetContainerSpec = {
  name: 'main',
  index: 0,
  image: IMAGE,
  env: {},
  cpuMillis: null,
  memoryBytes: null,
  stopTimeoutMs: 1_000,
  logBytesMax: 65_536,
}
const SPEC: SetSpec = {
  setId: 's1',
  epoch: 1,
  specHash: 'h',
  name: 'web',
  hostname: 'web',
  cpuMillis: 100,
  memoryBytes: 64 * 2 ** 20,
  pidsMax: 100,
  shmBytes: 0,
  containers: [CONTAINER],
  interfaces: [],
}

async function running(driver: FakeSetDriver): Promise<void> {
  await driver.ensureImage(IMAGE, async () => TOKEN)
  await driver.startSandbox(SPEC)
  await driver.startContainer(SPEC, 'main')
}

test('failures can be planned, one call each, and by rule', async () => {
  const refused: string[] = []
  const driver = new FakeSetDriver({
    clock: systemClock,
    before: (call, setId) => {
      if (call === 'removeSet') refused.push(setId ?? '')
    },
  })
  await running(driver)
  driver.failNext('startContainer', new PlatformError('HOST_DISK_FULL'))
  await assert.rejects(driver.startContainer(SPEC, 'main'), { code: 'HOST_DISK_FULL' })
  await driver.startContainer(SPEC, 'main')
  await driver.removeSet('s1')
  assert.deepEqual(refused, ['s1'])
})

test('a memory shortage and a power failure leave what they leave on a real host', async () => {
  const driver = new FakeSetDriver({ clock: systemClock })
  await running(driver)
  driver.endContainer('s1', 'main', { exitCode: 137, oomKilled: true })
  assert.equal((await driver.find('s1'))?.containers[0]?.oomKilled, true)
  await driver.startContainer(SPEC, 'main')
  const seen: SetEvent[] = []
  driver.events((event) => void seen.push(event))
  driver.powerOff()
  await assert.rejects(driver.list(), { code: 'ENGINE_UNAVAILABLE' })
  driver.host.bringUp()
  await Promise.resolve()
  assert.equal((await driver.find('s1'))?.pause, 'exited')
  assert.equal((await driver.find('s1'))?.containers[0]?.state, 'exited')
  assert.deepEqual(
    seen.map(({ type }) => type).filter((type) => type === 'died'),
    [],
  )
})

test('a follower sees what is printed later', async () => {
  const driver = new FakeSetDriver({ clock: systemClock })
  await running(driver)
  const reading = driver.logs('s1', 'main', { follow: true })
  const first = reading.next()
  driver.print('s1', 'main', 'hello\n')
  assert.equal(Buffer.from((await first).value?.bytes ?? '').toString(), 'hello\n')
  await driver.removeSet('s1')
  assert.equal((await reading.next()).done, true)
})
