// Proves every state of an agent's session: what it may say when, what it gets, and what ends it.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PlatformError, seededRandom, type HostId, VirtualClock } from '@nubo/base'
import {
  HOST_MESSAGE_BYTES_MAX,
  type AgentMessage,
  type Hello,
  type HostContract,
} from '@nubo/contracts/host'
import { silentLog } from '@nubo/runtime'
import { World } from '../world/index.ts'
import { closeCodes } from './close-codes.ts'
import { createHostSessions } from './host-sessions.ts'
import type { HostReport } from './needs.ts'
import { HELLO_TIMEOUT_MS, SESSION_SILENCE_MAX_MS } from './session.ts'
import { FakeChannel } from './testing/fake-channel.ts'
import {
  change,
  gone,
  hostId,
  hostRow,
  networkRow,
  portRow,
  put,
  setId,
  setRow,
} from './testing/rows.ts'

const PROBE_KEY = '7'.repeat(64)
const SERIAL = 'aaaaaaaaaaaaaaaa0000000000000001'

function hello(n: number, changes: Partial<Hello> = {}): Hello {
  return {
    type: 'hello',
    contracts: [3, 2, 1],
    stopsWithinMs: 8_000,
    probeAddress: `10.1.0.${n}:7444`,
    accelerator: null,
    vmsProblem: null,
    hostId: hostId(n),
    bootId: 'boot-1',
    wantedRevision: null,
    inventory: {
      cores: 1,
      memoryBytes: 1,
      diskBytes: 1,
      kernel: '6.1',
      engines: {},
      nics: [],
      agentVersion: '0.1.0',
    },
    capacity: { cpuMillis: 1, memoryBytes: 1, diskBytes: 1 },
    reserve: { cpuMillis: 0, memoryBytes: 0, diskBytes: 0 },
    vtepAddress: `10.1.0.${n}`,
    underlayMtuBytes: 1_600,
    ...changes,
  }
}

/** Two hosts with a set each in one network; a server whose record of hosts is the world itself. */
async function start() {
  const clock = new VirtualClock()
  const world = new World(clock)
  change(
    world,
    ...[1, 2].flatMap((n) => [
      put('host', hostRow(n)),
      put('set', setRow(n, { hostId: hostId(n) })),
      put('port', portRow(n, { setId: setId(n) })),
    ]),
    put('network', networkRow(1)),
  )
  const heard: string[] = []
  const hellos: Hello[] = []
  const found: HostReport[] = []
  const commands: string[] = []
  const server = { connect: async () => {}, leases: true }
  const sessions = createHostSessions({
    world,
    clock,
    random: seededRandom(1),
    log: silentLog,
    presence: {
      connected: async (id, said, by) => {
        await server.connect()
        hellos.push(said)
        const row = world.host.get(id)
        if (row === undefined) throw new PlatformError('NOT_FOUND')
        const { vtepAddress } = said
        change(world, put('host', { ...row, ...by, state: 'ready', vtepAddress } as typeof row))
      },
      heard: (id) => void heard.push(id),
      mayGrantLease: () => server.leases,
      cleaned: async () => {},
    },
    membership: {
      isAdmitted: ({ hostId: id, serial }) =>
        serial.startsWith(world.host.get(id)?.certificateSerial ?? 'none'),
    },
    events: { recordFound: async (_host, report) => void found.push(report) },
    commands: {
      broadcast: async (payload) => void commands.push(payload),
      listen: async () => {},
    },
    server: {
      name: 's1',
      region: 'test',
      hostContractServers: ['10.0.0.1:7443', '10.0.0.1:7444'],
      registry: '10.0.0.1:5000',
      hostContractAddress: '10.0.0.1:7443',
      probeKey: PROBE_KEY,
    },
  })
  await sessions.start()
  const dial = (n = 1, contract?: HostContract): FakeChannel => {
    const channel = new FakeChannel(contract)
    sessions.accept(channel, { hostId: hostId(n), serial: SERIAL }, channel.contract)
    return channel
  }
  const connect = async (n = 1): Promise<FakeChannel> => {
    const channel = dial(n)
    channel.say(hello(n))
    await clock.advance(1)
    return channel
  }
  return { clock, world, sessions, server, heard, hellos, found, commands, dial, connect }
}

/** Read anew each time: the compiler remembers what an earlier assertion said of `closed`. */
const closedWith = (channel: FakeChannel): number | undefined => channel.closed?.code

const heartbeat = (sequence: number): AgentMessage => ({ type: 'heartbeat', sequence })
const noSets: AgentMessage = {
  type: 'found',
  full: true,
  last: true,
  wantedRevision: null,
  instances: [],
}

