// Proves that a host is asked for probes whichever server has its session, and that every question ends.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom, VirtualClock, type HostId } from '@nubo/base'
import type { HostContract, ProbeResult, ProbeTarget } from '@nubo/contracts/host'
import { silentLog } from '@nubo/runtime'
import { World } from '../world/index.ts'
import { createHostSessions, type HostSessions } from './host-sessions.ts'
import { PROBES_PER_SESSION_MAX } from './probes.ts'
import { parseBetweenServers } from './server-messages.ts'
import { FakeChannel } from './testing/fake-channel.ts'
import { change, hostId, hostRow, put } from './testing/rows.ts'

const targets: ProbeTarget[] = [{ hostId: hostId(2), address: '10.1.0.2:7444' }]
const silence: ProbeResult[] = [{ hostId: hostId(2), answer: null }]

/** Two servers whose messages reach each other; both know host 1 and host 2. */
async function start() {
  const clock = new VirtualClock()
  const listeners: ((payload: string) => void)[] = []
  const line = { payloads: [] as string[], isDown: false, isDeaf: false }
  const commands = {
    broadcast: async (payload: string) => {
      if (line.isDown) throw new Error('the database is away')
      line.payloads.push(payload)
      assert.ok(Buffer.byteLength(payload) < 8_000)
      if (!line.isDeaf) for (const listener of listeners) listener(payload)
    },
    listen: async (listener: (payload: string) => void) => void listeners.push(listener),
  }
  const makeServer = async (name: string): Promise<HostSessions> => {
    const world = new World(clock)
    change(world, put('host', hostRow(1)), put('host', hostRow(2)))
    const sessions = createHostSessions({
      world,
      clock,
      random: seededRandom(1),
      log: silentLog,
      presence: {
        connected: async (id: HostId, _hello, { sessionId }) => {
          const row = world.host.get(id)
          const ready = { ...row, sessionId, state: 'ready' } as NonNullable<typeof row>
          if (row !== undefined) change(world, put('host', ready))
        },
        heard: () => undefined,
        mayGrantLease: () => true,
        cleaned: async () => {},
      },
      membership: { isAdmitted: () => true },
      events: { recordFound: async () => undefined },
      commands,
      server: {
        name,
        region: 'test',
        hostContractServers: [],
        registry: '',
        hostContractAddress: `${name}:7443`,
        probeKey: '7'.repeat(64),
      },
    })
    await sessions.start()
    return sessions
  }
  const [first, second] = [await makeServer('s1'), await makeServer('s2')]
  const connect = async (contract?: HostContract): Promise<FakeChannel> => {
    const channel = new FakeChannel(contract)
    first.accept(channel, { hostId: hostId(1), serial: 'a' }, channel.contract)
    channel.say({
      type: 'hello',
      contracts: [3, 2, 1],
      hostId: hostId(1),
      bootId: 'boot',
      wantedRevision: null,
      inventory: {
        cores: 1,
        memoryBytes: 1,
        diskBytes: 1,
        kernel: '',
        engines: {},
        nics: [],
        agentVersion: '',
      },
      capacity: { cpuMillis: 1, memoryBytes: 1, diskBytes: 1 },
      reserve: { cpuMillis: 0, memoryBytes: 0, diskBytes: 0 },
      vtepAddress: null,
      underlayMtuBytes: 1_600,
      stopsWithinMs: 8_000,
      probeAddress: '10.1.0.1:7444',
      accelerator: null,
      vmsProblem: null,
    })
    await clock.advance(1)
    return channel
  }
  return { clock, first, second, line, connect }
}

test('a host is asked through its own server and through another one', async () => {
  const { clock, first, second, connect } = await start()
  const channel = await connect()
  for (const server of [first, second]) {
    const asked = server.probe(hostId(1), targets, 1_000)
    await clock.advance(1)
    const [probe] = channel.take('probe')
    assert.deepEqual([probe?.timeoutMs, probe?.targets], [1_000, targets])
    channel.say({ type: 'probe-report', id: probe?.id ?? -1, results: silence })
    assert.deepEqual(await asked, silence)
  }
})

test('answers to other questions, and about hosts that nobody asked for, count for nothing', async () => {
  const { clock, first, connect } = await start()
  const channel = await connect()
  const asked = first.probe(hostId(1), targets, 1_000)
  await clock.advance(1)
  const id = channel.take('probe')[0]?.id ?? -1
  channel.say({ type: 'probe-report', id: id + 7, results: silence })
  const about = { bootId: 'b', lease: 'ended', elsewhereRunning: 0 } as const
  channel.say({ type: 'probe-report', id, results: [{ hostId: hostId(9), answer: about }] })
  assert.deepEqual(await asked, [])
  assert.equal(channel.closed, undefined)
})

test('no answer, no session, version 1, a lost line and the end of the session all end as undefined', async () => {
  const { clock, first, second, line, connect } = await start()
  const ends = async (server: HostSessions): Promise<void> => {
    let end: unknown = 'open'
    void server.probe(hostId(1), targets, 1_000).then((results) => (end = results))
    await clock.advance(10_000)
    assert.equal(end, undefined)
  }
  await ends(first)
  const old = await connect(1)
  for (const server of [first, second]) await ends(server)
  assert.doesNotMatch(old.texts.join('\n'), /probe/)
  const silent = await connect()
  for (const server of [first, second]) {
    const asked = server.probe(hostId(1), targets, 1_000)
    await clock.advance(3_500)
    silent.say({ type: 'heartbeat', sequence: 1 })
    await clock.advance(3_500)
    assert.equal(await asked, undefined)
    silent.say({ type: 'heartbeat', sequence: 2 })
  }
  line.isDown = true
  await ends(second)
  line.isDown = false
  line.isDeaf = true
  const late = await connect()
  const asked = first.probe(hostId(1), targets, 1_000)
  late.cut()
  assert.equal(await asked, undefined)
  const stopping = second.probe(hostId(1), targets, 1_000)
  await second.stop()
  assert.equal(await stopping, undefined)
})

test('a host gets so many questions at once and no more', async () => {
  const { clock, first, connect } = await start()
  const channel = await connect()
  const asked = Array.from({ length: PROBES_PER_SESSION_MAX + 1 }, () =>
    first.probe(hostId(1), targets, 1_000),
  )
  await clock.advance(1)
  assert.equal(channel.take('probe').length, PROBES_PER_SESSION_MAX)
  assert.equal(await asked.at(-1), undefined)
  channel.cut()
  await Promise.all(asked)
})

test('what servers of other releases say to each other is skipped', () => {
  for (const text of ['', '{', '{"type":"new"}', '{"type":"probe","id":1}', 'null', '7'])
    assert.equal(parseBetweenServers(text), undefined)
  const stream = { hostId: hostId(1), server: 's1:1', token: 't' }
  assert.deepEqual(parseBetweenServers(JSON.stringify(stream)), stream)
})
