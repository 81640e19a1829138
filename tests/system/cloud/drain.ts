import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { SERVE, type Tenant } from '../../support/tenant.ts'
import type { TestCloud } from '../../support/test-cloud.ts'
import { waitUntil } from '../../support/wait.ts'

const LONG_MS = 90_000
const IGNORES_TERM = ['sh', '-c', 'trap "" TERM; while :; do sleep 1; done']
const STOP_TIMEOUT_MS = 3_000

/** A host is emptied, with real engines. */
export function drain(cloudOf: () => TestCloud): void {
  describe('drain', () => {
    let cloud: TestCloud
    let tenant: Tenant
    before(async () => {
      cloud = cloudOf()
      tenant = await cloud.tenant('drain')
      await tenant.network('net', '10.0.0.0/16', { front: '10.0.1.0/24' })
      await tenant.run({ name: 'client', network: 'net', host: 'h2' })
    })
    beforeEach(() => cloud.restore())
    after(async () => {
      await cloud.operator.hostUncordon({ params: { id: 'h1' } })
      await cloud.restore()
      await tenant.clear()
    })

    it('a set that ignores SIGTERM and one that serves move; neither has containers on two hosts, and addresses stay', async () => {
      const { operator } = cloud
      for (const id of ['h2', 'h3']) await operator.hostCordon({ params: { id } })
      const served = await tenant.run({ name: 'served', network: 'net', command: SERVE })
      const containers = [
        {
          name: 'main',
          image: 'busybox',
          command: IGNORES_TERM,
          stopTimeoutMs: STOP_TIMEOUT_MS,
        },
      ]
      const deaf = await tenant.run({ name: 'deaf', network: 'net', containers })
      for (const id of ['h2', 'h3']) await operator.hostUncordon({ params: { id } })
      assert.deepEqual([served.host, deaf.host], ['h1', 'h1'])

      const begun = await operator.hostDrain({ params: { id: 'h1' } })
      const told: string[] = []
      const ended = await waitUntil(
        async () => {
          const operation = await operator.operationShow({ params: { id: begun.id } })
          told.push(operation.progress)
          // Looked at in this order: whatever has another host by now had left this one before.
          const now = await tenant.show('deaf')
          if (now.host !== null && now.host !== 'h1')
            assert.deepEqual(await cloud.containersOf(deaf), [], 'it is placed and still on h1')
          return operation
        },
        ({ endedAtMs }) => endedAtMs !== null,
        { timeoutMs: LONG_MS, what: 'h1 is drained' },
      )
      assert.equal(ended.state, 'done', JSON.stringify(ended))
      assert.equal(ended.progress, '2 of 2 moved')
      assert.ok(
        told.some((text) => text.includes('deaf stops on h1')),
        told.join('\n'),
      )
      for (const set of [served, deaf]) {
        const now = await tenant.isRunning(set.name, LONG_MS)
        assert.deepEqual([now.address, now.epoch], [set.address, set.epoch + 1])
        assert.notEqual(now.host, 'h1')
        assert.deepEqual(await cloud.containersOf(set), [], 'nothing of it is left on h1')
      }
      assert.match(await tenant.fetch('client', served.address), /Hello from a set/)
    })
  })
}
