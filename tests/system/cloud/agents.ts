import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it, type TestContext } from 'node:test'
import type { Host, SetView } from '@nubo/contracts'
import { signalProcess } from '@nubo/runtime'
import { SERVE, type Tenant } from '../../support/tenant.ts'
import type { TestCloud } from '../../support/test-cloud.ts'
import { waitUntil } from '../../support/wait.ts'
import { tellsWitness, Witness } from '../../support/witness.ts'

const LONG_MS = 90_000
/** Pauses before restarts double from 0.2 s on, so that these last longer than four heartbeats, and not as long as a lease. */
const KILLS = 6

/** What becomes of a host whose agent has died, or dies again and again, while its containers run. */
export function agents(cloudOf: () => TestCloud): void {
  describe('the agent of a host', () => {
    let cloud: TestCloud
    let tenant: Tenant
    before(async () => {
      cloud = cloudOf()
      tenant = await cloud.tenant('agents')
      await tenant.network('net', '10.0.0.0/16', { front: '10.0.1.0/24' })
      await tenant.run({ name: 'client', network: 'net', host: 'h2' })
    })
    beforeEach(() => cloud.restore())
    after(async () => {
      await cloud.restore()
      await tenant.clear()
    })

    const host = (): Promise<Host> => cloud.operator.hostShow({ params: { id: 'h3' } })

    /** On h3 a set that stays there, and one that tells the witness that it lives and may run elsewhere. */
    const stage = async (
      t: TestContext,
      name: string,
    ): Promise<{ witness: Witness; mobile: SetView; local: SetView }> => {
      const client = await tenant.show('client')
      const witness = await Witness.start(t, await cloud.netnsOf(client))
      const command = tellsWitness(client.address)
      const [mobile, local] = await cloud.placing('h3', () =>
        Promise.all([
          tenant.run({ name: `${name}-mobile`, network: 'net', command, recovery: 'elsewhere' }),
          tenant.run({ name: `${name}-local`, network: 'net', command: SERVE }),
        ]),
      )
      assert.deepEqual([mobile.host, local.host], ['h3', 'h3'])
      await witness.hears(20)
      return { witness, mobile, local }
    }

    const serves = async (set: SetView): Promise<void> =>
      assert.match(await tenant.fetch('client', set.address), /Hello from a set/)

    const moved = async (set: SetView): Promise<void> => {
      const now = await tenant.waitSet(
        set.name,
        (one) => one.state === 'running' && one.host !== 'h3',
        LONG_MS,
      )
      assert.deepEqual([now.address, now.epoch], [set.address, set.epoch + 1])
    }

    it('dies for good and the power is not under control: the guard ends what may run elsewhere before that does, the rest serves on and is adopted', async (t) => {
      await cloud.operator.hostPowerClear({ params: { id: 'h3' } })
      const { witness, mobile, local } = await stage(t, 'alone')
      const before = await cloud.containersOf(local)
      await cloud.killAgentForGood('h3')
      await cloud.hostIs('h3', 'unreachable')
      await witness.hears(20)
      await moved(mobile)
      const lost = await host()
      assert.deepEqual([lost.state, lost.fence?.by], ['fenced', 'lease'])
      await witness.hears(20)
      assert.equal(witness.runs.length, 2, `one after the other: ${witness.runs.join(' ')}`)
      t.diagnostic(`nobody was heard for ${witness.silencesMs().map(Math.round).join()} ms`)
      const unknown = await tenant.show(local.name)
      assert.deepEqual([unknown.state, unknown.host], ['unknown', 'h3'])
      assert.match(unknown.reason?.text ?? '', /is fenced/)
      await serves(local)

      cloud.letAgentLive('h3')
      await cloud.restore()
      await tenant.isRunning(local.name)
      assert.deepEqual(await cloud.containersOf(local), before, 'it was adopted, not started')
      assert.deepEqual(await cloud.containersOf(mobile), [], 'nothing of it is left on h3')
      await witness.hears(20)
      assert.equal(witness.runs.length, 2, 'it has not come to life again on h3')
      await tenant.remove(mobile.name, local.name)
    })

    it('dies for good on a host under power control: the host is switched off, and only what may run elsewhere does', async (t) => {
      await cloud.lab.up() // every host under power control
      const { witness, mobile, local } = await stage(t, 'shot')
      await cloud.killAgentForGood('h3')
      await moved(mobile)
      const lost = await host()
      assert.deepEqual([lost.state, lost.fence?.by], ['fenced', 'power'])
      assert.equal((await cloud.status()).hosts.find(({ name }) => name === 'h3')?.power, 'off')
      await witness.hears(20)
      assert.equal(witness.runs.length, 2, `one after the other: ${witness.runs.join(' ')}`)

      cloud.letAgentLive('h3')
      await cloud.restore()
      const back = await tenant.isRunning(local.name, LONG_MS)
      assert.deepEqual([back.host, back.epoch, back.address], ['h3', local.epoch, local.address])
      await serves(local)
      await tenant.remove(mobile.name, local.name)
    })

    it('dies again and again: nothing that runs is touched, moved or started anew', async (t) => {
      await cloud.operator.hostPowerClear({ params: { id: 'h3' } })
      const { witness, mobile, local } = await stage(t, 'loop')
      const containers = (): Promise<unknown> =>
        Promise.all([mobile, local].map((set) => cloud.containersOf(set)))
      const before = await containers()
      for (let kill = 0; kill < KILLS; kill += 1) {
        await cloud.killAndReturn('h3-agent')
        await serves(local)
      }
      await cloud.restore()
      for (const set of [mobile, local]) {
        const now = await tenant.isRunning(set.name, LONG_MS)
        assert.deepEqual([now.host, now.epoch], ['h3', set.epoch])
      }
      assert.deepEqual(await containers(), before)
      await witness.hears(20)
      assert.equal(witness.runs.length, 1, 'it has run without a break')
      await waitUntil(host, ({ state, fence }) => state === 'ready' && fence === null)
      await tenant.remove(mobile.name, local.name)
    })

    it('lives, but nothing would end its sets if it did not: a host that is cut off then waits for an operator, and nothing of it moves', async (t) => {
      await cloud.operator.hostPowerClear({ params: { id: 'h3' } })
      const { witness, mobile, local } = await stage(t, 'unguarded')
      const guard = await cloud.pidOf('h3-guard')
      signalProcess(guard, 'SIGSTOP')
      try {
        await waitUntil(host, ({ stopsWithinMs }) => stopsWithinMs === null, {
          timeoutMs: LONG_MS,
          what: 'the host says that it guarantees nothing',
        })
        await cloud.lab.cut('h3', ['mgmt'])
        await cloud.cutProbes('h3')
        const blocked = await waitUntil(
          host,
          ({ state, fence }) => state === 'unreachable' && fence?.step === 'blocked',
          { timeoutMs: LONG_MS, what: 'it says that nothing proves its end' },
        )
        assert.match(blocked.reason?.text ?? '', /Nothing on it guarantees that its sets stop/)
        assert.match(blocked.reason?.text ?? '', /nubo host fence h3 --confirm-off/)
      } finally {
        signalProcess(guard, 'SIGCONT')
      }
      await cloud.restore()
      for (const set of [mobile, local]) {
        const now = await tenant.isRunning(set.name, LONG_MS)
        assert.deepEqual([now.host, now.epoch], ['h3', set.epoch])
      }
      await waitUntil(host, ({ stopsWithinMs }) => stopsWithinMs !== null, {
        timeoutMs: LONG_MS,
        what: 'its guarantee is back',
      })
      await witness.hears(20)
      await tenant.remove(mobile.name, local.name)
    })
  })
}
