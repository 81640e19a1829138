// Proves on a real database how a lost host is fenced, held, missed and taken back; with neighbours and power as told.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { isPlatformError, newId, type HostId } from '@nubo/base'
import type { HostPower } from '@nubo/contracts'
import { silentLog, systemClock, systemRandom } from '@nubo/runtime'
import { sql } from 'kysely'
import { FakePowerControl } from '../../../adapters/fake-power-control.ts'
import { waitUntil } from '../../../../tests/support/wait.ts'
import type { HostRow } from '../../../world/index.ts'
import { BRAKE_LIMITS_DEFAULT } from '../brake.ts'
import { leaseProvenEndedAfterMs } from '../lease.ts'
import type { Evacuation, NeighbourProbes } from '../needs.ts'
import { readLiveness, recordFenced } from '../liveness-store.ts'
import { engageBrake, setPower } from '../store.ts'
import {
  helloOf,
  joinHost,
  newSessionId,
  noFence,
  openServers,
  type FleetSurroundings,
  type TestServer,
} from '../testing/region.ts'
import { createFenceReconciler, type FenceReconciler } from './fence.ts'
import { SILENCE_MAX_MS, type LivenessReconciler } from './liveness.ts'

const STOPS_WITHIN_MS = 8_000
const powerOfTests: HostPower = {
  redfish: 'http://127.0.0.1:1/redfish/v1/Systems/1',
  user: 'u',
  certificateSha256: null,
}

type Word = 'silence' | 'alive' | 'idle' | undefined

/** A region with hosts h1, h2, …; what neighbours and controllers say is set by tests. */
class Stage {
  readonly server: TestServer
  readonly hosts: readonly { id: HostId; sessionId: string }[]
  readonly power: FakePowerControl
  readonly released: string[]
  /** What every neighbour says of h1. */
  word: { now: Word }
  readonly liveness: LivenessReconciler
  readonly #fence: FenceReconciler
  isFenceBroken = { now: false }

