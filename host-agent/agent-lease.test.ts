// Proves that no `elsewhere` set outlives its lease, whatever becomes of the agent, and that `local` ones always do.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { STOPS_WITHIN_MS } from './guard/lease-guard.ts'
import { runningRig, type Rig } from './testing/agent-rig.ts'
import { testContainer, testId, testPort, testSetWithPort, testUpdate } from './testing/wanted.ts'

const LEASE_MS = 30_000

/** Set 1 is `local`, set 2 is `elsewhere`; nobody stops fast by himself. */
async function bothRunning(options: Parameters<typeof runningRig>[0] = {}): Promise<Rig> {
  const rig = await runningRig(options)
  rig.want(
    testSetWithPort(2, {
      recovery: 'elsewhere',
      containers: [testContainer({ stopTimeoutMs: 600_000 })],
    }),
  )
  await rig.untilState('running', 2)
  return rig
}

const isRunning = (rig: Rig, number: number): boolean =>
  rig.host.setHost.sets.get(testId('set', number))?.containers.get('main')?.found.state ===
  'running'

function loseServers(rig: Rig): void {
  rig.servers.down.add('s1:7443').add('s2:7443')
  rig.servers.last.close()
}

describe('an `elsewhere` set ends with its lease, and a `local` one does not', () => {
  test('when the agent is killed and never comes back', async () => {
    const rig = await bothRunning()
    await rig.host.crash()
    await rig.clock.advance(25_000)
    assert.ok(isRunning(rig, 2))
    await rig.clock.advance(LEASE_MS - 25_000 + STOPS_WITHIN_MS)
    assert.deepEqual([isRunning(rig, 1), isRunning(rig, 2)], [true, false])
    rig.host.guard.kill()
  })

  test('when the agent crashes again and again, which renews nothing', async () => {
    const rig = await bothRunning()
    loseServers(rig)
    let livesMs = 0
    while (livesMs < LEASE_MS + STOPS_WITHIN_MS) {
      await rig.host.crash()
      rig.host.start()
      await rig.clock.advance(1_900)
      livesMs += 1_900
    }
    assert.deepEqual([isRunning(rig, 1), isRunning(rig, 2)], [true, false])
    await rig.host.stop()
    rig.host.guard.kill()
  })

  test('when the container engine hangs, although the agent tries', async () => {
    const never = new Promise<void>(() => undefined)
    let isHung = false
    const rig = await bothRunning({ sets: { before: () => (isHung ? never : undefined) } })
    isHung = true
    loseServers(rig)
    await rig.clock.advance(LEASE_MS + STOPS_WITHIN_MS)
    assert.deepEqual([isRunning(rig, 1), isRunning(rig, 2)], [true, false])
    const crashed = rig.host.crash()
    await rig.clock.advance(10_000)
    await crashed
    rig.host.guard.kill()
  })

  test('by the agent itself within moments, whatever time the set may take to stop', async () => {
    const stops: number[] = []
    const rig = await bothRunning({ guard: 'absent' })
    const { setDriver } = rig.host
    const stopContainer = setDriver.stopContainer.bind(setDriver)
    setDriver.stopContainer = (setId, name, timeoutMs) => {
      stops.push(timeoutMs)
      return stopContainer(setId, name, timeoutMs)
    }
    loseServers(rig)
    await rig.clock.advance(LEASE_MS + 100)
    assert.deepEqual([isRunning(rig, 1), isRunning(rig, 2)], [true, false])
    assert.deepEqual(stops, [2_000])
    assert.equal(rig.host.agent?.found(testId('set', 2))?.reason?.code, 'NOT_ALLOWED_NOW')
    await rig.host.stop()
  })

  test('when its record is damaged while no agent runs', async () => {
    const rig = await bothRunning()
    await rig.host.crash()
    rig.host.disk.write([{ type: 'put', kind: 'guard', key: 'lease', value: 'torn' }])
    rig.servers.down.add('s1:7443').add('s2:7443')
    rig.host.start()
    await rig.clock.advance(2_000)
    assert.deepEqual([isRunning(rig, 1), isRunning(rig, 2)], [true, false])
    await rig.host.stop()
    rig.host.guard.kill()
  })
})

test('an agent that restarts in time goes on, and nothing is started anew', async () => {
  const rig = await bothRunning()
  const before = rig.host.setHost.sets.get(testId('set', 2))
  for (let life = 0; life < 20; life++) {
    await rig.host.crash()
    await rig.clock.advance(10_000)
    rig.host.start()
    await rig.clock.advance(3_000)
  }
  assert.ok(isRunning(rig, 2))
  assert.equal(rig.host.setHost.sets.get(testId('set', 2)), before)
  await rig.host.stop()
  rig.host.guard.kill()
})

