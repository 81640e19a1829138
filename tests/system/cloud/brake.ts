import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import type { SetView } from '@nubo/contracts'
import { runProgram } from '../../support/program.ts'
import { SERVE, type Tenant } from '../../support/tenant.ts'
import type { TestCloud } from '../../support/test-cloud.ts'
import { waitUntil } from '../../support/wait.ts'

const LONG_MS = 60_000
/** A whole rack, and two of the three hosts of the zone. */
const LOST = ['h1', 'h3'] as const

/** So much is cut off at once that it may be the servers that are. */
export function brake(cloudOf: () => TestCloud): void {
  describe('the brake', () => {
    let cloud: TestCloud
    let tenant: Tenant
    before(async () => {
      cloud = cloudOf()
      await cloud.restore()
      await cloud.lab.up() // every host under power control: nothing but the brake keeps them from being switched off
      tenant = await cloud.tenant('brake')
      await tenant.network('net', '10.0.0.0/16', { front: '10.0.1.0/24' })
    })
    after(async () => {
      await cloud.restore()
      await tenant.clear()
    })

    it('holds when most hosts are cut off: nothing is switched off or moved, and it says so; with the cables in again all is as before', async (t) => {
      const sets: SetView[] = []
      for (const host of LOST)
        sets.push(
          ...(await cloud.placing(host, () =>
            Promise.all(
              (['local', 'elsewhere'] as const).map((recovery) =>
                tenant.run({
                  name: `${recovery}-${host}`,
                  network: 'net',
                  command: SERVE,
                  recovery,
                }),
              ),
            ),
          )),
        )
      assert.deepEqual(
        sets.map(({ host }) => host),
        ['h1', 'h1', 'h3', 'h3'],
      )
      const places = (all: readonly SetView[]): unknown =>
        all.map(({ name, host, epoch, address }) => [name, host, epoch, address])
      const shown = (): Promise<SetView[]> => Promise.all(sets.map(({ name }) => tenant.show(name)))
      for (const host of LOST) await cloud.lab.cut(host)

      for (const id of LOST)
        // With all that would fence it: both signs, and a power that could be switched off.
        await waitUntil(
          () => cloud.operator.hostShow({ params: { id } }),
          ({ state, fence, reason }) =>
            state === 'unreachable' &&
            fence?.step === 'held' &&
            fence.power === 'on' &&
            fence.neighbours.some((one) => one.host === 'h2' && one.answer === 'silence') &&
            reason?.text.includes('2 of 3 hosts of zone zone-1 were lost at once') === true,
          { timeoutMs: LONG_MS, what: `${id} is held` },
        )
      const { items } = await cloud.operator.brakeList()
      assert.deepEqual(
        items.map(({ name, hosts }) => [name, hosts]),
        [['zone zone-1', [...LOST]]],
      )
      const { stdout, stderr } = await nubo(t, cloud, 'host', 'ls')
      assert.match(stderr, /BRAKE since .*: 2 of 3 hosts of zone zone-1 were lost at once/)
      assert.match(stdout, /h1 +unreachable/)
      assert.match((await cloud.status()).brakes?.[0]?.text ?? '', /2 of 3 hosts/)
      assert.deepEqual(places(await shown()), places(sets))
      // What is new goes where hosts are well.
      assert.equal((await tenant.run({ name: 'new', network: 'net' })).host, 'h2')
      const powers = (await cloud.status()).hosts.map(({ power }) => power)
      assert.deepEqual([...new Set(powers)], ['on'], 'nothing was switched off')

      await cloud.restore()
      await waitUntil(
        () => cloud.operator.brakeList(),
        (list) => list.items.length === 0,
        { what: 'the brake is off' },
      )
      for (const { name } of sets) await tenant.isRunning(name)
      assert.deepEqual(places(await shown()), places(sets), 'nothing has moved')
      // Nor does an order come late, by what was seen of a host while it was cut off.
      await cloud.beats('h3', 3)
      const after = await cloud.status()
      assert.deepEqual(after.brakes, [])
      assert.deepEqual(
        after.hosts.map(({ power, state }) => `${power} ${state}`),
        ['on ready', 'on ready', 'on ready'],
      )
    })
  })
}

/** The command line, as an operator has it. */
async function nubo(
  t: TestContext,
  cloud: TestCloud,
  ...args: string[]
): Promise<{ stdout: string; stderr: string }> {
  const home = mkdtempSync(join(tmpdir(), 'nt-cli-'))
  t.after(() => rmSync(home, { recursive: true, force: true }))
  const { servers, token } = cloud.lab.access()
  const printed = await runProgram(home, args, {
    NUBO_SERVERS: servers.join(','),
    NUBO_TOKEN: token,
  })
  assert.equal(printed.code, 0, printed.stderr)
  return printed
}