describe('a session that goes well', () => {
  test('is welcomed, gets its snapshot, then each change at once', async () => {
    const { world, connect } = await start()
    const channel = await connect()
    assert.deepEqual(
      channel.received.map((message) => message.type),
      ['welcome', 'wanted'],
    )
    const [welcome] = channel.take('welcome')
    assert.equal(welcome?.serverName, 's1')
    assert.deepEqual(welcome?.servers, ['10.0.0.1:7443', '10.0.0.1:7444'])
    assert.equal(welcome?.registry, '10.0.0.1:5000')
    const [snapshot] = channel.take('wanted')
    assert.equal(snapshot?.full, true)
    assert.equal(snapshot?.upserts.length, 4)
    change(world, put('set', setRow(1, { hostId: hostId(1), generation: 2 })))
    const [delta] = channel.take('wanted')
    assert.equal(delta?.full, false)
    assert.equal(delta?.upserts.length, 1)
    assert.equal(delta?.revision, world.revision)
  })

  test('has its heartbeats answered and noted, and lives as long as they come', async () => {
    const { clock, heard, connect } = await start()
    const channel = await connect()
    for (let sequence = 0; sequence < 20; sequence++) {
      channel.say(heartbeat(sequence))
      await clock.advance(2_000)
    }
    assert.deepEqual(
      channel.take('heartbeat-answer').map((answer) => answer.sequence),
      Array.from({ length: 20 }, (_, n) => n),
    )
    assert.equal(heard.length, 20)
    assert.equal(closedWith(channel), undefined)
  })

  test('has what it said too early served after the welcome, in order', async () => {
    const { clock, dial, found } = await start()
    const channel = dial()
    channel.say(hello(1))
    channel.say(noSets)
    channel.say(heartbeat(0))
    await clock.advance(1)
    assert.deepEqual(
      channel.received.map((message) => message.type),
      ['welcome', 'wanted', 'heartbeat-answer'],
    )
    assert.equal(found.length, 1)
  })

  test('gets no answers while this server cannot grant a lease', async () => {
    const { server, connect } = await start()
    const channel = await connect()
    server.leases = false
    channel.say(heartbeat(0))
    assert.deepEqual(channel.take('heartbeat-answer'), [])
    server.leases = true
    channel.say(heartbeat(1))
    assert.equal(channel.take('heartbeat-answer').length, 1)
  })
})

describe('a session stays bounded', () => {
  test('when its agent asks for answers and reads none', async () => {
    const { connect, heard } = await start()
    const channel = await connect()
    channel.take('wanted')
    channel.bufferedBytes = 2 * HOST_MESSAGE_BYTES_MAX + 1
    for (let round = 0; round < 1_000; round++) channel.say(heartbeat(round))
    assert.deepEqual(channel.take('heartbeat-answer'), [])
    assert.equal(heard.length, 1_000)
    channel.bufferedBytes = 0
    channel.say(heartbeat(1_000))
    assert.equal(channel.take('heartbeat-answer').length, 1)
  })
})

describe('an agent of version 1', () => {
  /** As the last release of version 1 wrote it. */
  const helloText =
    '{"type":"hello","contracts":[1],"hostId":"HOST","bootId":"b","wantedRevision":null,"inventory":' +
    '{"cores":1,"memoryBytes":1,"diskBytes":1,"kernel":"6.1","engines":{},"nics":[],"agentVersion":"0.1.0"},' +
    '"capacity":{"cpuMillis":1,"memoryBytes":1,"diskBytes":1},"reserve":{"cpuMillis":0,"memoryBytes":0,' +
    '"diskBytes":0},"vtepAddress":"10.1.0.1","underlayMtuBytes":1600}'

  test('is served, guarantees nothing, and hears no word that it does not know', async () => {
    const { clock, sessions, hellos, dial } = await start()
    const channel = dial(1, 1)
    channel.sayText(helloText.replace('HOST', hostId(1)))
    await clock.advance(1)
    assert.equal(channel.closed, undefined)
    assert.deepEqual([hellos[0]?.stopsWithinMs, hellos[0]?.probeAddress], [null, null])
    assert.equal(channel.take('welcome')[0]?.contract, 1)
    assert.doesNotMatch(channel.texts.join('\n'), /probeKey/)
    channel.say(heartbeat(1))
    assert.equal(channel.take('heartbeat-answer').length, 1)
    const target = { hostId: hostId(2), address: '10.1.0.2:7444' }
    assert.equal(await sessions.probe(hostId(1), [target], 1_000), undefined)
    assert.doesNotMatch(channel.texts.join('\n'), /probe/)
  })

  test('may not use words of version 2 on its connection', async () => {
    const { clock, dial, connect } = await start()
    const channel = dial(1, 1)
    channel.sayText(JSON.stringify(hello(1)))
    await clock.advance(1)
    assert.equal(closedWith(channel), closeCodes.violation)
    const newer = await connect(1)
    assert.equal(newer.take('welcome')[0]?.probeKey, PROBE_KEY)
  })
})