  private constructor(
    parts: Pick<Stage, 'server' | 'hosts' | 'power' | 'released' | 'word' | 'isFenceBroken'> & {
      surroundings: FleetSurroundings
    },
  ) {
    this.server = parts.server
    this.hosts = parts.hosts
    this.power = parts.power
    this.released = parts.released
    this.word = parts.word
    this.isFenceBroken = parts.isFenceBroken
    const { server } = this
    this.liveness = server.fleet.newLivenessReconciler()
    this.#fence = createFenceReconciler(
      {
        ...server,
        ...parts.surroundings,
        // Its timers do not know that this test's seconds pass in milliseconds.
        clock: {
          nowMs: () => server.clock.nowMs(),
          monotonicMs: () => server.clock.monotonicMs(),
          after: (_delayMs, fire) => server.clock.after(0, fire),
        },
        random: systemRandom,
        log: silentLog,
        brakeLimits: BRAKE_LIMITS_DEFAULT,
      },
      { liveness: this.liveness, onNews: () => undefined },
    )
  }

  static async open(
    context: TestContext,
    options: { hosts?: number; power?: boolean; stopsWithinMs?: number | null } = {},
  ): Promise<Stage> {
    const isOff = new Set<HostId>()
    const word: { now: Word } = { now: 'silence' }
    const released: string[] = []
    const isFenceBroken = { now: false }
    const probes: NeighbourProbes = {
      probe: (_neighbour, targets) =>
        Promise.resolve(
          word.now === undefined
            ? undefined
            : targets.map((target) => answer(target.hostId, word.now)),
        ),
    }
    const evacuation: Evacuation = {
      release: (_tx, _touched, { host }) => {
        if (isFenceBroken.now) return Promise.reject(new Error('planted'))
        released.push(host.name)
        return Promise.resolve()
      },
    }
    let power: FakePowerControl | undefined
    const surroundings = {
      probes,
      evacuation,
      power: {
        read: (host) => (power ?? assert.fail()).read(host),
        off: (host) => (power ?? assert.fail()).off(host),
        keepPassword: (id, password) => (power ?? assert.fail()).keepPassword(id, password),
      },
    } satisfies FleetSurroundings
    const [server] = await openServers(context, 1, undefined, surroundings)
    assert.ok(server)
    power = new FakePowerControl({
      clock: server.clock,
      isOn: (id) => !isOff.has(id),
      powerOff: async (id) => void isOff.add(id),
    })
    const hosts: { id: HostId; sessionId: string }[] = []
    for (let n = 1; n <= (options.hosts ?? 3); n++) {
      const { hostId } = await joinHost(server, `h${n}`)
      const sessionId = newSessionId()
      const hello = helloOf(hostId, {
        vtepAddress: `10.1.0.${n}`,
        probeAddress: `10.1.0.${n}:7444`,
        stopsWithinMs:
          options.stopsWithinMs === undefined ? STOPS_WITHIN_MS : options.stopsWithinMs,
      })
      await server.fleet.presence.connected(hostId, hello, { serverName: 's1', sessionId })
      if (options.power === true)
        await server.recorder.write((tx, touched) =>
          setPower(tx, touched, { hostId, power: powerOfTests }),
        )
      hosts.push({ id: hostId, sessionId })
    }
    return new Stage({ server, hosts, power, released, word, isFenceBroken, surroundings })
  }

  row(n = 1): HostRow {
    return this.server.world.host.get(this.hosts[n - 1]?.id) ?? assert.fail()
  }

  async arrive(n = 1): Promise<string> {
    const host = this.hosts[n - 1] ?? assert.fail()
    const sessionId = newSessionId()
    const hello = helloOf(host.id, {
      vtepAddress: `10.1.0.${n}`,
      probeAddress: `10.1.0.${n}:7444`,
      stopsWithinMs: STOPS_WITHIN_MS,
    })
    await this.server.fleet.presence.connected(host.id, hello, { serverName: 's1', sessionId })
    host.sessionId = sessionId
    return sessionId
  }

  /** Time passes in steps of a second; all hosts but the silent ones (by number) go on to be heard. */
  async pass(ms: number, silent: readonly number[] = [1]): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += 1_000) {
      this.server.clock.move(1_000)
      for (const [index, { id, sessionId }] of this.hosts.entries())
        if (!silent.includes(index + 1)) this.server.fleet.presence.heard(id, sessionId)
      await this.server.fleet.presence.stop()
      await this.liveness.pass()
      await this.#fence.pass()
      // Evidence is gathered in the background, on real timers.
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  async until(is: (row: HostRow) => boolean, silent: readonly number[] = [1]): Promise<HostRow> {
    return waitUntil(async () => {
      await this.pass(1_000, silent)
      return this.row()
    }, is)
  }
}

function answer(hostId: string, word: Word) {
  if (word === 'silence' || word === undefined) return { hostId, answer: null }
  const isIdle = word === 'idle'
  const lease = isIdle ? ('ended' as const) : ('lasts' as const)
  return { hostId, answer: { bootId: 'b', lease, elsewhereRunning: isIdle ? 0 : 2 } }
}

const isFenced = ({ state }: HostRow): boolean => state === 'fenced'
const hasStep = (step: string) => (row: HostRow) => row.fence?.step === step

test('with power control: silent, not heard, switched off, read as off twice, fenced; sets are released once', async (context) => {
  const stage = await Stage.open(context, { power: true })
  const row = await stage.until(isFenced)
  assert.equal(row.fence?.by, 'power')
  assert.deepEqual(stage.power.orders, [row.id])
  assert.deepEqual(stage.released, ['h1'])
  assert.equal(row.reason?.code, 'HOST_FENCED')
  assert.equal(stage.server.world.brake.size, 0)
  const { revision } = stage.server.world
  await stage.pass(10_000)
  assert.equal(stage.server.world.revision, revision, 'nothing more happens')
})

test('without power control: only once every lease has ended and what guards it has stopped everything', async (context) => {
  const stage = await Stage.open(context)
  await stage.until(hasStep('waiting-for-lease'))
  assert.match(
    stage.row().reason?.text ?? '',
    /Nothing was heard .* Neighbours: h2: silence, h3: silence.*at most 46 s/,
  )
  const bound = leaseProvenEndedAfterMs(STOPS_WITHIN_MS)
  const begun = stage.liveness.seenOf(stage.row().id)?.unchangedMs ?? 0
  assert.ok(begun < 20_000)
  await stage.pass(bound - begun - 3_000)
  assert.equal(stage.row().state, 'unreachable')
  const row = await stage.until(isFenced)
  assert.equal(row.fence?.by, 'lease')
  assert.deepEqual(stage.power.orders, [])
})

