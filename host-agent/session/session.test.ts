import assert from 'node:assert/strict'
import { test } from 'node:test'
import { integerBelow, pick, seededRandom, VirtualClock, type Clock } from '@nubo/base'
import type { Probe, ProbeResult, ProbeTarget } from '@nubo/contracts/host'
import { makeSession as make, reported as found } from '../testing/session-rig.ts'
import { testId, testPort, testSet, testUpdate } from '../testing/wanted.ts'

test('a session begins with hello, welcome, a heartbeat and the full report', async () => {
  const { clock, servers, reports, session, seen, stop } = make()
  reports.publish(found(1))
  await clock.advance(0)
  assert.deepEqual(
    servers.last.received.slice(0, 2).map(({ type }) => type),
    ['hello', 'heartbeat'],
  )
  assert.deepEqual(servers.last.of('found'), [
    { type: 'found', full: true, last: true, wantedRevision: null, instances: [found(1)] },
  ])
  assert.equal(session.connectedTo, servers.last.server)
  // Counted from the hello, and then from the heartbeat.
  assert.deepEqual(seen.leases, [30_000, 30_000])
  await stop()
  assert.equal(session.connectedTo, null)
  assert.equal(servers.last.closedBecause, 'the agent stops')
})

test('news go out at once, and what follows closely goes together, the newest of each set', async () => {
  const { clock, servers, reports, stop } = make()
  await clock.advance(1_000)
  reports.publish(found(1, 'a'))
  assert.deepEqual(servers.last.of('found').at(-1)?.instances, [found(1, 'a')])
  reports.publish(found(1, 'b'))
  reports.publish(found(2, 'c'))
  reports.publish(found(1, 'd'))
  assert.equal(servers.last.of('found').length, 2)
  await clock.advance(50)
  assert.deepEqual(servers.last.of('found').at(-1)?.instances, [found(1, 'd'), found(2, 'c')])
  // The same again is no news.
  reports.publish(found(1, 'd'))
  await clock.advance(100)
  assert.equal(servers.last.of('found').length, 3)
  await stop()
})

test('what a set passes through is told if it lasts, unless something is wrong with it', async () => {
  const { clock, servers, reports, stop } = make()
  await clock.advance(1_000)
  const told = () =>
    servers.last
      .of('found')
      .slice(1)
      .map(({ instances }) => instances.map(({ state }) => state))
  reports.publish({ ...found(1), state: 'pulling' })
  await clock.advance(60)
  reports.publish({ ...found(1), state: 'starting' })
  await clock.advance(30)
  assert.deepEqual(told(), [])
  reports.publish(found(1))
  assert.deepEqual(told(), [['running']])
  reports.publish({ ...found(1), state: 'stopping' })
  reports.publish({
    ...found(2),
    state: 'pending',
    reason: { code: 'IMAGE_PULL_FAILED', text: 'no' },
  })
  await clock.advance(50)
  assert.deepEqual(told(), [['running'], ['stopping', 'pending']])
  reports.publish({ ...found(2), state: 'starting' })
  await clock.advance(110)
  assert.deepEqual(told().at(-1), ['starting'])
  await stop()
})

test('a set that is gone is told once, and not in the next full report', async () => {
  const { clock, servers, reports, stop } = make()
  reports.publish(found(1))
  await clock.advance(100)
  reports.publish({ ...found(1), state: 'absent' })
  assert.equal(servers.last.of('found').at(-1)?.instances[0]?.state, 'absent')
  servers.last.close()
  await clock.advance(1_000)
  assert.deepEqual(servers.last.of('found')[0]?.instances, [])
  await stop()
})

test('no report before the full one', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { clock, servers, reports, stop } = make({ untilFound: () => promise })
  await clock.advance(100)
  reports.publish(found(1))
  await clock.advance(100)
  assert.equal(servers.last.of('found').length, 0)
  resolve()
  await clock.advance(0)
  assert.deepEqual(
    servers.last.of('found').map(({ full }) => full),
    [true],
  )
  await stop()
})

test('many sets are told in messages that the contract allows', async () => {
  const { clock, servers, reports, stop } = make()
  await clock.advance(1_000)
  const text = 'x'.repeat(500)
  for (let number = 0; number < 2_500; number++) reports.publish(found(number, text))
  await clock.advance(1_000)
  assert.equal(servers.last.found.size, 2_500)
  servers.last.close()
  await clock.advance(1_000)
  assert.equal(servers.last.found.size, 2_500)
  assert.deepEqual(
    servers.last.of('found').map(({ full, last }) => [full, last]),
    [
      [true, false],
      [true, false],
      [true, true],
    ],
  )
  await stop()
})

