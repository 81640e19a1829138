// Sandboxes on a real Docker Engine that this test starts and removes: their network, and what is left when a start was cut.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { run } from '@nubo/runtime/process'
import { until } from './conformance/stage.ts'
import { SetCgroups } from './docker/cgroups.ts'
import { memberName, pauseName } from './docker/labels.ts'
import { DockerStage, interfaceOf, LINK_PREFIX } from './testing/docker-stage.ts'

describe('sandboxes on docker', () => {
  let stage: DockerStage

  let cgroups: SetCgroups

  before(async () => {
    stage = await DockerStage.open()
    cgroups = new SetCgroups({ parent: stage.engine.cgroupParent })
    await stage.driver.prepare()
    await stage.driver.ensureImage(stage.image, stage.auth)
  })
  after(async () => await stage.close())

  test('the network is complete when the sandbox is: address, route, MTU, checksums, host end up', async () => {
    const set = await stage.started()
    const [link] = set.interfaces
    assert.ok(link !== undefined)
    const addresses = await stage.inside(set.pid, 'ip', '-o', 'address', 'show')
    assert.match(
      addresses,
      new RegExp(`eth0 +inet ${link.addressWithPrefix.replaceAll('.', '\\.')}`),
    )
    // No IPv6 towards the network, but on the loopback.
    assert.doesNotMatch(addresses, /eth0 +inet6/)
    assert.match(
      await stage.inside(set.pid, 'ip', 'route'),
      /^default via 10\.99\.0\.254 dev eth0 onlink/m,
    )
    assert.match(
      await stage.inside(set.pid, 'ip', 'link', 'show', 'eth0'),
      new RegExp(`UP[^]*mtu 1450[^]*${link.mac}`),
    )
    assert.match(await stage.inside(set.pid, 'ethtool', '-k', 'eth0'), /^tx-checksumming: off$/m)
    const outer = (await run({ argv: ['ip', 'link', 'show', link.hostInterface] })).stdout
    assert.ok(!readFileSync('/proc/self/net/if_inet6', 'utf8').includes(link.hostInterface))
    assert.ok(!readFileSync('/proc/self/net/ipv6_route', 'utf8').includes(link.hostInterface))
    assert.match(outer, /,UP[,>][^]*mtu 1450/)
    await stage.driver.removeSet(set.setId)
    assert.equal(readFileSync('/proc/self/net/dev', 'utf8').includes(link.hostInterface), false)
  })

  test('several interfaces are made in one go; the route goes through the first', async () => {
    const [first, second] = [
      interfaceOf(191),
      { ...interfaceOf(192), name: 'eth1', addressWithPrefix: '10.98.0.1/24' },
    ]
    const set = await stage.started({ interfaces: [first, second] })
    const routes = await stage.inside(set.pid, 'ip', 'route')
    assert.match(routes, /^default via 10\.99\.0\.254 dev eth0/m)
    assert.match(routes, /^10\.98\.0\.0\/24 dev eth1/m)
    assert.match(await stage.inside(set.pid, 'ethtool', '-k', 'eth1'), /^tx-checksumming: off$/m)
    await stage.driver.removeSet(set.setId)
  })

  test('a link name that is left over from another set is taken over', async () => {
    const set = stage.spec()
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
    await stage.driver.startSandbox(set)
    assert.equal((await stage.driver.find(set.setId))?.pause, 'running')
    await stage.driver.removeSet(set.setId)
  })

  test('a link that has become another set’s stays when the set that had it goes', async () => {
    const before = await stage.started()
    const next = await stage.started({ interfaces: before.interfaces })
    assert.equal((await stage.driver.find(before.setId))?.pause, 'incomplete')
    await stage.driver.removeSet(before.setId)
    assert.equal((await stage.driver.find(next.setId))?.pause, 'running')
    await stage.driver.removeSet(next.setId)
    const [link] = next.interfaces
    assert.ok(link !== undefined)
    assert.equal(readFileSync('/proc/self/net/dev', 'utf8').includes(link.hostInterface), false)
  })

  test('a network that cannot be made leaves an incomplete sandbox, which the next start finishes', async () => {
    const set = stage.spec()
    const [link] = set.interfaces
    assert.ok(link !== undefined)
    // The kernel refuses a multicast address as a link's own.
    const broken = { ...set, interfaces: [{ ...link, mac: '01:00:00:00:00:01' }] }
    await assert.rejects(stage.driver.startSandbox(broken), { code: 'CONTAINER_START_FAILED' })
    assert.equal((await stage.driver.find(set.setId))?.pause, 'incomplete')
    assert.equal((await stage.again().find(set.setId))?.pause, 'incomplete')
    const { pid } = await stage.driver.startSandbox(set)
    const seen = await stage.driver.find(set.setId)
    assert.deepEqual([seen?.pause, seen?.pausePid], ['running', pid])
    await stage.driver.removeSet(set.setId)
  })

  test('a start that was cut at any point is finished by the next life, or removed', async () => {
    const set = stage.spec()
    const [link] = set.interfaces
    assert.ok(link !== undefined)
    const cuts: [string, (pid: number) => Promise<unknown>][] = [
      [
        'nothing was connected',
        async () => await run({ argv: ['ip', 'link', 'del', link.hostInterface] }),
      ],
      ['no route', async (pid) => await stage.inside(pid, 'ip', 'route', 'del', 'default')],
      ['checksums', async (pid) => await stage.inside(pid, 'ethtool', '-K', 'eth0', 'tx', 'on')],
      // Each round ends without its container.
      ['no container', async () => {}],
    ]
    const { pid } = await stage.driver.startSandbox(set)
    for (const [what, cut] of cuts) {
      await cut(pid)
      const later = stage.again()
      await later.prepare()
      assert.equal((await later.startSandbox(set)).pid, pid, what)
      assert.equal((await later.find(set.setId))?.pause, 'running', what)
      assert.match(await stage.inside(pid, 'ip', 'route'), /^default/m, what)
      assert.match(
        await stage.inside(pid, 'ethtool', '-k', 'eth0'),
        /^tx-checksumming: off$/m,
        what,
      )
      await later.startContainer(set, 'main')
      await stage.engine.client.containers.remove(memberName(set.setId, 'main'), { isForced: true })
      later.close()
    }
    await stage.driver.removeSet(set.setId)
  })

  test('a pause container that was made but never started is started; its cgroup gets its limits', async () => {
    const set = stage.spec({ interfaces: [] })
    await stage.driver.startSandbox(set)
    await stage.engine.client.containers.stop(pauseName(set.setId), 0)
    await stage.driver.removeSet(set.setId)
    const request = {
      Image: 'x',
      Labels: { 'nubo.set': set.setId, 'nubo.epoch': '1', 'nubo.spec-hash': set.specHash },
    }
    const imageId =
      (await stage.engine.client.images.list({ reference: ['nubo-pause'] }))[0]?.id ?? ''
    await stage.engine.client.containers.create(
      { ...request, Image: imageId, HostConfig: { NetworkMode: 'none' } },
      pauseName(set.setId),
    )
    assert.equal((await stage.driver.find(set.setId))?.pause, 'incomplete')
    await stage.driver.startSandbox(set)
    assert.equal((await stage.driver.find(set.setId))?.pause, 'running')
    await stage.driver.removeSet(set.setId)
  })

  test('containers of a removed pause container are replaced by the next start', async () => {
    const set = await stage.started()
    const old = (await stage.driver.find(set.setId))?.containers[0]?.containerId
    await stage.engine.client.containers.remove(pauseName(set.setId), { isForced: true })
    assert.equal((await stage.driver.find(set.setId))?.pause, 'absent')
    await stage.driver.startSandbox(set)
    await stage.driver.startContainer(set, 'main')
    const seen = await stage.driver.find(set.setId)
    assert.deepEqual([seen?.pause, seen?.containers[0]?.state], ['running', 'running'])
    assert.notEqual(seen?.containers[0]?.containerId, old)
    await stage.driver.removeSet(set.setId)
  })

  test('a container that was removed by hand is made again', async () => {
    const set = await stage.started()
    await stage.engine.client.containers.remove(memberName(set.setId, 'main'), { isForced: true })
    await stage.driver.startContainer(set, 'main')
    assert.equal((await stage.driver.find(set.setId))?.containers[0]?.state, 'running')
    await stage.driver.removeSet(set.setId)
  })

  test('the pause image comes back after a clean-up of images', async () => {
    const [pause] = await stage.engine.client.images.list({ reference: ['nubo-pause'] })
    assert.ok(pause !== undefined)
    for (const seen of await stage.driver.list()) await stage.driver.removeSet(seen.setId)
    await stage.engine.client.images.remove(pause.id, { isForced: true })
    const set = await stage.started()
    assert.equal((await stage.driver.find(set.setId))?.pause, 'running')
    await stage.driver.removeSet(set.setId)
    assert.equal(
      (await stage.engine.client.images.list({ reference: ['nubo-pause'] }))[0]?.id,
      pause.id,
    )
  })

  test('what a killed agent left of a removed set goes with the next life', async () => {
    const set = await stage.started()
    const parents = readdirSync('/sys/fs/cgroup')
      .map((name) =>
        path.join('/sys/fs/cgroup', name, stage.engine.cgroupParent, `set-${set.setId}`),
      )
      .filter((directory) => existsSync(directory))
    assert.ok(parents.length > 0)
    for (const name of [memberName(set.setId, 'main'), pauseName(set.setId)]) {
      await stage.engine.client.containers.remove(name, { isForced: true })
    }
    assert.ok(parents.every((directory) => existsSync(directory)))
    assert.equal(await stage.driver.find(set.setId), null)
    const later = stage.again()
    await later.prepare()
    later.close()
    assert.ok(parents.every((directory) => !existsSync(directory)))
  })

  test('what a removal left that could not end goes with a later look at the host', async () => {
    const set = await stage.started()
    const other = await stage.started()
    for (const name of [memberName(set.setId, 'main'), pauseName(set.setId)])
      await stage.engine.client.containers.remove(name, { isForced: true })
    await stage.driver.list()
    await until('no cgroup', async () => !(await cgroups.list()).includes(set.setId))
    assert.ok((await cgroups.list()).includes(other.setId))
    await stage.driver.removeSet(other.setId)
  })
})
