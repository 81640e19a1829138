// Sets on a real Docker Engine that this test starts and removes.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { run, silentLog, systemClock } from '@nubo/runtime'
import {
  busyboxImage,
  startRegistry,
  startTestEngine,
  waitUntil,
  type TestEngine,
  type TestRegistry,
} from '@nubo/wire-docker/testing'
import { setDriverConformance } from './conformance.ts'
import type { SetRig } from './conformance/stage.ts'
import { DockerSetDriver } from './docker/docker-set-driver.ts'
import { memberName, pauseName } from './docker/labels.ts'
import type {
  ImageReference,
  SetContainerSpec,
  SetEvent,
  SetInterfaceSpec,
  SetSpec,
} from './set-driver.ts'
import { setSpecHash } from './spec-rules.ts'

const TOKEN = 'pull-token'
/** Host ends of links have 15 characters at most and must not meet those of another test run. */
const LINK_PREFIX = `nt${process.pid}x`

function interfaceOf(number: number): SetInterfaceSpec {
  return {
    name: 'eth0',
    hostInterface: `${LINK_PREFIX}${number}`,
    mac: `0a:00:00:00:01:${number.toString(16).padStart(2, '0')}`,
    addressWithPrefix: `10.99.0.${number + 1}/24`,
    gateway: '10.99.0.254',
    mtu: 1_450,
  }
}

async function rigOf(): Promise<SetRig> {
  const [engine, registry, image] = await Promise.all([
    startTestEngine(),
    startRegistry({ token: TOKEN }),
    busyboxImage(),
  ])
  registry.add('team/web', image)
  const drivers: DockerSetDriver[] = []
  const again = (): DockerSetDriver => {
    const driver = driverOf(engine)
    drivers.push(driver)
    return driver
  }
  return {
    driver: again(),
    again,
    image: { repository: 'team/web', digest: image.digest },
    absentImage: { repository: 'team/web', digest: `sha256:${'0'.repeat(64)}` },
    auth: async () => ({ registry: registry.address, token: TOKEN }),
    commands: {
      run: ['sleep', '100000'],
      exit: (exitCode) => ['sh', '-c', `exit ${exitCode}`],
      print: (...texts) => [
        'sh',
        '-c',
        `${texts.map((text) => `echo ${text}`).join(';')}; exec sleep 100000`,
      ],
      refused: ['no-such-program'],
    },
    execs: {
      echo: (text) => ['echo', text],
      fail: (exitCode, text) => ['sh', '-c', `echo ${text} >&2; exit ${exitCode}`],
      cat: ['cat'],
      hang: ['sleep', '100000'],
    },
    interfaces: (number) => [interfaceOf(number)],
    endContainer: async (setId, container) => {
      await engine.client.containers.kill(memberName(setId, container), 'SIGKILL')
    },
    endSandbox: async (setId) => await engine.client.containers.kill(pauseName(setId), 'SIGKILL'),
    killEngine: async () => await engine.kill(),
    startEngine: async () => await engine.start(),
    dispose: async () => {
      for (const driver of drivers) driver.close()
      await engine.stop()
      await registry.close()
    },
  }
}

function driverOf(engine: TestEngine): DockerSetDriver {
  return new DockerSetDriver({
    socketPath: engine.socketPath,
    cgroupParent: engine.cgroupParent,
    clock: systemClock,
    log: silentLog,
  })
}

setDriverConformance('docker', rigOf)