test('a server that does not read gets no more than its share; the news wait', async () => {
  const { clock, servers, reports, stop } = make()
  await clock.advance(1_000)
  servers.last.bufferedBytes = 2 ** 21
  reports.publish(found(1, 'a'))
  reports.publish(found(1, 'b'))
  await clock.advance(500)
  assert.equal(servers.last.of('found').length, 1)
  servers.last.bufferedBytes = 0
  await clock.advance(100)
  assert.deepEqual(servers.last.of('found').at(-1)?.instances, [found(1, 'b')])
  await stop()
})

test('wanted updates are passed on, and the revision that is on disk is told', async () => {
  const { clock, servers, seen, stop } = make()
  await clock.advance(1_000)
  servers.last.want(testUpdate(4, [testSet()], { full: true, last: false }))
  servers.last.want(testUpdate(4, [], { full: true }))
  await clock.advance(100)
  assert.equal(seen.wanted.length, 2)
  assert.deepEqual(servers.last.of('found').at(-1), {
    type: 'found',
    full: false,
    last: true,
    wantedRevision: 4,
    instances: [],
  })
  servers.last.send({ type: 'open-stream', server: 's2:7443', token: 't' })
  await clock.advance(0)
  assert.deepEqual(seen.streams, [{ server: 's2:7443', token: 't' }])
  await stop()
})

test('a change of neighbours alone is told with the next news, or after a while', async () => {
  const { clock, servers, reports, stop } = make()
  const told = () => servers.last.of('found').map(({ wantedRevision }) => wantedRevision)
  const port = testPort(1, { on: 'remote', vtep: '172.16.0.2' })
  await clock.advance(1_000)
  servers.last.want(testUpdate(4, [testSet()], { full: true }))
  await clock.advance(1_000)
  for (const revision of [5, 6, 7]) {
    servers.last.want(testUpdate(revision, [port]))
    servers.last.want(testUpdate(revision, [], { removes: [`port/${port.id}`] }))
    await clock.advance(1_000)
  }
  assert.deepEqual(told(), [null, 4])
  await clock.advance(2_000)
  assert.deepEqual(told(), [null, 4, 7])
  servers.last.want(testUpdate(8, [port]))
  await clock.advance(100)
  assert.deepEqual(told(), [null, 4, 7])
  reports.publish({ ...found(1), state: 'starting' })
  await clock.advance(150)
  assert.deepEqual(told(), [null, 4, 7, 8])
  // Nothing is left to tell.
  await clock.advance(60_000)
  assert.deepEqual(told(), [null, 4, 7, 8])
  await stop()
})

test('that a set shall go is known to be known at once, also in parts and of a set that was never here', async () => {
  const { clock, servers, seen, stop } = make()
  const port = testPort(1, { on: 'remote', vtep: '172.16.0.2' })
  await clock.advance(1_000)
  servers.last.want(testUpdate(5, [], { removes: [`set/${testId('set', 1)}`], last: false }))
  servers.last.want(testUpdate(5, [port]))
  await clock.advance(100)
  assert.equal(servers.last.of('found').at(-1)?.wantedRevision, 5)
  assert.equal(seen.wanted.length, 2)
  servers.last.want(testUpdate(6, [port]))
  await clock.advance(100)
  assert.equal(servers.last.of('found').at(-1)?.wantedRevision, 5)
  servers.last.want(testUpdate(7, [testSet()]))
  await clock.advance(100)
  assert.equal(servers.last.of('found').at(-1)?.wantedRevision, 7)
  await stop()
})

test('the lease counts from the sending of the heartbeat that was answered', async () => {
  const { clock, servers, seen, stop } = make()
  await clock.advance(1_900)
  servers.isPolite = false
  await clock.advance(1_000)
  const beat = servers.last.of('heartbeat').at(-1)
  servers.last.send({ type: 'heartbeat-answer', sequence: beat?.sequence ?? 0, leaseMs: 5_000 })
  servers.last.send({ type: 'heartbeat-answer', sequence: 999, leaseMs: 5_000 })
  await clock.advance(0)
  assert.equal(seen.leases.at(-1), 2_000 + 5_000)
  assert.equal(seen.leases.length, 3)
  await stop()
})