test('a host whose guard does not run, or that is in maintenance, waits for an operator and says so', async (context) => {
  const stage = await Stage.open(context, { stopsWithinMs: null })
  const row = await stage.until(hasStep('blocked'))
  assert.match(row.reason?.text ?? '', /lease guard did not run.*nubo host fence h1 --confirm-off/)
  await stage.pass(60_000)
  assert.equal(stage.row().state, 'unreachable')
  await stage.server.fleet.fencing.fence('h1', { confirmOff: true, force: false })
  assert.equal(stage.row().state, 'fenced')
  assert.equal(stage.row().fence?.by, 'operator')
  assert.deepEqual(stage.released, ['h1'])
})

test('a host that a neighbour hears is never switched off; a controller that calls it off is not believed', async (context) => {
  const stage = await Stage.open(context, { power: true })
  stage.word.now = 'alive'
  await stage.until(hasStep('blocked'))
  stage.power.setMood(stage.row().id, { at: 'lying', state: 'off' })
  const row = await stage.until(({ fence }) => /controller is wrong/.test(fence?.text ?? ''))
  await stage.pass(70_000)
  assert.equal(stage.row().state, 'unreachable', row.reason?.text)
  assert.deepEqual(stage.power.orders, [])
})

test('a controller that was caught lying is not believed when nobody can be asked any more', async (context) => {
  const stage = await Stage.open(context, { power: true })
  stage.word.now = 'alive'
  stage.power.setMood(stage.row().id, { at: 'lying', state: 'off' })
  await stage.until(({ fence }) => fence?.isPowerDoubted === true)
  stage.word.now = 'silence'
  const waiting = await stage.until(hasStep('waiting-for-lease'))
  assert.match(waiting.fence?.text ?? '', /so it is not believed/)
  assert.equal((await stage.until(isFenced)).fence?.by, 'lease')
})

test('a controller that died with its machine: the lease path', async (context) => {
  const stage = await Stage.open(context, { power: true })
  stage.power.setMood(stage.row().id, { at: 'dead' })
  const waiting = await stage.until(hasStep('waiting-for-lease'))
  assert.match(waiting.reason?.text ?? '', /Power: unknown.*gives no answer/)
  assert.equal((await stage.until(isFenced)).fence?.by, 'lease')
})

test('a controller that takes orders and does nothing proves nothing', async (context) => {
  const stage = await Stage.open(context, { power: true, stopsWithinMs: null })
  stage.power.setMood(stage.row().id, { at: 'lying', state: 'on' })
  await stage.until(() => stage.power.orders.length >= 2)
  assert.equal(stage.row().state, 'unreachable')
})

test('a release that fails undoes the fencing with it, and both are tried again', async (context) => {
  const stage = await Stage.open(context)
  stage.isFenceBroken.now = true
  await assert.rejects(stage.pass(90_000), /planted/)
  assert.equal(stage.row().state, 'unreachable')
  stage.isFenceBroken.now = false
  await stage.until(isFenced)
  assert.deepEqual(stage.released, ['h1'])
})

test('a host that returns while it is being fenced is not fenced', async (context) => {
  const stage = await Stage.open(context)
  await stage.until(({ state }) => state === 'unreachable')
  const { id } = stage.row()
  const record = (await readLiveness(stage.server.database.query)).get(id)
  const fencing = {
    hostId: id,
    record,
    fence: { ...noFence, by: 'lease' as const },
    reason: { code: 'HOST_FENCED', text: '' },
    atMs: 1,
  }
  const evacuation = { release: () => Promise.resolve() }
  const fence = () =>
    stage.server.recorder.write((tx, touched) => recordFenced(tx, touched, { fencing, evacuation }))
  let wasFenced = false
  for (let round = 0; round < 3; round++) {
    const [, fenced] = await Promise.all([stage.arrive(), fence()])
    wasFenced ||= fenced !== undefined
    // Whichever was first: a fenced host returns as such until it is clean, a host that was back is not fenced.
    assert.equal(stage.row().state, wasFenced ? 'returning' : 'ready')
  }
  await stage.arrive()
  assert.equal(await fence(), undefined)
})

