// Agents that die at any moment, and a disk that is full, on a real Docker Engine that this test starts and removes.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { silentLog, systemClock } from '@nubo/runtime/process'
import {
  busyboxImage,
  startFaultyProxy,
  startRegistry,
  startTestEngine,
  type FaultyProxy,
  type TestEngine,
  type TestRegistry,
} from '@nubo/wire-docker/testing'
import { DockerSetDriver } from './docker/docker-set-driver.ts'
import type { SetSpec } from './set-driver.ts'
import { setSpecHash } from './spec-rules.ts'

function specOf(number: number, digest: string): SetSpec {
  const content = {
    name: 'web',
    hostname: 'web',
    cpuMillis: 500,
    memoryBytes: 32 * 2 ** 20,
    pidsMax: 100,
    shmBytes: 1024 * 1024,
    containers: ['a', 'b'].map((name, index) => ({
      name,
      index,
      image: { repository: 'team/web', digest },
      command: ['sleep', '100000'],
      env: {},
      cpuMillis: null,
      memoryBytes: null,
      stopTimeoutMs: 0,
      logBytesMax: 65_536,
    })),
    interfaces: [
      {
        name: 'eth0',
        hostInterface: `nf${process.pid}x${number}`,
        mac: '0a:00:00:00:02:01',
        addressWithPrefix: '10.97.0.1/24',
        gateway: '10.97.0.254',
        mtu: 1_450,
      },
    ],
  }
  return { setId: `set-${number}`, epoch: 1, ...content, specHash: setSpecHash(content) }
}

function driverOf(socketPath: string, cgroupParent: string): DockerSetDriver {
  return new DockerSetDriver({ socketPath, cgroupParent, clock: systemClock, log: silentLog })
}

function assertNothingLeft(engine: TestEngine, set: SetSpec, when: string): void {
  for (const name of readdirSync('/sys/fs/cgroup')) {
    const directory = path.join('/sys/fs/cgroup', name, engine.cgroupParent, `set-${set.setId}`)
    assert.equal(existsSync(directory), false, `${when}: ${directory}`)
  }
  const links = readFileSync('/proc/self/net/dev', 'utf8')
  for (const { hostInterface } of set.interfaces)
    assert.equal(links.includes(hostInterface), false, when)
}

describe('an agent that dies between any two calls to the engine', () => {
  let engine: TestEngine
  let registry: TestRegistry
  let proxy: FaultyProxy
  let digest = ''
  let healthy: DockerSetDriver

  before(async () => {
    const image = await busyboxImage()
    ;[engine, registry] = await Promise.all([startTestEngine(), startRegistry()])
    registry.add('team/web', image)
    digest = image.digest
    proxy = await startFaultyProxy(engine.socketPath)
    healthy = driverOf(engine.socketPath, engine.cgroupParent)
    await healthy.prepare()
    await healthy.ensureImage({ repository: 'team/web', digest }, async () => ({
      registry: registry.address,
      token: '',
    }))
  })
  after(async () => {
    healthy.close()
    await proxy.close()
    await engine.stop()
    await registry.close()
  })

  async function startAll(driver: DockerSetDriver, set: SetSpec): Promise<void> {
    await driver.startSandbox(set)
    for (const { name } of set.containers) await driver.startContainer(set, name)
  }

  /** Does the work with an agent that dies after `count` calls; false if the work needed no more than that. */
  async function diesAfter(
    count: number,
    loseLastAnswer: boolean,
    work: (driver: DockerSetDriver) => Promise<void>,
  ): Promise<boolean> {
    proxy.cut(count, loseLastAnswer)
    const doomed = driverOf(proxy.socketPath, engine.cgroupParent)
    try {
      await work(doomed)
      return false
    } catch {
      return true
    } finally {
      doomed.close()
      proxy.mend()
    }
  }

  for (const loseLastAnswer of [false, true]) {
    const how = loseLastAnswer ? 'before it gets the answer' : 'before the next call'

    test(`while it starts a set, ${how}: the next life finishes it, and can remove it`, async () => {
      let isDying = true
      for (let count = 1; isDying; count += 1) {
        const set = specOf(count, digest)
        isDying = await diesAfter(
          count,
          loseLastAnswer,
          async (driver) => await startAll(driver, set),
        )
        const when = `after ${count} calls`
        if (count % 2 === 0) {
          // Every other time it is not wanted any more by then.
          await healthy.removeSet(set.setId)
          assertNothingLeft(engine, set, when)
          continue
        }
        const later = driverOf(engine.socketPath, engine.cgroupParent)
        await later.prepare()
        await startAll(later, set)
        const found = await later.find(set.setId)
        assert.equal(found?.pause, 'running', when)
        assert.deepEqual(
          found.containers.map(({ state }) => state),
          ['running', 'running'],
          when,
        )
        await later.removeSet(set.setId)
        later.close()
        assertNothingLeft(engine, set, when)
        assert.ok(count < 50, 'the work ends')
      }
      assert.equal((await healthy.list()).length, 0)
    })

    test(`while it removes a set, ${how}: the next life removes the rest`, async () => {
      let isDying = true
      for (let count = 1; isDying; count += 1) {
        const set = specOf(count, digest)
        await startAll(healthy, set)
        isDying = await diesAfter(
          count,
          loseLastAnswer,
          async (driver) => await driver.removeSet(set.setId),
        )
        const later = driverOf(engine.socketPath, engine.cgroupParent)
        await later.prepare()
        for (const { setId } of await later.list()) await later.removeSet(setId)
        later.close()
        assertNothingLeft(engine, set, `after ${count} calls`)
        assert.ok(count < 50, 'the work ends')
      }
      assert.equal((await healthy.list()).length, 0)
    })
  }
})

describe('a host whose disk is full', () => {
  test('fetching and starting say so, and go on when there is room', async (t) => {
    const engine = await startTestEngine({ diskBytes: 16 * 2 ** 20 })
    t.after(async () => await engine.stop())
    const registry = await startRegistry()
    t.after(async () => await registry.close())
    const [small, large] = [
      await busyboxImage(),
      await busyboxImage([{ path: 'etc/large', content: Buffer.alloc(40 * 2 ** 20, 'x') }]),
    ]
    registry.add('team/web', small)
    registry.add('team/web', large)
    const driver = driverOf(engine.socketPath, engine.cgroupParent)
    t.after(() => driver.close())
    const fetch = async (digest: string): Promise<void> =>
      await driver.ensureImage({ repository: 'team/web', digest }, async () => ({
        registry: registry.address,
        token: '',
      }))
    await driver.prepare()
    await fetch(small.digest)
    await assert.rejects(fetch(large.digest), { code: 'HOST_DISK_FULL' })

    const set = { ...specOf(1, small.digest), interfaces: [] }
    await driver.startSandbox(set)
    await driver.startContainer(set, 'a')
    const fill = await driver.exec(set.setId, 'a', {
      command: [
        'sh',
        '-c',
        'dd if=/dev/zero of=/fill bs=4k; i=0; while touch /f$i; do i=$((i+1)); done 2>&1 | head -c 100',
      ],
    })
    for await (const _chunk of fill.output);
    const other = { ...specOf(2, small.digest), interfaces: [] }
    await assert.rejects(
      driver.startSandbox(other).then(async () => await driver.startContainer(other, 'a')),
      { code: 'HOST_DISK_FULL' },
    )
    await driver.removeSet(other.setId)
    await driver.removeSet(set.setId)
    await driver.startSandbox(other)
    await driver.startContainer(other, 'a')
    await driver.removeSet(other.setId)
  })
})