test('a server that falls silent is given up after three periods, and the next one is tried', async () => {
  const { clock, servers, seen, stop } = make()
  await clock.advance(1_000)
  const first = servers.last
  servers.isPolite = false
  await clock.advance(4_900)
  assert.equal(first.closedBecause, undefined)
  servers.isPolite = true
  await clock.advance(1_200)
  assert.match(first.closedBecause ?? '', /not answered for 6000 ms/)
  assert.equal(seen.ends, 1)
  assert.notEqual(servers.last.server, first.server)
  await stop()
})

test('an agent that stood still does not take it for the silence of its server, but for so long only', async () => {
  const virtual = new VirtualClock()
  let lateMs = 0
  const clock: Clock = {
    nowMs: () => virtual.nowMs(),
    monotonicMs: () => virtual.monotonicMs(),
    after: (delayMs, fire) => virtual.after(delayMs + lateMs, fire),
  }
  const { servers, stop } = make({ clock })
  await virtual.advance(1_000)
  const first = servers.last
  servers.isPolite = false
  await virtual.advance(2_900)
  // Each beat comes after three seconds instead of two, and what was answered is read only behind it.
  lateMs = 1_001
  await virtual.advance(7_000)
  assert.equal(first.closedBecause, undefined)
  await virtual.advance(6_000)
  assert.match(first.closedBecause ?? '', /not answered for 1[2-5][0-9]{3} ms/)
  await stop()
})

test('servers that refuse are tried in turn, with growing pauses, and none for ever', async () => {
  const { clock, servers, stop } = make()
  servers.down.add('s1:7443').add('s2:7443')
  await clock.advance(60_000)
  const tries = servers.tried.length
  assert.ok(tries > 12 && tries < 40, `${tries} tries`)
  assert.ok(servers.tried.every((server, at) => at === 0 || server !== servers.tried[at - 1]))
  servers.down.clear()
  await clock.advance(6_000)
  assert.equal(servers.accepted.length, 1)
  await stop()
})

test('a server that takes the connection and says nothing costs five seconds', async () => {
  const { clock, servers, stop } = make()
  servers.isPolite = false
  await clock.advance(5_000)
  assert.equal(servers.accepted[0]?.closedBecause, 'no welcome in time')
  await stop()
})

test('what the contract does not allow ends the session', async (t) => {
  const cases: Record<string, string> = {
    'not JSON': '{',
    'an unknown message': '{"type":"reboot"}',
    'an unknown field': '{"type":"heartbeat-answer","sequence":1,"leaseMs":1,"extra":1}',
    'deep nesting': '['.repeat(100_000),
    'another welcome':
      '{"type":"welcome","contract":1,"serverName":"s","region":"r","heartbeatPeriodMs":1,"leaseMs":1,"servers":[],"registry":""}',
    'a huge text': `"${'x'.repeat(5 * 2 ** 20)}"`,
  }
  for (const [name, text] of Object.entries(cases)) {
    await t.test(name, async () => {
      const { clock, servers, stop } = make()
      await clock.advance(1_000)
      const { last } = servers
      last.sendText(text)
      await clock.advance(500)
      assert.notEqual(last.closedBecause, undefined)
      assert.equal(servers.accepted.length, 2)
      await stop()
    })
  }
  await t.test('a welcome in another version than was dialled', async () => {
    const { clock, servers, stop } = make()
    servers.isPolite = false
    await clock.advance(1)
    servers.last.welcome({ contract: 1 })
    await clock.advance(1)
    assert.match(servers.accepted[0]?.closedBecause ?? '', /contract 1/)
    await stop()
  })
  await t.test('anything before the welcome', async () => {
    const { clock, servers, stop } = make()
    servers.isPolite = false
    await clock.advance(1)
    servers.last.want(testUpdate(1, []))
    await clock.advance(1)
    assert.match(servers.accepted[0]?.closedBecause ?? '', /before the welcome/)
    await stop()
  })
})

test('texts that are cut off or flipped end the session or do nothing; nothing else happens', async () => {
  const random = seededRandom(7)
  const texts = [
    testUpdate(3, [testSet()], { full: true }),
    { type: 'heartbeat-answer', sequence: 1, leaseMs: 30_000 },
    { type: 'open-stream', server: 's1:7443', token: 'token' },
  ].map((message) => JSON.stringify(message))
  const { clock, servers, stop } = make()
  await clock.advance(1_000)
  for (let round = 0; round < 300; round++) {
    const text = pick(random, texts) ?? ''
    const at = integerBelow(random, text.length)
    const letter = String.fromCharCode(integerBelow(random, 128))
    servers.last.sendText(
      random.fraction() < 0.5 ? text.slice(0, at) : text.slice(0, at) + letter + text.slice(at + 1),
    )
    await clock.advance(500)
  }
  servers.isPolite = true
  await clock.advance(10_000)
  assert.equal(servers.last.closedBecause, undefined)
  await stop()
})

