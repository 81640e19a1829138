import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { SetView } from '@nubo/contracts'
import { signalProcess } from '@nubo/runtime'
import { SERVE, type Tenant } from '../../support/tenant.ts'
import type { TestCloud } from '../../support/test-cloud.ts'
import { tellsWitness, Witness } from '../../support/witness.ts'

/** A lease lasts 30 s, and what the host guarantees after it 8 s; the proof of it takes some more. */
const MOVED_TIMEOUT_MS = 90_000

export function leases(cloudOf: () => TestCloud): void {
  describe('the lease of a host', () => {
    let cloud: TestCloud
    let tenant: Tenant
    before(async () => {
      cloud = cloudOf()
      tenant = await cloud.tenant('leases')
      // A host that hangs like this would be switched off, and with it what runs on.
      await cloud.operator.hostPowerClear({ params: { id: 'h1' } })
      await tenant.network('net', '10.0.0.0/16', { front: '10.0.1.0/24' })
    })
    after(async () => {
      await cloud.restore()
      await tenant.clear()
    })

    it('ends its `elsewhere` sets though agent and container engine hang, before they run elsewhere; `local` ones run on, and what hung comes back clean', async (t) => {
      const client = await tenant.run({ name: 'client', network: 'net', host: 'h2' })
      const witness = await Witness.start(t, await cloud.netnsOf(client))
      const command = tellsWitness(client.address)
      const [moving, staying] = await cloud.placing('h1', () =>
        Promise.all([
          tenant.run({ name: 'moving', network: 'net', command, recovery: 'elsewhere' }),
          tenant.run({ name: 'staying', network: 'net', command: SERVE }),
        ]),
      )
      assert.deepEqual([moving.host, staying.host], ['h1', 'h1'])
      const pidOf = async (set: SetView): Promise<number> =>
        (await cloud.container(set, 'main')).pid
      const [movingPid, stayingPid] = [await pidOf(moving), await pidOf(staying)]
      await witness.hears(20)
      const hung = await Promise.all(['h1-agent', 'h1-dockerd'].map((name) => cloud.pidOf(name)))
      for (const pid of hung) signalProcess(pid, 'SIGSTOP')
      try {
        await tenant.waitSet(
          'moving',
          ({ state, host }) => state === 'running' && host !== 'h1',
          MOVED_TIMEOUT_MS,
        )
        assert.ok(!isAlive(movingPid) && isAlive(stayingPid))
        await witness.hears(20)
      } finally {
        for (const pid of hung) signalProcess(pid, 'SIGCONT')
      }
      await cloud.hostIs('h1', 'ready')
      await tenant.isRunning('staying')
      assert.equal(await pidOf(staying), stayingPid)
      assert.deepEqual(await cloud.containersOf(moving), [])
      await witness.hears(20)
      assert.equal(witness.runs.length, 2, `one after the other: ${witness.runs.join(' ')}`)
      t.diagnostic(`nobody was heard for ${witness.silencesMs().map(Math.round).join()} ms`)
    })
  })
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
