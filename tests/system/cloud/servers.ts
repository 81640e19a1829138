import assert from 'node:assert/strict'
import { renameSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { after, before, describe, it } from 'node:test'
import { hasEnded } from '@nubo/client'
import { signalProcess } from '@nubo/runtime'
import { Pings } from '../../support/pings.ts'
import { SERVE, type Tenant } from '../../support/tenant.ts'
import type { TestCloud } from '../../support/test-cloud.ts'
import { waitUntil } from '../../support/wait.ts'

const CREATES = 40
/** The servers stay away at least so long; what is shown does not depend on how long it is. */
const OUTAGE_MS = 10_000
const servers = ['s1', 's2'] as const

/** Keeps the servers from coming back: without its configuration none starts. */
function setServersAside(cloud: TestCloud, aside: boolean): void {
  for (const name of servers) {
    const file = cloud.lab.home.serverConfig(name)
    if (aside) renameSync(file, `${file}.aside`)
    else renameSync(`${file}.aside`, file)
  }
}

export function serverFaults(cloudOf: () => TestCloud): void {
  describe('servers', () => {
    let cloud: TestCloud
    let tenant: Tenant
    before(async () => {
      cloud = cloudOf()
      tenant = await cloud.tenant('servers')
      await tenant.network('net', '10.0.0.0/16', { front: '10.0.1.0/24' })
    })
    after(async () => {
      await cloud.restore()
      await tenant.clear()
    })

    it('kill -9 of one during 40 creates: what was acknowledged exists once, no address twice, all ends', async () => {
      const names = Array.from({ length: CREATES }, (_, index) => `many-${index}`)
      const pid = await cloud.pidOf('server-s1')
      let acknowledged = 0
      const results = await Promise.allSettled(
        names.map(async (name) => {
          const operation = await tenant.create({ name, network: 'net', memoryBytes: 8 * 2 ** 20 })
          if (++acknowledged === CREATES / 4) signalProcess(pid, 'SIGKILL')
          return operation
        }),
      )
      const operations = results.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
      assert.ok(operations.length >= CREATES / 4, `acknowledged: ${operations.length}`)
      for (const operation of operations) {
        const ended = await tenant.ended(operation)
        assert.equal(ended.state, 'done', JSON.stringify(ended))
      }
      await cloud.runsAgain('server-s1', pid)

      const sets = await tenant.client.listAll('setList')
      const ports = await tenant.client.listAll('portList')
      for (const { resource } of operations)
        assert.equal(
          sets.filter(({ id, name }) => id === resource.id && name === resource.name).length,
          1,
        )
      assert.equal(new Set(sets.map(({ name }) => name)).size, sets.length)
      assert.equal(new Set(ports.map(({ address }) => address)).size, ports.length)
      const binding = ports.map((port) =>
        port.binding?.kind === 'set' ? port.binding.setId : null,
      )
      assert.equal(binding.length, sets.length)
      assert.deepEqual(new Set(binding), new Set(sets.map(({ id }) => id)))
      // One that was made although its answer was lost must come to its end as well.
      await waitUntil(
        () => tenant.client.listAll('operationList'),
        (all) => all.every(hasEnded),
        { timeoutMs: 60_000, what: 'all operations end' },
      )
      const running = (await Promise.all(sets.map((set) => cloud.containersOf(set)))).map(
        (found) => found.length,
      )
      assert.deepEqual(new Set(running), new Set([2]), 'each set has its two containers once')
      await tenant.clear()
      assert.deepEqual(await tenant.client.listAll('portList'), [])
    })

    it('with all of them down everything goes on; when they return nothing is made anew', async (t) => {
      const [, , far] = await Promise.all([
        tenant.run({ name: 'w1', network: 'net', host: 'h1', command: SERVE }),
        tenant.run({ name: 'w2', network: 'net', host: 'h2', command: SERVE }),
        tenant.run({ name: 'w3', network: 'net', host: 'h3', command: SERVE }),
      ])
      const sets = await Promise.all(['w1', 'w2', 'w3'].map((name) => tenant.show(name)))
      const containers = () => Promise.all(sets.map((set) => cloud.containersOf(set)))
      const before = await containers()
      const pings = new Pings(t, await cloud.netnsOf(sets[0] ?? assert.fail()), far.address)
      await pings.answered(20)

      setServersAside(cloud, true)
      const startedMs = performance.now()
      try {
        for (const name of servers) await cloud.kill(`server-${name}`)
        await pings.answered(100)

        const crashed = before[0]?.find(({ name }) => name === 'main') ?? assert.fail()
        signalProcess(crashed.pid, 'SIGKILL')
        const [first] = await waitUntil(
          containers,
          ([found]) => found?.length === 2 && found.every(({ pid }) => pid !== crashed.pid),
          { what: 'the crashed container runs again' },
        )
        assert.deepEqual(
          first?.map(({ id }) => id),
          before[0]?.map(({ id }) => id),
          'its set was not made anew',
        )

        await cloud.killAndReturn('h2-agent')
        // What the new agent does, it does in its first moments; it cannot be asked without a server.
        await pings.answered(200)
        assert.deepEqual((await containers()).slice(1), before.slice(1))
        await sleep(Math.max(0, OUTAGE_MS - (performance.now() - startedMs)))
      } finally {
        setServersAside(cloud, false)
      }
      const atReturn = await containers()
      await cloud.restore()
      await tenant.waitSet(
        'w1',
        ({ state, containers: [main] }) => state === 'running' && main?.restarts === 1,
      )
      assert.deepEqual(await containers(), atReturn)
      const returned = await Promise.all(sets.map(({ name }) => tenant.isRunning(name)))
      assert.deepEqual(
        returned.map(({ containers: [main] }) => main?.restarts),
        [1, 0, 0],
      )
      assert.deepEqual(
        returned.map(({ address, host, epoch }) => [address, host, epoch]),
        sets.map(({ address, host, epoch }) => [address, host, epoch]),
      )
      const { sent, lost } = await pings.stop()
      assert.equal(lost, 0, `${lost} of ${sent} pings were lost`)
      await tenant.run({ name: 'w4', network: 'net', host: 'h2' })
    })
  })
}
