// Sets on a real Docker Engine that this test starts and removes: limits, confinement, images, execs.
import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { silentLog, systemClock } from '@nubo/runtime/process'
import { busyboxImage, waitUntil } from '@nubo/wire-docker/testing'
import { SetCgroups } from './docker/cgroups.ts'
import { DockerSetDriver } from './docker/docker-set-driver.ts'
import type { SetEvent } from './set-driver.ts'
import { DockerStage } from './testing/docker-stage.ts'

describe('sets on docker', () => {
  let stage: DockerStage

  before(async () => {
    stage = await DockerStage.open()
    await stage.driver.prepare()
    await stage.driver.ensureImage(stage.image, stage.auth)
  })
  after(async () => await stage.close())

  test('limits of the set hold for all its containers together', async () => {
    const set = await stage.started({
      containers: [
        stage.container({ cpuMillis: 200, memoryBytes: 16 * 2 ** 20 }),
        stage.container({ name: 'side' }),
      ],
    })
    assert.match(
      stage.cgroupFile(set.setId, 'memory/memory.limit_in_bytes', 'memory.max'),
      /^33554432$/,
    )
    assert.match(stage.cgroupFile(set.setId, 'cpu/cpu.cfs_quota_us', 'cpu.max'), /^50000/)
    assert.equal(stage.cgroupFile(set.setId, 'pids/pids.max', 'pids.max'), '60')
    // More processes than the set may have, from both containers at once.
    const bomb = 'i=0; while [ $i -lt 50 ]; do sleep 1 & i=$((i+1)); done 2>&1; wait'
    const texts = await Promise.all([stage.shell(set, bomb), stage.shell(set, bomb, 'side')])
    assert.match(texts.join(''), /can't fork/)
    await stage.driver.removeSet(set.setId)
  })

  test('a process that wants too much memory is ended, told, and seen at the right container', async () => {
    const events: SetEvent[] = []
    const subscription = stage.driver.events((event) => void events.push(event))
    await waitUntil('heard', () => events.length > 0)
    const set = await stage.started({
      containers: [stage.container(), stage.container({ name: 'side' })],
    })
    const hog = 'x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done'
    await stage.shell(set, `(${hog}); true`)
    await waitUntil('told', () => events.some(({ type }) => type === 'oom'))
    const seen = await stage.driver.find(set.setId)
    assert.deepEqual(
      seen?.containers.map(({ name, state, oomKilled }) => [name, state, oomKilled]),
      [
        ['main', 'running', true],
        ['side', 'running', false],
      ],
    )
    assert.ok(!events.some((event) => event.type === 'oom' && event.container === 'side'))
    subscription.close()
    await stage.driver.removeSet(set.setId)
    const dying = await stage.started({
      containers: [stage.container({ command: ['sh', '-c', hog] })],
    })
    await waitUntil('ended', async () => {
      return (await stage.driver.find(dying.setId))?.containers[0]?.state === 'exited'
    })
    const ended = (await stage.driver.find(dying.setId))?.containers[0]
    assert.deepEqual([ended?.exitCode, ended?.oomKilled], [137, true])
    await stage.driver.removeSet(dying.setId)
  })

  test('containers share network, IPC and host name, and see nothing of the host', async () => {
    const set = await stage.started({
      containers: [
        stage.container({ env: { WHO: 'me = you' } }),
        stage.container({ name: 'side' }),
      ],
    })
    const main = await stage.shell(
      set,
      'hostname; cat /etc/resolv.conf; grep web-1 /etc/hosts; echo $WHO; touch /dev/shm/here',
    )
    assert.match(main, /^web-1$/m)
    assert.match(main, /^nameserver 10\.99\.0\.253$/m)
    assert.doesNotMatch(main, /^search/m)
    assert.match(main, /^10\.99\.0\.\d+\tweb-1$/m)
    assert.match(main, /^me = you$/m)
    assert.match(await stage.shell(set, 'ls /dev/shm; df -k /dev/shm', 'side'), /here\n[^]* 2048 /)
    const silent = await stage.started({ dns: [] })
    const resolver = await stage.shell(silent, 'cat /etc/resolv.conf')
    assert.match(resolver, /^nameserver 127\.0\.0\.1$/m)
    await Promise.all([stage.driver.removeSet(set.setId), stage.driver.removeSet(silent.setId)])
  })

  test('tenants are confined', async () => {
    const set = await stage.started()
    const status = await stage.shell(set, 'cat /proc/self/status')
    assert.match(status, /^NoNewPrivs:\t1$/m)
    assert.match(status, /^Seccomp:\t2$/m)
    // CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, KILL 5, SETGID 6, SETUID 7, SETPCAP 8, NET_BIND 10, NET_RAW 13, CHROOT 18, SETFCAP 31
    assert.match(status, /^CapBnd:\t00000000800425fb$/m)
    assert.match(
      await stage.shell(set, 'mknod /x b 1 1 2>&1 || busybox mknod /x b 1 1 2>&1'),
      /not permitted/,
    )
    assert.match(await stage.shell(set, 'ip link set eth0 down 2>&1'), /not permitted/)
    assert.match(await stage.shell(set, 'ping -c 1 -W 1 127.0.0.1'), /1 packets received/)
    await stage.driver.removeSet(set.setId)
  })

  test('an image is fetched once by all who ask, with words about it; a fetch that fails can be repeated', async () => {
    const other = await busyboxImage([{ path: 'etc/other', content: 'x' }])
    stage.registry.add('team/other', other)
    const wanted = { repository: 'team/other', digest: other.digest }
    stage.registry.mood = 'fail'
    await assert.rejects(stage.driver.ensureImage(wanted, stage.auth), {
      code: 'IMAGE_PULL_FAILED',
    })
    stage.registry.mood = 'serve'
    await assert.rejects(
      stage.driver.ensureImage(wanted, async () => ({
        registry: stage.registry.address,
        token: 'wrong',
      })),
      { code: 'IMAGE_PULL_FAILED' },
    )
    let asked = 0
    const words: string[] = []
    const ask = async (): Promise<void> =>
      await stage.driver.ensureImage(
        wanted,
        async () => {
          asked += 1
          return await stage.auth()
        },
        (progress) => void words.push(progress),
      )
    const before = stage.registry.requests.filter((line) => line.includes('/manifests/')).length
    await Promise.all([ask(), ask(), ask()])
    assert.equal(asked, 1)
    assert.ok(words.length > 0)
    assert.ok(
      stage.registry.requests.filter((line) => line.includes('/manifests/')).length - before <= 2,
    )
    await ask()
    assert.equal(asked, 1)
    // Also under a name that has the registry in it: a digest is a digest.
    await stage.driver.ensureImage(
      { ...wanted, repository: `${stage.registry.address}/team/other` },
      stage.auth,
    )
  })

  test('closing an exec ends its program and the children of it', async () => {
    const set = await stage.started()
    const stream = await stage.driver.exec(set.setId, 'main', {
      command: ['sh', '-c', 'sleep 4242 & sleep 4343; echo'],
    })
    await waitUntil('it runs', async () => (await stage.shell(set, 'ps')).includes('4343'))
    stream.close()
    await waitUntil('it ended', async () => !/sleep 4[23]4[23]/.test(await stage.shell(set, 'ps')))
    await stage.driver.removeSet(set.setId)
  })

  test('removing takes every cgroup, link and container; other sets stay', async () => {
    const [gone, stays] = [await stage.started(), await stage.started()]
    await stage.driver.removeSet(gone.setId)
    for (const name of readdirSync('/sys/fs/cgroup')) {
      const directory = path.join(
        '/sys/fs/cgroup',
        name,
        stage.engine.cgroupParent,
        `set-${gone.setId}`,
      )
      assert.equal(existsSync(directory), false, directory)
    }
    assert.equal((await stage.driver.find(stays.setId))?.containers[0]?.state, 'running')
    await stage.driver.removeSet(stays.setId)
  })

  test('many sets at once all start', async () => {
    const sets = Array.from({ length: 6 }, () => stage.spec())
    await Promise.all(
      sets.map(async (set) => {
        await stage.driver.startSandbox(set)
        await stage.driver.startContainer(set, 'main')
      }),
    )
    const found = await stage.driver.list()
    for (const { setId } of sets) {
      const seen = found.find((candidate) => candidate.setId === setId)
      assert.deepEqual([seen?.pause, seen?.containers[0]?.state], ['running', 'running'])
    }
    await Promise.all(sets.map(async ({ setId }) => await stage.driver.removeSet(setId)))
  })

  test('an engine that is set up otherwise is refused with what to do', async () => {
    const other = new DockerSetDriver({
      socketPath: '/nonexistent/docker.sock',
      cgroupParent: stage.engine.cgroupParent,
      clock: systemClock,
      log: silentLog,
    })
    await assert.rejects(other.prepare(), { code: 'ENGINE_UNAVAILABLE' })
    assert.equal(other.version(), null)
  })

  test('limits of a running set can be raised and lowered', async () => {
    const set = await stage.started()
    const cgroups = new SetCgroups({ parent: stage.engine.cgroupParent })
    for (const memoryBytes of [64 * 2 ** 20, 24 * 2 ** 20]) {
      await cgroups.ensure(set.setId, { ...set, memoryBytes })
      assert.equal(
        stage.cgroupFile(set.setId, 'memory/memory.limit_in_bytes', 'memory.max'),
        String(memoryBytes),
      )
    }
    assert.deepEqual(await cgroups.list(), [set.setId])
    await stage.driver.removeSet(set.setId)
  })
})
