import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { SetView } from '@nubo/contracts'
import { signalProcess } from '@nubo/runtime'
import { SERVE, type Tenant } from '../../support/tenant.ts'
import type { TestCloud } from '../../support/test-cloud.ts'
import { waitUntil } from '../../support/wait.ts'

/** A lease lasts 30 s, and what the host guarantees after it 8 s. */
const ENDED_TIMEOUT_MS = 60_000

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

    it('ends its `elsewhere` sets though agent and container engine hang; `local` ones run on, and all come back', async () => {
      const common = { network: 'net', subnet: 'front', host: 'h1', command: SERVE }
      const moving = await tenant.run({ ...common, name: 'moving', recovery: 'elsewhere' })
      const staying = await tenant.run({ ...common, name: 'staying' })
      const pidOf = async (set: SetView): Promise<number> =>
        (await cloud.container(set, 'main')).pid
      const [movingPid, stayingPid] = [await pidOf(moving), await pidOf(staying)]
      const hung = await Promise.all(['h1-agent', 'h1-dockerd'].map((name) => cloud.pidOf(name)))
      for (const pid of hung) signalProcess(pid, 'SIGSTOP')
      try {
        await waitUntil(
          () => Promise.resolve(isAlive(movingPid)),
          (alive) => !alive,
          { timeoutMs: ENDED_TIMEOUT_MS, what: 'the set that may run elsewhere has ended' },
        )
        assert.ok(isAlive(stayingPid))
      } finally {
        for (const pid of hung) signalProcess(pid, 'SIGCONT')
      }
      await cloud.hostIs('h1', 'ready')
      await tenant.isRunning('moving')
      await tenant.isRunning('staying')
      assert.equal(await pidOf(staying), stayingPid)
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
