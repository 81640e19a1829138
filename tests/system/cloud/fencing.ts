import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import type { SetView } from '@nubo/contracts'
import { SERVE, type Tenant } from '../../support/tenant.ts'
import type { TestCloud } from '../../support/test-cloud.ts'
import { waitUntil } from '../../support/wait.ts'
import { tellsWitness, Witness } from '../../support/witness.ts'

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

    /** Sets on h3, which may be anywhere later. */
    const runMobile = async (...names: string[]): Promise<SetView[]> => {
      const sets = await cloud.placing('h3', () =>
        Promise.all(
          names.map((name) =>
            tenant.run({ name, network: 'net', command: SERVE, recovery: 'elsewhere' }),
          ),
        ),
      )
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

    for (const { isHeard, how } of [
      {
        isHeard: false,
        how: 'a host that is cut off, alive and not under power control: it stops them itself before they run elsewhere, as a third place hears',
      },
      {
        isHeard: true,
        how: 'a host that only the servers do not hear: it stops them just so, and is fenced once it has told its neighbours, but never switched off',
      },
    ]) {
      it(how, async (t) => {
        await cloud.lab.up() // every host under power control
        if (!isHeard) await cloud.operator.hostPowerClear({ params: { id: 'h3' } })
        const client = await tenant.show('client')
        const witness = await Witness.start(t, await cloud.netnsOf(client))
        const name = isHeard ? 'heard' : 'unheard'
        const command = tellsWitness(client.address)
        const set = await cloud.placing('h3', () =>
          tenant.run({ name, network: 'net', command, recovery: 'elsewhere' }),
        )
        await witness.hears(20)
        // Guests of it and of others still reach each other: what runs on is heard.
        await cloud.lab.cut('h3', ['mgmt'])
        if (!isHeard) await cloud.cutProbes('h3')
        await cloud.hostIs('h3', 'unreachable')
        await witness.hears(20)
        const now = await waitUntil(
          async () => {
            // Looked at in this order: whatever runs elsewhere now had stopped here before.
            const elsewhere = await tenant.show(name)
            const here = await cloud.containersOf(set)
            if (elsewhere.host !== 'h3' && elsewhere.host !== null)
              assert.deepEqual(here, [], 'it was placed again while it ran on h3')
            return elsewhere
          },
          ({ state, host }) => state === 'running' && host !== 'h3',
          { timeoutMs: LONG_MS, what: 'it runs on another host' },
        )
        assert.deepEqual([now.address, now.epoch], [set.address, set.epoch + 1])
        const { state, fence } = await cloud.operator.hostShow({ params: { id: 'h3' } })
        assert.deepEqual(
          [state, fence?.by, fence?.power],
          ['fenced', 'lease', isHeard ? 'on' : 'none'],
        )
        const told = new Set(fence?.neighbours.map(({ answer, lease }) => `${answer} ${lease}`))
        assert.deepEqual([...told], [isHeard ? 'heard ended' : 'silence null'])
        await witness.hears(20)
        assert.equal(witness.runs.length, 2, `one after the other: ${witness.runs.join(' ')}`)
        t.diagnostic(`nobody was heard for ${witness.silencesMs().map(Math.round).join()} ms`)

        await cloud.restore()
        assert.deepEqual(await cloud.containersOf(set), [])
        await witness.hears(20)
        assert.equal(witness.runs.length, 2, 'it has not come to life again on h3')
        await tenant.remove(name)
      })
    }
  })
}