describe('a session is closed for', () => {
  const violations: [string, (channel: FakeChannel) => void][] = [
    ['a heartbeat before hello', (channel) => channel.say(heartbeat(0))],
    ['a report before hello', (channel) => channel.say(noSets)],
    ['the hello of another host', (channel) => channel.say(hello(2))],
    ['no common version', (channel) => channel.say(hello(1, { contracts: [7, 8] }))],
    ['a version that was not dialled', (channel) => channel.say(hello(1, { contracts: [1] }))],
    ['a tunnel end that is none', (channel) => channel.say(hello(1, { vtepAddress: '10.1.0.' }))],
    ['an unknown kind', (channel) => channel.sayText('{"type":"give-me-everything"}')],
    ['an unknown field', (channel) => channel.sayText('{"type":"heartbeat","sequence":0,"x":1}')],
    ['text that is not JSON', (channel) => channel.sayText('{"type":')],
    ['JSON that is no object', (channel) => channel.sayText('null')],
    ['deep nesting', (channel) => channel.sayText('['.repeat(100_000) + ']'.repeat(100_000))],
    ['a huge message', (channel) => channel.sayText('x'.repeat(HOST_MESSAGE_BYTES_MAX + 1))],
  ]
  for (const [what, say] of violations) {
    test(what, async () => {
      const { clock, dial, heard, found } = await start()
      const channel = dial()
      say(channel)
      await clock.advance(1)
      assert.equal(closedWith(channel), closeCodes.violation)
      assert.match(channel.closed?.reason ?? '', /^PROTOCOL_VIOLATION: /)
      assert.ok(Buffer.byteLength(channel.closed?.reason ?? '') <= 123)
      assert.deepEqual([channel.received, heard, found], [[], [], []])
    })
  }

  test('a second hello, while it arrives and when it is live', async () => {
    const { clock, dial, connect } = await start()
    const early = dial()
    early.say(hello(1))
    early.say(hello(1))
    await clock.advance(1)
    assert.equal(closedWith(early), closeCodes.violation)
    const live = await connect()
    live.say(hello(1))
    assert.equal(closedWith(live), closeCodes.violation)
  })

  test('no hello in time', async () => {
    const { clock, dial } = await start()
    const channel = dial()
    await clock.advance(HELLO_TIMEOUT_MS - 1)
    assert.equal(closedWith(channel), undefined)
    await clock.advance(1)
    assert.equal(closedWith(channel), closeCodes.violation)
  })

  test('silence', async () => {
    const { clock, connect } = await start()
    const channel = await connect()
    await clock.advance(SESSION_SILENCE_MAX_MS + 1_500)
    assert.equal(closedWith(channel), closeCodes.silent)
  })

  test('a certificate that expires while it is connected', async () => {
    const { clock, sessions } = await start()
    const channel = new FakeChannel()
    const expiresAtMs = clock.nowMs() + 10_000
    sessions.accept(channel, { hostId: hostId(1), serial: SERIAL, expiresAtMs }, channel.contract)
    channel.say(hello(1))
    for (let second = 0; second < 9; second++) {
      await clock.advance(1_000)
      channel.say(heartbeat(second))
    }
    assert.equal(closedWith(channel), undefined)
    await clock.advance(2_500)
    assert.equal(closedWith(channel), closeCodes.refused)
  })

  test('a flood before the welcome', async () => {
    const { server, dial } = await start()
    server.connect = () => new Promise(() => {})
    const channel = dial()
    channel.say(hello(1))
    for (let n = 0; n < 1_000; n++) channel.say(heartbeat(n))
    assert.equal(closedWith(channel), closeCodes.violation)
  })

  test('a report about the present placement of another host', async () => {
    const { clock, connect, found } = await start()
    const channel = await connect()
    channel.say({
      type: 'found',
      full: false,
      last: true,
      wantedRevision: null,
      instances: [
        {
          kind: 'set',
          id: setId(2),
          epoch: 1,
          generation: 1,
          state: 'running',
          progress: '',
          reason: null,
          containers: [],
        },
      ],
    })
    await clock.advance(1)
    assert.equal(closedWith(channel), closeCodes.violation)
    assert.deepEqual(found, [])
  })
})