test('sets that the guard ended come back when a server confirms them, and that counts as no crash', async () => {
  const rig = await bothRunning()
  await rig.host.crash()
  await rig.clock.advance(60_000)
  rig.host.start()
  await rig.untilState('running', 2)
  assert.equal(rig.known(2)?.containers[0]?.restarts, 0)
  await rig.clock.advance(60_000)
  assert.deepEqual([isRunning(rig, 1), isRunning(rig, 2)], [true, true])
  await rig.host.stop()
  rig.host.guard.kill()
})

test('the hello says what the guard guarantees; when it dies or returns the session begins anew to say so', async () => {
  const rig = await bothRunning()
  const told = () => rig.servers.last.of('hello')[0]?.stopsWithinMs
  assert.equal(told(), STOPS_WITHIN_MS)
  rig.host.guard.kill()
  await rig.clock.advance(2_000)
  rig.host.guard.start()
  await rig.clock.advance(10_000)
  assert.equal(rig.servers.accepted.length, 1, 'started again at once, it is the same guarantee')
  rig.host.guard.kill()
  await rig.clock.advance(10_000)
  assert.equal(told(), null)
  rig.host.guard.start()
  await rig.clock.advance(10_000)
  assert.equal(told(), STOPS_WITHIN_MS)
  assert.deepEqual([isRunning(rig, 1), isRunning(rig, 2)], [true, true])
  await rig.host.stop()
  rig.host.guard.kill()
})

describe('a host that returns', () => {
  /** Set 2 is elsewhere by now; set 3, which has its address, is new here. */
  const returned = [
    ...testSetWithPort(1),
    testPort(2, { on: 'remote', vtep: '172.16.0.9' }),
    ...testSetWithPort(3, { recovery: 'elsewhere' }),
  ]

  for (const [how, leave, back] of [
    [
      'after its lease had ended',
      async (rig: Rig) => {
        loseServers(rig)
        await rig.clock.advance(60_000)
      },
      (_rig: Rig) => undefined,
    ],
    ['after a reboot', (rig: Rig) => rig.host.powerOff(), (rig: Rig) => rig.host.powerOn()],
    ['with a new agent', (rig: Rig) => rig.host.crash(), (rig: Rig) => rig.host.start()],
  ] as const) {
    test(`${how}: what is elsewhere is gone before ports of new sets open`, async () => {
      const release = Promise.withResolvers<void>()
      let isHeld = false
      const rig = await bothRunning({
        sets: {
          before: (call, setId) =>
            isHeld && call === 'removeSet' && setId === testId('set', 2)
              ? release.promise
              : undefined,
        },
      })
      rig.servers.down.add('s1:7443').add('s2:7443')
      await leave(rig)
      if (how === 'with a new agent') await rig.clock.advance(60_000)
      isHeld = true
      rig.servers.onHello = (agent) => agent.want(testUpdate(50, returned, { full: true }))
      rig.servers.down.clear()
      back(rig)
      await rig.clock.advance(10_000)
      const { ports } = rig.host.switchHardware
      const isHere = (number: number): boolean => rig.host.setHost.sets.has(testId('set', number))
      assert.deepEqual([isHere(2), isHere(3)], [true, false])
      assert.equal(ports.has(testId('port', 2)), false, 'the old one has no port any more')
      assert.equal(ports.has(testId('port', 3)), false, 'the new one has none yet')
      assert.ok(isRunning(rig, 1))
      release.resolve()
      await rig.untilState('running', 3)
      assert.deepEqual([isHere(2), isHere(3)], [false, true])
      assert.ok(ports.has(testId('port', 3)))
      await rig.host.stop()
      rig.host.guard.kill()
    })
  }

  test('waits so long and no longer for an engine that cannot remove them', async () => {
    let isHeld = false
    const rig = await bothRunning({
      sets: {
        before: (call) =>
          isHeld && call === 'removeSet' ? new Promise(() => undefined) : undefined,
      },
    })
    loseServers(rig)
    await rig.clock.advance(60_000)
    isHeld = true
    rig.servers.onHello = (agent) => agent.want(testUpdate(50, returned, { full: true }))
    rig.servers.down.clear()
    await rig.clock.advance(30_000)
    assert.equal(rig.known(3)?.state, 'pending')
    await rig.untilState('running', 3)
    const stopped = rig.host.stop()
    await rig.clock.advance(10_000)
    await stopped
    rig.host.guard.kill()
  })
})
