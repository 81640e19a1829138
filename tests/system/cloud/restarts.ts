import assert from 'node:assert/strict'
import { after, before, describe, it, type TestContext } from 'node:test'
import type { SetView } from '@nubo/contracts'
import { unpackCookie } from '@nubo/datapath'
import { run, signalProcess } from '@nubo/runtime'
import { LAST_SENT_MAX, Pings } from '../../support/pings.ts'
import { SERVE, type Tenant } from '../../support/tenant.ts'
import type { TestCloud } from '../../support/test-cloud.ts'
import { waitUntil } from '../../support/wait.ts'

const bridgeOf = (cloud: TestCloud, host: string): string =>
  `unix:${cloud.lab.home.host(host).run}/br-int.mgmt`

/** The round of a flow that nobody of us made. */
const FOREIGN = -1

/** The rounds whose flows the switch of a host has now. */
async function roundsOf(cloud: TestCloud, host: string): Promise<number[]> {
  const bridge = bridgeOf(cloud, host)
  const { stdout } = await run({ argv: ['ovs-ofctl', '-O', 'OpenFlow15', 'dump-flows', bridge] })
  const cookies = [...stdout.matchAll(/cookie=0x([0-9a-f]+)/g)].map(([, hex]) => BigInt(`0x${hex}`))
  const rounds = new Set(cookies.map((cookie) => unpackCookie(cookie)?.round ?? FOREIGN))
  return [...rounds].toSorted((a, b) => a - b)
}

export function restarts(cloudOf: () => TestCloud): void {
  describe('what runs on a host', () => {
    let cloud: TestCloud
    let tenant: Tenant
    let sets: SetView[]
    let near: SetView
    let far: SetView
    before(async () => {
      cloud = cloudOf()
      tenant = await cloud.tenant('restarts')
      await tenant.network('net', '10.0.0.0/16', { front: '10.0.1.0/24', back: '10.0.2.0/24' })
      sets = await Promise.all([
        tenant.run({ name: 'near', network: 'net', subnet: 'front', host: 'h1', command: SERVE }),
        tenant.run({ name: 'beside', network: 'net', subnet: 'front', host: 'h1', command: SERVE }),
        tenant.run({ name: 'far', network: 'net', subnet: 'back', host: 'h2', command: SERVE }),
      ])
      near = sets[0] ?? assert.fail()
      far = sets[2] ?? assert.fail()
    })
    after(async () => {
      await cloud.restore()
      await tenant.clear()
    })

    /** A flow that the agent takes away when it compares the switch with what is wanted. */
    const addForeignFlow = async (): Promise<void> => {
      const flow = 'table=0,priority=1,cookie=0x1,in_port=999,actions=drop'
      const bridge = bridgeOf(cloud, 'h1')
      await run({ argv: ['ovs-ofctl', '-O', 'OpenFlow15', 'add-flow', bridge, flow] })
    }

    /** To the set on h1 and from it, to a set beside it and to one on another host. */
    const startPings = async (t: TestContext): Promise<Pings[]> => {
      const [from, to] = await Promise.all([cloud.netnsOf(near), cloud.netnsOf(far)])
      const beside = sets[1]?.address ?? ''
      const pings = [
        new Pings(t, from, far.address),
        new Pings(t, from, beside),
        new Pings(t, to, near.address),
      ]
      await Promise.all(pings.map((one) => one.answered(50)))
      return pings
    }
    // A name of its own for each, so that one test that fails does not fail those behind it.
    let lateSets = 0
    const latest = (): string => `late-${lateSets}`
    const late = (): string => {
      lateSets++
      return latest()
    }
    const containers = () => Promise.all(sets.map((set) => cloud.containersOf(set)))
    const allRun = async (): Promise<void> => {
      for (const { name } of sets) await tenant.isRunning(name)
    }

    for (const [signal, how] of [
      ['SIGKILL', 'the agent is killed'],
      ['SIGTERM', 'the agent is told to end'],
    ] as const) {
      it(`${how} and the next one brings the next round of flows: no ping is lost, nothing started`, async (t) => {
        const before = await containers()
        const round = Math.max(...(await roundsOf(cloud, 'h1')))
        await addForeignFlow()
        const pings = await startPings(t)
        const pid = await cloud.pidOf('h1-agent')
        signalProcess(pid, signal)
        await cloud.runsAgain('h1-agent', pid)
        await waitUntil(
          () => roundsOf(cloud, 'h1'),
          (rounds) => !rounds.includes(FOREIGN),
          {
            what: 'the new agent has compared the switch with what is wanted',
          },
        )
        await Promise.all(pings.map((one) => one.answered(LAST_SENT_MAX)))
        for (const result of await Promise.all(pings.map((one) => one.stop())))
          assert.equal(result.lost, 0, `${result.lost} of ${result.sent} pings were lost`)
        // After the pings: at each change of a link beside it the userspace switch forgets its tunnels for a moment.
        await tenant.run({ name: late(), network: 'net', subnet: 'front', host: 'h1' })
        assert.ok(Math.max(...(await roundsOf(cloud, 'h1'))) > round)
        await tenant.remove(latest())
        await cloud.hostIs('h1', 'ready')
        await allRun()
        assert.deepEqual(await containers(), before)
      })
    }

    for (const program of ['ovs-vswitchd', 'ovsdb-server'] as const) {
      it(`${program} is killed: flows return, pings resume, nothing is started`, async (t) => {
        const before = await containers()
        const pings = await startPings(t)
        await cloud.killAndReturn(`h1-${program}`)
        await waitUntil(
          () => roundsOf(cloud, 'h1').catch(() => []),
          (rounds) => rounds.length > 0,
        )
        await Promise.all(pings.map((one) => one.answered(100)))
        await Promise.all(pings.map((one) => one.stop()))
        await allRun()
        assert.deepEqual(await containers(), before)
        assert.match(await tenant.fetch('far', near.address), /Hello from a set/)
        // The switch takes changes as before.
        const another = await tenant.run({
          name: late(),
          network: 'net',
          subnet: 'front',
          host: 'h1',
        })
        assert.ok(await tenant.reaches('far', another.address))
        await tenant.remove(another.name)
      })
    }

    for (const program of ['dockerd', 'containerd'] as const) {
      it(`${program} is killed: containers survive, no ping is lost, and they are adopted`, async (t) => {
        const before = await containers()
        const pings = await startPings(t)
        await cloud.killAndReturn(`h1-${program}`)
        if (program === 'containerd')
          await waitUntil(
            () => containers().catch(() => []),
            (all) => all.length > 0,
          )
        await allRun()
        const another = await tenant.run({
          name: late(),
          network: 'net',
          subnet: 'front',
          host: 'h1',
        })
        assert.ok(await tenant.reaches('far', another.address))
        for (const result of await Promise.all(pings.map((one) => one.stop())))
          assert.equal(result.lost, 0, `${result.lost} of ${result.sent} pings were lost`)
        await tenant.remove(another.name)
        assert.deepEqual(await containers(), before)
        assert.equal((await tenant.exec('near', ['true'])).exitCode, 0)
        // An end that nobody was told is seen: the crash of a container after all this.
        const main = await cloud.container(near, 'main')
        signalProcess(main.pid, 'SIGKILL')
        const restarts = near.containers[0]?.restarts ?? 0
        near = await tenant.waitSet(
          'near',
          ({ state, containers: [one] }) => state === 'running' && (one?.restarts ?? 0) > restarts,
        )
      })
    }
  })
}