test('what a leader decided before it was cut off is not recorded under the brake of the next one', async (context) => {
  const stage = await Stage.open(context)
  await stage.until(({ state }) => state === 'unreachable')
  const { id } = stage.row()
  const { recorder, database } = stage.server
  const record = (await readLiveness(database.query)).get(id)
  const evacuation = { release: () => Promise.resolve() }
  const fence = (by: 'lease' | 'operator') => {
    const reason = { code: 'HOST_FENCED', text: '' }
    const fencing = { hostId: id, record, fence: { ...noFence, by }, reason, atMs: 1 }
    return recorder.write((tx, touched) => recordFenced(tx, touched, { fencing, evacuation }))
  }
  await recorder.write((tx, touched) =>
    engageBrake(tx, touched, {
      id: newId<'brake'>(systemClock, systemRandom),
      name: 'zone zone-1',
      hosts: ['h1', 'h2'],
      reason: { code: 'HOST_UNREACHABLE', text: '2 of 3' },
      sinceMs: 1,
    }),
  )
  assert.equal(await fence('lease'), undefined)
  assert.equal(stage.row().state, 'unreachable')
  assert.ok((await fence('operator')) !== undefined)
})

test('whoever holds a host is waited for when the brake takes it in, and not when the brake has it already', async (context) => {
  const stage = await Stage.open(context)
  const { recorder, database } = stage.server
  const engage = (hosts: string[]) =>
    recorder.write((tx, touched) =>
      engageBrake(tx, touched, {
        id: newId<'brake'>(systemClock, systemRandom),
        name: 'zone zone-1',
        hosts,
        reason: { code: 'HOST_UNREACHABLE', text: `${hosts.length} of 3` },
        sinceMs: 1,
      }),
    )
  const { name } = stage.row()
  const order: string[] = []
  await engage(['somebody'])
  const held = Promise.withResolvers<void>()
  context.after(() => held.resolve())
  const taken = Promise.withResolvers<void>()
  const hold = () =>
    database.query.transaction().execute(async (tx) => {
      await sql`select 1 from host where name = ${name} for no key update`.execute(tx)
      taken.resolve()
      await held.promise
      order.push('let go')
    })
  const holder = hold()
  await taken.promise
  const engaged = engage(['somebody', name]).then(() => order.push('engaged'))
  await waitUntil(
    async () => {
      const { rows } = await sql`select 1 from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`.execute(database.query)
      return rows.length
    },
    (waiting) => waiting > 0,
  )
  held.resolve()
  await Promise.all([holder, engaged])
  assert.deepEqual(order, ['let go', 'engaged'])
  await database.query.transaction().execute(async (tx) => {
    await sql`select 1 from host where name = ${name} for no key update`.execute(tx)
    // It would wait for this very transaction.
    await engage([name])
  })
})

test('a fenced host takes nothing until it is clean, also when it is lost in between', async (context) => {
  const stage = await Stage.open(context, { power: true })
  await stage.until(isFenced)
  const { presence } = stage.server.fleet
  const first = await stage.arrive()
  assert.equal(stage.row().state, 'returning')
  assert.equal(stage.row().fence?.step, 'cleaning')
  await stage.until(({ state }) => state === 'unreachable')
  const second = await stage.arrive()
  assert.equal(stage.row().state, 'returning')
  await presence.cleaned(stage.row().id, first)
  assert.equal(stage.row().state, 'returning', 'a session that was replaced says nothing')
  await presence.cleaned(stage.row().id, second)
  const { state, fence, reason, mustClean } = stage.row()
  assert.deepEqual([state, fence, reason, mustClean], ['ready', null, null, false])
})

