import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import type { SetView } from '@nubo/contracts'
import { SERVE, type Tenant } from '../../support/tenant.ts'
import type { TestCloud } from '../../support/test-cloud.ts'
import { waitUntil } from '../../support/wait.ts'

const LONG_MS = 90_000

/** What becomes of sets that may run elsewhere when their host dies or is cut off; with real engines. */
export function fencing(cloudOf: () => TestCloud): void {
  describe('fencing', () => {
    let cloud: TestCloud
    let tenant: Tenant
    before(async () => {
      cloud = cloudOf()
      tenant = await cloud.tenant('fencing')
      await tenant.network('net', '10.0.0.0/16', { front: '10.0.1.0/24' })
      await tenant.run({ name: 'client', network: 'net', host: 'h2' })
    })
    beforeEach(() => cloud.restore())
    after(async () => {
      await cloud.restore()
      await tenant.clear()
    })

    /** Sets of a group that stay off h2, so that they are on h1 and h3 only for as long as these live. */
    const runMobile = async (...names: string[]): Promise<SetView[]> => {
      await cloud.operator.hostCordon({ params: { id: 'h1' } })
      await cloud.operator.hostCordon({ params: { id: 'h2' } })
      const sets = await Promise.all(
        names.map((name) =>
          tenant.run({ name, network: 'net', command: SERVE, recovery: 'elsewhere' }),
        ),
      )
      await cloud.operator.hostUncordon({ params: { id: 'h1' } })
      await cloud.operator.hostUncordon({ params: { id: 'h2' } })
      assert.deepEqual([...new Set(sets.map(({ host }) => host))], ['h3'])
      return sets
    }

    const movedFrom = (set: SetView): Promise<SetView> =>
      waitUntil(
        () => tenant.show(set.name),
        ({ state, host }) => state === 'running' && host !== set.host,
        { timeoutMs: LONG_MS, what: `${set.name} runs on another host` },
      )

    it('a host that loses power: its sets serve from other hosts at their addresses; it returns without them', async () => {
      const sets = await runMobile('one', 'two')
      await cloud.lab.powerOff('h3')
      for (const set of sets) {
        const now = await movedFrom(set)
        assert.deepEqual([now.address, now.epoch], [set.address, set.epoch + 1])
        assert.equal(now.moved?.fromHost, 'h3')
        assert.match(await tenant.fetch('client', set.address), /Hello from a set/)
      }
      const dead = await cloud.operator.hostShow({ params: { id: 'h3' } })
      assert.deepEqual([dead.state, dead.fence?.by], ['fenced', 'power'])

      await cloud.lab.powerOn('h3')
      await cloud.hostIs('h3', 'ready')
      for (const set of sets) {
        assert.deepEqual(await cloud.containersOf(set), [], 'nothing of it is left on h3')
        assert.notEqual((await tenant.show(set.name)).host, 'h3', 'nothing moves back')
        assert.match(await tenant.fetch('client', set.address), /Hello from a set/)
      }
      await tenant.remove('one', 'two')
    })

    it('a host that is cut off and has no power control: it stops them itself, and only then they run elsewhere', async () => {
      await cloud.operator.hostPowerClear({ params: { id: 'h3' } })
      const [set] = await runMobile('three')
      assert.ok(set)
      await cloud.lab.cut('h3')
      const seen = { runsHere: true }
      const now = await waitUntil(
        async () => {
          // Looked at in this order: whatever runs elsewhere now had stopped here before.
          const elsewhere = await tenant.show('three')
          const here = await cloud.containersOf(set)
          seen.runsHere = here.length > 0
          if (elsewhere.host !== 'h3' && elsewhere.host !== null)
            assert.deepEqual(here, [], 'it was placed again while it ran on h3')
          return elsewhere
        },
        ({ state, host }) => state === 'running' && host !== 'h3',
        { timeoutMs: LONG_MS, what: 'three runs on another host' },
      )
      assert.deepEqual([now.address, now.epoch], [set.address, set.epoch + 1])
      const lost = await cloud.operator.hostShow({ params: { id: 'h3' } })
      assert.deepEqual([lost.state, lost.fence?.by], ['fenced', 'lease'])
      assert.match(await tenant.fetch('client', set.address), /Hello from a set/)

      await cloud.lab.heal('h3')
      await cloud.hostIs('h3', 'ready')
      assert.deepEqual(await cloud.containersOf(set), [])
      assert.match(await tenant.fetch('client', set.address), /Hello from a set/)
      await tenant.remove('three')
    })
  })
}