test('an update that cannot be stored ends the session, and the next one begins', async () => {
  const { clock, servers, stop } = make({
    onWanted: () => {
      throw new Error('the disk is full')
    },
  })
  await clock.advance(1_000)
  servers.last.want(testUpdate(1, []))
  await clock.advance(1_000)
  assert.equal(servers.accepted[0]?.closedBecause, 'the disk is full')
  assert.equal(servers.accepted.length, 2)
  await stop()
})

test('what there is no room for is told in the same session, and asked for again in a later one', async () => {
  let hasRoom = false
  const { clock, servers, reports, stop } = make({
    onWanted: () => {
      if (hasRoom) return 'stored'
      reports.publish({ ...found(1), state: 'pending' })
      return 'no-room'
    },
  })
  await clock.advance(1_000)
  const first = servers.last
  first.want(testUpdate(1, []))
  await clock.advance(1_000)
  assert.equal(first.of('found').at(-1)?.instances[0]?.state, 'pending')
  assert.equal(first.closedBecause, undefined)
  hasRoom = true
  await clock.advance(10_000)
  assert.match(first.closedBecause ?? '', /no room/)
  assert.equal(servers.accepted.length, 2)
  servers.last.want(testUpdate(1, []))
  await clock.advance(10_000)
  assert.equal(servers.last.closedBecause, undefined)
  await stop()
})

test('sessions that end soon after their welcome come at growing pauses', async () => {
  const { clock, servers, stop } = make({
    onWanted: () => {
      throw new Error('the disk is full')
    },
  })
  servers.onHello = (agent) => agent.want(testUpdate(1, []))
  await clock.advance(60_000)
  const tries = servers.accepted.length
  assert.ok(tries > 5 && tries < 40, `${tries} sessions in a minute`)
  servers.onHello = () => undefined
  await clock.advance(10_000)
  // One that lasts makes up for all of that.
  servers.last.close()
  await clock.advance(300)
  assert.ok(servers.accepted.length > tries + 1)
  assert.equal(servers.last.closedBecause, undefined)
  await stop()
})

test('a server of version 1 hears nothing that it has no word for', async () => {
  const asked: Probe[] = []
  const { clock, servers, seen, stop } = make({
    onProbe: (probe) => (asked.push(probe), Promise.resolve([])),
  })
  servers.contract = 1
  await clock.advance(1)
  assert.deepEqual(servers.last.of('hello')[0]?.contracts, [1])
  assert.doesNotMatch(servers.last.texts.join('\n'), /stopsWithinMs|probeAddress/)
  assert.deepEqual(seen.leases, [30_000, 30_000])
  servers.last.send({ type: 'probe', id: 1, timeoutMs: 1_000, targets: [target(2)] })
  await clock.advance(10)
  assert.deepEqual([asked, servers.last.of('probe-report')], [[], []])
  assert.equal(servers.last.closedBecause, undefined)
  await stop()
})

test('a question for neighbours is answered by its number; too many at once are not asked', async () => {
  const answers: ((results: ProbeResult[]) => void)[] = []
  const { clock, servers, stop } = make({
    onProbe: () => new Promise((resolve) => answers.push(resolve)),
  })
  await clock.advance(1)
  for (let id = 0; id < 9; id++)
    servers.last.send({ type: 'probe', id, timeoutMs: 1_000, targets: [target(2)] })
  await clock.advance(1)
  assert.equal(answers.length, 8)
  const silence = { hostId: target(2).hostId, answer: null }
  answers[3]?.([silence])
  await clock.advance(1)
  assert.deepEqual(servers.last.of('probe-report'), [
    { type: 'probe-report', id: 3, results: [silence] },
  ])
  // The place is free again.
  servers.last.send({ type: 'probe', id: 9, timeoutMs: 1_000, targets: [target(2)] })
  await clock.advance(1)
  assert.equal(answers.length, 9)
  await stop()
})

function target(number: number): ProbeTarget {
  return { hostId: testId('host', number), address: `172.16.0.${number}:7444` }
}
