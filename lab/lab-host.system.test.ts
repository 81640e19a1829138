/** Proves with the real engines that a host of the lab has power, cables, a switch and a container engine of its own. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { findProcess, run, silentLog, systemClock, systemRandom } from '@nubo/runtime'
import { busyboxRootTar } from './busybox-image.ts'
import { findCgroupTrees, LabCgroups } from './cgroups.ts'
import { labHome } from './home.ts'
import { namespacePath } from './host-programs.ts'
import { LabHostMachine } from './lab-host.ts'
import { mountsBelow, namespacesOf } from './leftovers.ts'
import { callEngine } from './testing/engine-api.ts'
import { chooseUnderlay, Underlay, underlayPlan } from './underlay.ts'
import { waitUntil } from './wait.ts'

const SOON = { timeoutMs: 20_000 }

describe('LabHostMachine', () => {
  const folder = mkdtempSync(join(tmpdir(), 'nlh-'))
  const home = labHome(folder)
  const cgroups = new LabCgroups(findCgroupTrees(), home.id)
  const hosts = new Map<string, LabHostMachine>()
  let underlay: Underlay
  let containerId = ''

  const host = (name: string): LabHostMachine => hosts.get(name) ?? assert.fail(`no host ${name}`)
  const engine = (name: string, method: string, path: string, body?: unknown) =>
    callEngine(home.host(name).dockerSocket, method, path, body)
  const isReachable = async (from: string, address: string): Promise<boolean> => {
    const argv = ['ping', '-q', '-c', '1', '-W', '1', address] as const
    const netns = namespacePath(underlay.namespaceOf(from))
    return run({ argv, netns }).then(
      () => true,
      () => false,
    )
  }
  const containerState = async (): Promise<{ Running: boolean; Pid: number }> => {
    const { body } = await engine('h1', 'GET', `/containers/${containerId}/json`)
    const { State } = JSON.parse(body) as { State: { Running: boolean; Pid: number } } // proof: Engine API 1.41
    return State
  }
  const killProgram = async (name: string): Promise<void> => {
    const program = hosts
      .values()
      .flatMap((machine) => machine.programs)
      .find((one) => one.name === name)
    assert.ok(program?.pid !== undefined)
    const { restarts } = program
    process.kill(program.pid, 'SIGKILL')
    await waitUntil(
      `${name} runs again`,
      () => program.restarts > restarts && program.state.at === 'running',
      SOON,
    )
  }

  before(async () => {
    mkdirSync(home.log)
    const first = home.id.charCodeAt(2) + home.id.charCodeAt(4)
    const index = await chooseUnderlay({ wanted: undefined, taken: [], first, ownLink: '' })
    underlay = new Underlay(home.id, underlayPlan(index))
    await underlay.make()
    for (const [position, name] of ['h1', 'h2'].entries()) {
      const number = position + 1
      hosts.set(
        name,
        new LabHostMachine({
          name,
          number,
          underlay,
          cgroups,
          folders: home.host(name),
          caFile: home.caFile,
          agent: {
            plan: underlay.plan,
            hostContractPorts: [1],
            number,
            hosts: () => 2,
            nodeEnvironment: {},
          },
          logOf: (program) => home.logOf(program),
          clock: systemClock,
          random: systemRandom,
          log: silentLog,
        }),
      )
    }
    await Promise.all(hosts.values().map((machine) => machine.powerOn()))
  })

  after(async () => {
    await Promise.all(hosts.values().map((machine) => machine.powerOff()))
    await cgroups.kill()
    await underlay.remove()
    rmSync(folder, { recursive: true, force: true })
  })

  it('reaches the other host over both networks, and the machine over the management network', async () => {
    await waitUntil('h1 reaches h2', () => isReachable('h1', underlay.plan.vtepAddress(2)), SOON)
    assert.ok(await isReachable('h1', underlay.plan.managementAddress(2)))
    assert.ok(await isReachable('h1', underlay.plan.serverAddress))
  })

  it('carries whole guest packets of 1500 bytes in a tunnel', async () => {
    // 1472 + 8 (ICMP) + 20 (IP) + 50 (VXLAN) of an inner Ethernet frame's packet = 1550 on the underlay.
    const size = String(1_550 - 28)
    await run({
      argv: [
        'ping',
        '-q',
        '-c',
        '1',
        '-W',
        '2',
        '-M',
        'do',
        '-s',
        size,
        underlay.plan.vtepAddress(2),
      ],
      netns: namespacePath(underlay.namespaceOf('h1')),
    })
  })

  it('runs containers inside the control group of the host', async () => {
    assert.equal(
      (
        await engine(
          'h1',
          'POST',
          '/images/create?fromSrc=-&repo=tiny&tag=1',
          await busyboxRootTar(),
        )
      ).status,
      200,
    )
    const created = await engine('h1', 'POST', '/containers/create', {
      Image: 'tiny:1',
      Cmd: ['/bin/sleep', '3600'],
      HostConfig: { NetworkMode: 'none' },
    })
    containerId = (JSON.parse(created.body) as { Id: string }).Id // proof: Engine API 1.41
    assert.equal((await engine('h1', 'POST', `/containers/${containerId}/start`)).status, 204)
    const { Pid } = await containerState()
    assert.ok(cgroups.processes('h1').includes(Pid))
    assert.match(readFileSync(`/proc/${Pid}/cgroup`, 'utf8'), new RegExp(`/${home.id}/h1/`))
  })

  it('gets its switch back after it was killed, with the address for tunnels', async () => {
    await killProgram('h1-ovs-vswitchd')
    await waitUntil(
      'h1 reaches h2 again',
      () => isReachable('h1', underlay.plan.vtepAddress(2)),
      SOON,
    )
    await killProgram('h1-ovsdb-server')
    assert.ok(await isReachable('h1', underlay.plan.vtepAddress(2)))
  })

  it('keeps its containers when the container engine, or its runtime, was killed', async () => {
    const before = await containerState()
    await killProgram('h1-dockerd')
    await killProgram('h1-containerd')
    await waitUntil(
      'the engine knows its container again',
      async () => (await containerState()).Running,
      SOON,
    )
    assert.deepEqual((await containerState()).Pid, before.Pid)
    const isManaged = async (): Promise<boolean> =>
      (await engine('h1', 'GET', `/containers/${containerId}/top`)).body.includes('sleep')
    await waitUntil('the engine reaches its container again', isManaged, SOON)
  })

  it('can have its cables pulled, one or both, and plugged in again', async () => {
    const { plan } = underlay
    await host('h1').cut(['data'])
    assert.equal(await isReachable('h1', plan.vtepAddress(2)), false)
    assert.ok(await isReachable('h1', plan.serverAddress))
    await host('h1').cut(['mgmt', 'data'])
    assert.equal(await isReachable('h1', plan.serverAddress), false)
    assert.deepEqual(host('h1').cutCables, ['data', 'mgmt'])
    await host('h1').heal()
    await waitUntil('h1 is back', () => isReachable('h1', plan.vtepAddress(2)), SOON)
    assert.ok(await isReachable('h1', plan.serverAddress))
  })

  it('is dead and gone when powered off, and has its disk again when powered on', async () => {
    const { Pid } = await containerState()
    const { disk, run: runFolder, bootIdFile } = home.host('h1')
    const bootId = readFileSync(bootIdFile, 'utf8')
    const shims = readdirSync('/run/containerd/s')
    await host('h1').powerOff()
    assert.equal(findProcess(Pid), undefined)
    assert.equal(cgroups.exists('h1'), false)
    assert.deepEqual(namespacesOf(home.id).toSorted(), [`${home.id}-h2`, `${home.id}-ul`])
    assert.deepEqual(mountsBelow(readFileSync('/proc/self/mountinfo', 'utf8'), disk), [])
    assert.equal(existsSync(runFolder), false)
    const gone = shims.filter((name) => !existsSync(join('/run/containerd/s', name)))
    assert.ok(gone.length >= 1, "the socket of the container's shim is left")
    await assert.rejects(host('h1').cut(['data']), /switched off/)
    assert.ok(
      await isReachable('h2', underlay.plan.serverAddress),
      'the other host was not touched',
    )

    await host('h1').powerOn()
    assert.notEqual(readFileSync(bootIdFile, 'utf8'), bootId)
    assert.equal((await containerState()).Running, false)
    assert.equal((await engine('h1', 'POST', `/containers/${containerId}/start`)).status, 204)
    await waitUntil('h1 reaches h2', () => isReachable('h1', underlay.plan.vtepAddress(2)), SOON)
  })
})