test('two of three hosts lost: the brake holds and says so, an operator goes through it, and it ends by itself', async (context) => {
  const stage = await Stage.open(context, { power: true })
  const both = [1, 2]
  await stage.pass(SILENCE_MAX_MS + 20_000, both)
  assert.deepEqual([stage.row(1).state, stage.row(2).state], ['unreachable', 'unreachable'])
  assert.deepEqual(stage.power.orders, [])
  const [brake] = [...stage.server.world.brake.values()]
  assert.deepEqual(brake?.hosts, ['h1', 'h2'])
  assert.match(brake.reason.text, /2 of 3 hosts of zone zone-1 were lost at once, more than 40 %/)
  assert.equal(stage.row().fence?.step, 'held')
  const { revision } = stage.server.world
  await stage.pass(10_000, both)
  assert.equal(stage.server.world.revision, revision, 'it is written once')

  await stage.server.fleet.fencing.fence('h1', { confirmOff: true, force: false })
  assert.equal(stage.row(1).state, 'fenced')
  // One lost host alone is no reason to hold.
  await stage.until(() => stage.server.world.brake.size === 0, both)
  await stage.until(() => isFenced(stage.row(2)), both)
})

test('what was seen while the brake held decides nothing after it: hosts that come back one after the other are not switched off', async (context) => {
  const stage = await Stage.open(context, { power: true })
  const both = [1, 2]
  await stage.pass(SILENCE_MAX_MS + 8_000, both)
  for (const n of both) assert.equal(stage.row(n).fence?.step, 'held')
  // The cables are in again; the one has found a server, and the other is about to.
  stage.word.now = 'alive'
  await stage.arrive(2)
  await stage.pass(6_000)
  assert.equal(stage.server.world.brake.size, 0)
  assert.deepEqual(stage.power.orders, [])
  assert.equal(stage.row().fence?.step, 'blocked')
  // It is followed as any other.
  stage.word.now = 'silence'
  await stage.until(isFenced)
  assert.deepEqual(stage.power.orders, [stage.row().id])
})

test('an operator’s wish: refused for a connected host, done by power for a lost one in maintenance', async (context) => {
  const stage = await Stage.open(context, { power: true })
  const { fencing } = stage.server.fleet
  const wish = { confirmOff: false, force: false }
  for (const confirmOff of [false, true])
    await assert.rejects(fencing.fence('h1', { ...wish, confirmOff }), (error) =>
      isPlatformError(error, 'NOT_ALLOWED_NOW'),
    )
  await stage.server.database.query
    .updateTable('host')
    .set({ maintenance: true })
    .where('name', '=', 'h1')
    .execute()
  await stage.server.recorder.write((tx, touched) =>
    setPower(tx, touched, { hostId: stage.row().id, power: powerOfTests }),
  )
  await stage.until(hasStep('held'))
  const asked = await fencing.fence('h1', wish)
  assert.equal(asked.endedAtMs, null)
  await stage.until(isFenced)
  assert.equal(stage.server.world.operation.get(asked.id)?.state, 'done')
  const again = await fencing.fence('h1', wish)
  assert.equal(again.state, 'done')
})

test('a connected host is switched off by force, and fenced once it is silent', async (context) => {
  const stage = await Stage.open(context, { power: true })
  stage.word.now = 'alive'
  const asked = await stage.server.fleet.fencing.fence('h1', { confirmOff: false, force: true })
  await stage.until(() => stage.power.orders.length > 0, [])
  stage.word.now = 'silence'
  await stage.until(isFenced)
  assert.equal(stage.server.world.operation.get(asked.id)?.state, 'done')
  assert.equal(stage.row().fenceAsked, null)
})

test('a controller is kept only if it answers and does not call a connected host off', async (context) => {
  const stage = await Stage.open(context)
  const { fencing } = stage.server.fleet
  const asked = { redfish: powerOfTests.redfish, user: 'u', password: 'secret' }
  for (const mood of [{ at: 'dead' }, { at: 'lying', state: 'off' }] as const) {
    stage.power.setMood(stage.row().id, mood)
    await assert.rejects(fencing.setPower('h1', asked), (error) =>
      isPlatformError(error, 'NOT_ALLOWED_NOW'),
    )
    assert.equal(stage.row().power, null)
    assert.equal(stage.power.passwords.size, 0)
  }
  stage.power.setMood(stage.row().id, { at: 'honest' })
  await fencing.setPower('h1', asked)
  assert.deepEqual(await fencing.showPower('h1'), {
    power: powerOfTests,
    state: 'on',
    problem: null,
  })
  assert.doesNotMatch(JSON.stringify(stage.row()), /secret/)
  await fencing.clearPower('h1')
  assert.equal(stage.row().power, null)
  assert.equal(stage.power.passwords.size, 0)
})