test('a host cannot hold more than a few sessions', async () => {
  const { clock, dial, connect } = await start()
  const channels = Array.from({ length: 20 }, () => dial())
  assert.equal(channels.filter((channel) => channel.closed === undefined).length, 8)
  assert.equal(channels.at(-1)?.closed?.code, closeCodes.violation)
  await clock.advance(HELLO_TIMEOUT_MS)
  const later = await connect()
  assert.equal(later.closed, undefined)
})

describe('a session ends', () => {
  test('when its host is removed or joins anew, here or through another server', async () => {
    const { world, connect } = await start()
    const removed = await connect(1)
    const rejoined = await connect(2)
    change(world, gone('host', hostId(1)))
    assert.equal(closedWith(removed), closeCodes.revoked)
    const row = world.host.get(hostId(2))
    assert.ok(row)
    change(world, put('host', { ...row, certificateSerial: 'bbbbbbbbbbbbbbbb' } as typeof row))
    assert.equal(closedWith(rejoined), closeCodes.revoked)
  })

  test('when a newer one of its host takes over, here or elsewhere', async () => {
    const { world, connect, sessions } = await start()
    const first = await connect()
    const second = await connect()
    assert.equal(closedWith(first), closeCodes.replaced)
    assert.equal(closedWith(second), undefined)
    assert.equal(sessions.connected, 1)
    const row = world.host.get(hostId(1))
    assert.ok(row)
    change(world, put('host', { ...row, sessionId: 'elsewhere' } as typeof row))
    assert.equal(closedWith(second), closeCodes.replaced)
    assert.equal(sessions.connected, 0)
  })

  test('when the record says that its host is silent', async () => {
    const { world, connect } = await start()
    const channel = await connect()
    const row = world.host.get(hostId(1))
    assert.ok(row)
    change(world, put('host', { ...row, sessionId: null } as typeof row))
    assert.equal(closedWith(channel), closeCodes.silent)
  })

  test('before its welcome when it was revoked meanwhile', async () => {
    const { clock, world, server, dial } = await start()
    server.connect = async () => change(world, gone('host', hostId(1)))
    const channel = dial()
    channel.say(hello(1))
    await clock.advance(1)
    assert.equal(closedWith(channel), closeCodes.refused)
    assert.deepEqual(channel.received, [])
  })

  test('with a reason when it cannot be recorded, and as a defect when that is a bug', async () => {
    const { server, connect } = await start()
    server.connect = () => Promise.reject(new PlatformError('DATABASE_UNAVAILABLE'))
    const away = await connect()
    assert.equal(closedWith(away), closeCodes.refused)
    assert.match(away.closed?.reason ?? '', /DATABASE_UNAVAILABLE/)
    server.connect = () => Promise.reject(new Error('a bug'))
    const broken = await connect()
    assert.equal(closedWith(broken), closeCodes.internal)
    assert.doesNotMatch(broken.closed?.reason ?? '', /a bug/)
  })

  test('quietly when the agent goes, even while it is being recorded', async () => {
    const { clock, sessions, server, dial, connect } = await start()
    const channel = await connect()
    channel.cut()
    assert.equal(sessions.connected, 0)
    let admit: () => void = () => {}
    server.connect = () =>
      new Promise((resolve) => {
        admit = resolve
      })
    const early = dial()
    early.say(hello(1))
    early.cut()
    admit()
    await clock.advance(1)
    assert.equal(sessions.connected, 0)
    assert.deepEqual(early.received, [])
  })

  test('when its server stops', async () => {
    const { clock, sessions, dial, connect } = await start()
    const channel = await connect()
    const stopping = sessions.stop()
    await clock.advance(1)
    await stopping
    assert.equal(closedWith(channel), closeCodes.goingAway)
    assert.equal(closedWith(dial()), closeCodes.goingAway)
  })
})

test('a thousand hosts hear only of what concerns them', async () => {
  const { clock, world, dial } = await start()
  const hosts = Array.from({ length: 1_000 }, (_, n) => n + 10)
  change(world, ...hosts.map((n) => put('host', hostRow(n, { vtepAddress: null }))))
  const channels = hosts.map((n) => {
    const channel = dial(n)
    channel.say(hello(n, { hostId: hostId(n), vtepAddress: null } as { hostId: HostId }))
    return channel
  })
  await clock.advance(1)
  for (const channel of channels) assert.equal(channel.take('wanted').length, 1)
  change(world, put('set', setRow(1, { hostId: hostId(10) })))
  assert.deepEqual(channels.filter((channel) => channel.take('wanted').length > 0).length, 1)
})