describe('sets on docker', () => {
  let engine: TestEngine
  let registry: TestRegistry
  let driver: DockerSetDriver
  let image: ImageReference
  let count = 100

  before(async () => {
    const busybox = await busyboxImage()
    ;[engine, registry] = await Promise.all([startTestEngine(), startRegistry({ token: TOKEN })])
    registry.add('team/web', busybox)
    image = { repository: 'team/web', digest: busybox.digest }
    driver = driverOf(engine)
    await driver.prepare()
    await driver.ensureImage(image, auth)
  })
  after(async () => {
    driver.close()
    await engine.stop()
    await registry.close()
  })

  async function auth(): Promise<{ registry: string; token: string }> {
    return { registry: registry.address, token: TOKEN }
  }

  function container(change: Partial<SetContainerSpec> = {}): SetContainerSpec {
    return {
      name: 'main',
      index: 0,
      image,
      command: ['sleep', '100000'],
      env: {},
      cpuMillis: null,
      memoryBytes: null,
      stopTimeoutMs: 1_000,
      logBytesMax: 1024 * 1024,
      ...change,
    }
  }

  function spec(change: Partial<SetSpec> = {}): SetSpec {
    count += 1
    const content = {
      name: 'web',
      hostname: 'web-1',
      cpuMillis: 500,
      memoryBytes: 32 * 2 ** 20,
      pidsMax: 60,
      shmBytes: 2 * 1024 * 1024,
      containers: [container()],
      interfaces: [interfaceOf(count)],
      dns: ['10.99.0.253'],
      ...change,
    }
    return { setId: `set-${count}`, epoch: 1, ...content, specHash: setSpecHash(content) }
  }

  async function started(change: Partial<SetSpec> = {}): Promise<SetSpec & { pid: number }> {
    const set = spec(change)
    const { pid } = await driver.startSandbox(set)
    for (const { name } of set.containers) await driver.startContainer(set, name)
    return { ...set, pid }
  }

  /** What a shell in a container of the set prints. */
  async function shell(set: SetSpec, script: string, name = 'main'): Promise<string> {
    const stream = await driver.exec(set.setId, name, { command: ['sh', '-c', script] })
    let text = ''
    for await (const { bytes } of stream.output) text += Buffer.from(bytes).toString()
    return text
  }

  async function inside(pid: number, ...argv: [string, ...string[]]): Promise<string> {
    return (await run({ argv, netns: `/proc/${pid}/ns/net` })).stdout
  }

  function cgroupFile(setId: string, legacy: string, unified: string): string {
    const below = path.join(engine.cgroupParent, `set-${setId}`)
    const v2 = path.join('/sys/fs/cgroup', below, unified)
    const v1 = path.join('/sys/fs/cgroup', path.dirname(legacy), below, path.basename(legacy))
    return readFileSync(existsSync(v2) ? v2 : v1, 'utf8').trim()
  }

  test('limits of the set hold for all its containers together', async () => {
    const set = await started({
      containers: [
        container({ cpuMillis: 200, memoryBytes: 16 * 2 ** 20 }),
        container({ name: 'side' }),
      ],
    })
    assert.match(cgroupFile(set.setId, 'memory/memory.limit_in_bytes', 'memory.max'), /^33554432$/)
    assert.match(cgroupFile(set.setId, 'cpu/cpu.cfs_quota_us', 'cpu.max'), /^50000/)
    assert.equal(cgroupFile(set.setId, 'pids/pids.max', 'pids.max'), '60')
    // More processes than the set may have, from both containers at once.
    const bomb = 'i=0; while [ $i -lt 50 ]; do sleep 1 & i=$((i+1)); done 2>&1; wait'
    const texts = await Promise.all([shell(set, bomb), shell(set, bomb, 'side')])
    assert.match(texts.join(''), /can't fork/)
    await driver.removeSet(set.setId)
  })

  test('a process that wants too much memory is ended, told, and seen at the right container', async () => {
    const events: SetEvent[] = []
    const subscription = driver.events((event) => void events.push(event))
    await waitUntil('heard', () => events.length > 0)
    const set = await started({ containers: [container(), container({ name: 'side' })] })
    const hog = 'x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done'
    await shell(set, `(${hog}); true`)
    await waitUntil('told', () => events.some(({ type }) => type === 'oom'))
    const seen = await driver.find(set.setId)
    assert.deepEqual(
      seen?.containers.map(({ name, state, oomKilled }) => [name, state, oomKilled]),
      [
        ['main', 'running', true],
        ['side', 'running', false],
      ],
    )
    assert.ok(!events.some((event) => event.type === 'oom' && event.container === 'side'))
    subscription.close()
    await driver.removeSet(set.setId)
    const dying = await started({ containers: [container({ command: ['sh', '-c', hog] })] })
    await waitUntil('ended', async () => {
      return (await driver.find(dying.setId))?.containers[0]?.state === 'exited'
    })
    const ended = (await driver.find(dying.setId))?.containers[0]
    assert.deepEqual([ended?.exitCode, ended?.oomKilled], [137, true])
    await driver.removeSet(dying.setId)
  })

  test('containers share network, IPC and host name, and see nothing of the host', async () => {
    const set = await started({
      containers: [container({ env: { WHO: 'me = you' } }), container({ name: 'side' })],
    })
    const main = await shell(
      set,
      'hostname; cat /etc/resolv.conf; grep web-1 /etc/hosts; echo $WHO; touch /dev/shm/here',
    )
    assert.match(main, /^web-1$/m)
    assert.match(main, /^nameserver 10\.99\.0\.253$/m)
    assert.doesNotMatch(main, /^search/m)
    assert.match(main, /^10\.99\.0\.\d+\tweb-1$/m)
    assert.match(main, /^me = you$/m)
    assert.match(await shell(set, 'ls /dev/shm; df -k /dev/shm', 'side'), /here\n[^]* 2048 /)
    const silent = await started({ dns: [] })
    const resolver = await shell(silent, 'cat /etc/resolv.conf')
    assert.match(resolver, /^nameserver 127\.0\.0\.1$/m)
    await Promise.all([driver.removeSet(set.setId), driver.removeSet(silent.setId)])
  })

  test('tenants are confined', async () => {
    const set = await started()
    const status = await shell(set, 'cat /proc/self/status')
    assert.match(status, /^NoNewPrivs:\t1$/m)
    assert.match(status, /^Seccomp:\t2$/m)
    // CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, KILL 5, SETGID 6, SETUID 7, SETPCAP 8, NET_BIND 10, NET_RAW 13, CHROOT 18, SETFCAP 31
    assert.match(status, /^CapBnd:\t00000000800425fb$/m)
    assert.match(
      await shell(set, 'mknod /x b 1 1 2>&1 || busybox mknod /x b 1 1 2>&1'),
      /not permitted/,
    )
    assert.match(await shell(set, 'ip link set eth0 down 2>&1'), /not permitted/)
    assert.match(await shell(set, 'ping -c 1 -W 1 127.0.0.1'), /1 packets received/)
    await driver.removeSet(set.setId)
  })

  test('the network is complete when the sandbox is: address, route, MTU, checksums, host end up', async () => {
    const set = await started()
    const [link] = set.interfaces
    assert.ok(link !== undefined)
    const addresses = await inside(set.pid, 'ip', '-o', 'address', 'show')
    assert.match(
      addresses,
      new RegExp(`eth0 +inet ${link.addressWithPrefix.replaceAll('.', '\\.')}`),
    )
    // No IPv6 towards the network, but on the loopback.
    assert.doesNotMatch(addresses, /eth0 +inet6/)
    assert.match(
      await inside(set.pid, 'ip', 'route'),
      /^default via 10\.99\.0\.254 dev eth0 onlink/m,
    )
    assert.match(
      await inside(set.pid, 'ip', 'link', 'show', 'eth0'),
      new RegExp(`UP[^]*mtu 1450[^]*${link.mac}`),
    )
    assert.match(await inside(set.pid, 'ethtool', '-k', 'eth0'), /^tx-checksumming: off$/m)
    const outer = (await run({ argv: ['ip', 'link', 'show', link.hostInterface] })).stdout
    assert.match(outer, /,UP[,>][^]*mtu 1450/)
    await driver.removeSet(set.setId)
    assert.equal(readFileSync('/proc/self/net/dev', 'utf8').includes(link.hostInterface), false)
  })

  test('several interfaces are made in one go; the route goes through the first', async () => {
    const [first, second] = [
      interfaceOf(201),
      { ...interfaceOf(202), name: 'eth1', addressWithPrefix: '10.98.0.1/24' },
    ]
    const set = await started({ interfaces: [first, second] })
    const routes = await inside(set.pid, 'ip', 'route')
    assert.match(routes, /^default via 10\.99\.0\.254 dev eth0/m)
    assert.match(routes, /^10\.98\.0\.0\/24 dev eth1/m)
    assert.match(await inside(set.pid, 'ethtool', '-k', 'eth1'), /^tx-checksumming: off$/m)
    await driver.removeSet(set.setId)
  })

  test('a link name that is left over from another set is taken over', async () => {
    const set = spec()
    const [link] = set.interfaces
    assert.ok(link !== undefined)
    await run({
      argv: [
        'ip',
        'link',
        'add',
        'name',
        link.hostInterface,
        'type',
        'veth',
        'peer',
        'name',
        `${LINK_PREFIX}p`,
      ],
    })
    await driver.startSandbox(set)
    assert.equal((await driver.find(set.setId))?.pause, 'running')
    await driver.removeSet(set.setId)
  })

  test('a network that cannot be made leaves an incomplete sandbox, which the next start finishes', async () => {
    const set = spec()
    const [link] = set.interfaces
    assert.ok(link !== undefined)
    // The kernel refuses a multicast address as a link's own.
    const broken = { ...set, interfaces: [{ ...link, mac: '01:00:00:00:00:01' }] }
    await assert.rejects(driver.startSandbox(broken), { code: 'CONTAINER_START_FAILED' })
    assert.equal((await driver.find(set.setId))?.pause, 'incomplete')
    assert.equal((await driverOf(engine).find(set.setId))?.pause, 'incomplete')
    const { pid } = await driver.startSandbox(set)
    const seen = await driver.find(set.setId)
    assert.deepEqual([seen?.pause, seen?.pausePid], ['running', pid])
    await driver.removeSet(set.setId)
  })

  test('a start that was cut at any point is finished by the next life, or removed', async () => {
    const set = spec()
    const [link] = set.interfaces
    assert.ok(link !== undefined)
    const cuts: [string, (pid: number) => Promise<unknown>][] = [
      [
        'nothing was connected',
        async () => await run({ argv: ['ip', 'link', 'del', link.hostInterface] }),
      ],
      ['no route', async (pid) => await inside(pid, 'ip', 'route', 'del', 'default')],
      ['checksums', async (pid) => await inside(pid, 'ethtool', '-K', 'eth0', 'tx', 'on')],
      // Each round ends without its container.
      ['no container', async () => {}],
    ]
    const { pid } = await driver.startSandbox(set)
    for (const [what, cut] of cuts) {
      await cut(pid)
      const later = driverOf(engine)
      await later.prepare()
      assert.equal((await later.startSandbox(set)).pid, pid, what)
      assert.equal((await later.find(set.setId))?.pause, 'running', what)
      assert.match(await inside(pid, 'ip', 'route'), /^default/m, what)
      assert.match(await inside(pid, 'ethtool', '-k', 'eth0'), /^tx-checksumming: off$/m, what)
      await later.startContainer(set, 'main')
      await engine.client.containers.remove(memberName(set.setId, 'main'), { isForced: true })
      later.close()
    }
    await driver.removeSet(set.setId)
  })

  test('a pause container that was made but never started is started; its cgroup gets its limits', async () => {
    const set = spec({ interfaces: [] })
    await driver.startSandbox(set)
    await engine.client.containers.stop(pauseName(set.setId), 0)
    await driver.removeSet(set.setId)
    const request = {
      Image: 'x',
      Labels: { 'nubo.set': set.setId, 'nubo.epoch': '1', 'nubo.spec-hash': set.specHash },
    }
    const imageId = (await engine.client.images.list({ reference: ['nubo-pause'] }))[0]?.id ?? ''
    await engine.client.containers.create(
      { ...request, Image: imageId, HostConfig: { NetworkMode: 'none' } },
      pauseName(set.setId),
    )
    assert.equal((await driver.find(set.setId))?.pause, 'incomplete')
    await driver.startSandbox(set)
    assert.equal((await driver.find(set.setId))?.pause, 'running')
    await driver.removeSet(set.setId)
  })

  test('containers of a removed pause container are replaced by the next start', async () => {
    const set = await started()
    const old = (await driver.find(set.setId))?.containers[0]?.containerId
    await engine.client.containers.remove(pauseName(set.setId), { isForced: true })
    assert.equal((await driver.find(set.setId))?.pause, 'absent')
    await driver.startSandbox(set)
    await driver.startContainer(set, 'main')
    const seen = await driver.find(set.setId)
    assert.deepEqual([seen?.pause, seen?.containers[0]?.state], ['running', 'running'])
    assert.notEqual(seen?.containers[0]?.containerId, old)
    await driver.removeSet(set.setId)
  })

  test('a container that was removed by hand is made again', async () => {
    const set = await started()
    await engine.client.containers.remove(memberName(set.setId, 'main'), { isForced: true })
    await driver.startContainer(set, 'main')
    assert.equal((await driver.find(set.setId))?.containers[0]?.state, 'running')
    await driver.removeSet(set.setId)
  })

  test('the pause image comes back after a clean-up of images', async () => {
    const [pause] = await engine.client.images.list({ reference: ['nubo-pause'] })
    assert.ok(pause !== undefined)
    for (const seen of await driver.list()) await driver.removeSet(seen.setId)
    await engine.client.images.remove(pause.id, { isForced: true })
    const set = await started()
    assert.equal((await driver.find(set.setId))?.pause, 'running')
    await driver.removeSet(set.setId)
    assert.equal((await engine.client.images.list({ reference: ['nubo-pause'] }))[0]?.id, pause.id)
  })

  test('an image is fetched once by all who ask, with words about it; a fetch that fails can be repeated', async () => {
    const other = await busyboxImage([{ path: 'etc/other', content: 'x' }])
    registry.add('team/other', other)
    const wanted = { repository: 'team/other', digest: other.digest }
    registry.mood = 'fail'
    await assert.rejects(driver.ensureImage(wanted, auth), { code: 'IMAGE_PULL_FAILED' })
    registry.mood = 'serve'
    await assert.rejects(
      driver.ensureImage(wanted, async () => ({ registry: registry.address, token: 'wrong' })),
      { code: 'IMAGE_PULL_FAILED' },
    )
    let asked = 0
    const words: string[] = []
    const ask = async (): Promise<void> =>
      await driver.ensureImage(
        wanted,
        async () => {
          asked += 1
          return await auth()
        },
        (progress) => void words.push(progress),
      )
    const before = registry.requests.filter((line) => line.includes('/manifests/')).length
    await Promise.all([ask(), ask(), ask()])
    assert.equal(asked, 1)
    assert.ok(words.length > 0)
    assert.ok(registry.requests.filter((line) => line.includes('/manifests/')).length - before <= 2)
    await ask()
    assert.equal(asked, 1)
    // Also under a name that has the registry in it: a digest is a digest.
    await driver.ensureImage({ ...wanted, repository: `${registry.address}/team/other` }, auth)
  })

  test('closing an exec ends its program and the children of it', async () => {
    const set = await started()
    const stream = await driver.exec(set.setId, 'main', {
      command: ['sh', '-c', 'sleep 4242 & sleep 4343; echo'],
    })
    await waitUntil('it runs', async () => (await shell(set, 'ps')).includes('4343'))
    stream.close()
    await waitUntil('it ended', async () => !/sleep 4[23]4[23]/.test(await shell(set, 'ps')))
    await driver.removeSet(set.setId)
  })

  test('what a killed agent left of a removed set goes with the next life', async () => {
    const set = await started()
    const parents = readdirSync('/sys/fs/cgroup')
      .map((name) => path.join('/sys/fs/cgroup', name, engine.cgroupParent, `set-${set.setId}`))
      .filter((directory) => existsSync(directory))
    assert.ok(parents.length > 0)
    for (const name of [memberName(set.setId, 'main'), pauseName(set.setId)]) {
      await engine.client.containers.remove(name, { isForced: true })
    }
    assert.ok(parents.every((directory) => existsSync(directory)))
    assert.equal(await driver.find(set.setId), null)
    const later = driverOf(engine)
    await later.prepare()
    later.close()
    assert.ok(parents.every((directory) => !existsSync(directory)))
  })

  test('removing takes every cgroup, link and container; other sets stay', async () => {
    const [gone, stays] = [await started(), await started()]
    await driver.removeSet(gone.setId)
    for (const name of readdirSync('/sys/fs/cgroup')) {
      const directory = path.join('/sys/fs/cgroup', name, engine.cgroupParent, `set-${gone.setId}`)
      assert.equal(existsSync(directory), false, directory)
    }
    assert.equal((await driver.find(stays.setId))?.containers[0]?.state, 'running')
    await driver.removeSet(stays.setId)
  })

  test('many sets at once all start', async () => {
    const sets = Array.from({ length: 6 }, () => spec())
    await Promise.all(
      sets.map(async (set) => {
        await driver.startSandbox(set)
        await driver.startContainer(set, 'main')
      }),
    )
    const found = await driver.list()
    for (const { setId } of sets) {
      const seen = found.find((candidate) => candidate.setId === setId)
      assert.deepEqual([seen?.pause, seen?.containers[0]?.state], ['running', 'running'])
    }
    await Promise.all(sets.map(async ({ setId }) => await driver.removeSet(setId)))
  })

  test('an engine that is set up otherwise is refused with what to do', async () => {
    const other = new DockerSetDriver({
      socketPath: '/nonexistent/docker.sock',
      cgroupParent: engine.cgroupParent,
      clock: systemClock,
      log: silentLog,
    })
    await assert.rejects(other.prepare(), { code: 'ENGINE_UNAVAILABLE' })
    assert.equal(other.version(), null)
  })

  test('limits of a running set can be raised and lowered', async () => {
    const set = await started()
    const { SetCgroups } = await import('./docker/cgroups.ts')
    const cgroups = new SetCgroups({ parent: engine.cgroupParent })
    for (const memoryBytes of [64 * 2 ** 20, 24 * 2 ** 20]) {
      await cgroups.ensure(set.setId, { ...set, memoryBytes })
      assert.equal(
        cgroupFile(set.setId, 'memory/memory.limit_in_bytes', 'memory.max'),
        String(memoryBytes),
      )
    }
    assert.deepEqual(await cgroups.list(), [set.setId])
    await driver.removeSet(set.setId)
  })
})
