// Proves how an exec or logs stream comes together, what passes, what is bounded, and everything that ends it.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isPlatformError, seededRandom, VirtualClock } from '@nubo/base'
import { STREAM_FRAME_BYTES_MAX, type StreamControl } from '@nubo/contracts'
import type { HostContract, StreamRequest } from '@nubo/contracts/host'
import type { Log, LogFields } from '@nubo/runtime'
import { World } from '../world/index.ts'
import { closeCodes } from './close-codes.ts'
import {
  HOST_DIAL_TIMEOUT_MS,
  STREAM_PATH,
  STREAMS_PER_SERVER_MAX,
  STREAMS_PER_SET_MAX,
  StreamBroker,
  TICKET_VALIDITY_MS,
} from './streams.ts'
import { FakeSocket } from './testing/fake-socket.ts'
import { change, gone, hostId, hostRow, put, setId, setRow, tokenRow } from './testing/rows.ts'

const execRequest = (n = 1): StreamRequest => ({
  type: 'exec',
  setId: setId(n),
  epoch: 1,
  container: 'main',
  command: ['sh', '-c', 'echo secret'],
  tty: false,
  stdin: true,
  columns: 80,
  rows: 24,
})

function start() {
  const clock = new VirtualClock()
  const world = new World(clock)
  change(
    world,
    put('host', hostRow(1)),
    put('host', hostRow(2, { state: 'unreachable' })),
    put('set', setRow(1, { hostId: hostId(1) })),
    put('token', tokenRow()),
  )
  const lines: { message: string; fields: LogFields }[] = []
  const note = (message: string, fields: LogFields = {}) => void lines.push({ message, fields })
  const log: Log = { debug: note, info: note, warn: note, error: note, child: () => log }
  const asked: string[] = []
  let isAllowed = true
  const broker = new StreamBroker({
    world,
    clock,
    random: seededRandom(1),
    log,
    askHost: async (_host, token) => void asked.push(token),
  })
  broker.start()
  const open = (request = execRequest()) =>
    broker.open({
      tokenId: tokenRow().id,
      hostId: hostId(1),
      request,
      isStillAllowed: () => isAllowed,
    })
  const dialAsClient = (path: string): FakeSocket | undefined => {
    const attach = broker.claimForClient(path.slice(STREAM_PATH.length))
    if (attach === undefined) return undefined
    const socket = new FakeSocket()
    attach(socket)
    return socket
  }
  const dialAsHost = (token: string, n = 1, contract: HostContract = 2): FakeSocket | undefined => {
    const attach = broker.claimForHost(token, hostId(n), contract)
    if (attach === undefined) return undefined
    const socket = new FakeSocket()
    attach(socket)
    return socket
  }
  const connect = () => {
    const client = dialAsClient(open().path)
    const host = dialAsHost(asked.at(-1) ?? '')
    assert.ok(client && host)
    return { client, host }
  }
  const revoke = () => {
    isAllowed = false
    change(world, put('token', tokenRow({ revokedAtMs: 5 })))
  }
  const expire = () => {
    isAllowed = false
  }
  const actions = { open, dialAsClient, dialAsHost, connect, revoke, expire }
  return { clock, world, broker, lines, asked, ...actions }
}

const end: StreamControl = { type: 'end', exitCode: 3, error: null }
const errorOf = (socket: FakeSocket | undefined): string | undefined => {
  const last = socket?.controls().at(-1)
  return last?.type === 'end' ? last.error?.code : undefined
}

describe('a stream', () => {
  test('brings the request to the host, then passes frames both ways until the end', () => {
    const { broker, connect } = start()
    const { client, host } = connect()
    assert.deepEqual(JSON.parse(String(host.received.shift())), execRequest())
    client.say(Buffer.from([0, 104, 105]))
    client.say({ type: 'resize', columns: 100, rows: 30 })
    client.say({ type: 'stdin-end' })
    assert.deepEqual(host.received[0], Buffer.from([0, 104, 105]))
    assert.deepEqual(
      host.controls().map((control) => control.type),
      ['resize', 'stdin-end'],
    )
    host.say(Buffer.from([1, 111]))
    host.say(Buffer.from([2, 101]))
    client.say({ type: 'credit', bytes: 2 })
    host.say(end)
    assert.deepEqual(client.received.slice(0, 2), [Buffer.from([1, 111]), Buffer.from([2, 101])])
    assert.deepEqual(client.controls(), [end])
    assert.deepEqual([client.closed?.code, host.closed?.code], [1000, 1000])
    assert.equal(broker.size, 0)
  })

  test('keeps what the client says before the host is there', () => {
    const { open, dialAsClient, dialAsHost, asked } = start()
    const client = dialAsClient(open().path)
    client?.say(Buffer.from([0, 1]))
    client?.say(Buffer.from([0, 2]))
    const host = dialAsHost(asked[0] ?? '')
    assert.deepEqual(host?.received.slice(1), [Buffer.from([0, 1]), Buffer.from([0, 2])])
  })

  test('is audited: who, where, which program, and no more of the command', () => {
    const { lines, connect } = start()
    const { host } = connect()
    host.say(end)
    const audit = lines.filter(({ fields }) => fields['audit'] === 'exec')
    assert.deepEqual(
      audit.map(({ message }) => message),
      ['a stream was opened', 'a stream ended'],
    )
    const [opened] = audit
    assert.equal(opened?.fields['program'], 'sh')
    assert.equal(opened?.fields['tokenName'], 'dev')
    assert.equal(opened?.fields['set'], 'set-1')
    assert.equal(opened?.fields['container'], 'main')
    assert.doesNotMatch(JSON.stringify(lines), /secret/)
  })

  test('stops reading from a side while the other does not take it, and loses nothing', () => {
    const { connect } = start()
    const { client, host } = connect()
    client.drains = false
    const frame = Buffer.alloc(STREAM_FRAME_BYTES_MAX, 1)
    let frames = 0
    while (!host.isPaused) {
      host.say(frame)
      frames++
      assert.ok(frames < 20)
    }
    host.say(frame)
    assert.equal(client.closed, undefined)
    client.drain()
    assert.equal(host.isPaused, false)
    assert.equal(client.received.length, frames + 1)
  })

  test('is cut when a side goes on although it is not read', () => {
    const { connect } = start()
    const { client, host } = connect()
    client.drains = false
    for (let n = 0; n < 100; n++) host.say(Buffer.alloc(STREAM_FRAME_BYTES_MAX, 1))
    assert.equal(host.closed?.code, closeCodes.violation)
    assert.ok(client.received.length < 40)
  })
})

describe('tokens of a stream', () => {
  test('work once', () => {
    const { open, dialAsClient, dialAsHost, asked } = start()
    const { path } = open()
    assert.ok(dialAsClient(path))
    assert.equal(dialAsClient(path), undefined)
    const token = asked[0] ?? ''
    assert.ok(dialAsHost(token))
    assert.equal(dialAsHost(token), undefined)
  })

  test('work only for the right side and the right host', () => {
    const { open, dialAsClient, dialAsHost, asked } = start()
    const { path } = open()
    assert.equal(dialAsHost(path.slice(STREAM_PATH.length)), undefined)
    assert.ok(dialAsClient(path))
    const token = asked[0] ?? ''
    assert.equal(dialAsClient(STREAM_PATH + token), undefined)
    assert.equal(dialAsHost(token, 2), undefined)
    assert.ok(dialAsHost(token))
  })

  test('of the client run out', async () => {
    const { clock, broker, open, dialAsClient } = start()
    const { path, expiresAtMs } = open()
    assert.equal(expiresAtMs, clock.nowMs() + TICKET_VALIDITY_MS)
    await clock.advance(TICKET_VALIDITY_MS)
    assert.equal(dialAsClient(path), undefined)
    assert.equal(broker.size, 0)
  })
})

describe('a stream ends', () => {
  test('with HOST_UNREACHABLE when the host does not dial in time', async () => {
    const { clock, open, dialAsClient, dialAsHost, asked } = start()
    const client = dialAsClient(open().path)
    await clock.advance(HOST_DIAL_TIMEOUT_MS)
    assert.equal(errorOf(client), 'HOST_UNREACHABLE')
    assert.equal(client?.closed?.code, 1000)
    assert.equal(dialAsHost(asked[0] ?? ''), undefined)
  })

  test('with HOST_UNREACHABLE when the host closes without a last word', () => {
    const { connect } = start()
    const { client, host } = connect()
    host.close(1006, '')
    assert.equal(errorOf(client), 'HOST_UNREACHABLE')
  })

  test('for the host when the client goes, also while the host dials', () => {
    const { connect, open, dialAsClient, dialAsHost, asked } = start()
    const { client, host } = connect()
    client.close(1006, '')
    assert.equal(host.closed?.code, 1000)
    const early = dialAsClient(open().path)
    early?.close(1006, '')
    assert.equal(dialAsHost(asked.at(-1) ?? ''), undefined)
  })

  test('at once when the token is revoked, and soon when it runs out', async () => {
    const revoked = start()
    const first = revoked.connect()
    revoked.revoke()
    assert.equal(errorOf(first.client), 'UNAUTHENTICATED')
    assert.equal(first.host.closed?.code, 1000)
    const expired = start()
    const second = expired.connect()
    expired.expire()
    await expired.clock.advance(10_000)
    assert.equal(errorOf(second.client), 'UNAUTHENTICATED')
  })

  test('when its host is removed or joins anew, and not for other changes of the host', () => {
    for (const revoking of [
      gone('host', hostId(1)),
      put('host', hostRow(1, { certificateSerial: 'bbbbbbbbbbbbbbbb' })),
    ]) {
      const { world, connect } = start()
      const { client, host } = connect()
      change(world, put('host', hostRow(1, { cordoned: true })))
      assert.equal(errorOf(client), undefined)
      change(world, revoking)
      assert.equal(errorOf(client), 'HOST_UNREACHABLE')
      assert.equal(host.closed?.code, 1000)
    }
  })

  test('when the server stops', () => {
    const { broker, connect } = start()
    const { client, host } = connect()
    broker.stop()
    assert.equal(errorOf(client), 'HOST_UNREACHABLE')
    assert.ok(host.closed)
  })

  const violations: ['client' | 'host', string, string | Uint8Array][] = [
    ['client', 'output', Buffer.from([1, 1])],
    ['client', 'no channel', Buffer.alloc(0)],
    ['client', 'an end', JSON.stringify(end)],
    ['client', 'no JSON', '{'],
    ['client', 'an unknown kind', '{"type":"root-shell"}'],
    ['client', 'a large frame', Buffer.alloc(STREAM_FRAME_BYTES_MAX + 1)],
    ['host', 'input', Buffer.from([0, 1])],
    ['host', 'a resize', '{"type":"resize","columns":1,"rows":1}'],
    ['host', 'an unknown channel', Buffer.from([9, 1])],
  ]
  for (const [side, what, frame] of violations) {
    test(`when the ${side} sends ${what}`, () => {
      const { connect } = start()
      const both = connect()
      both[side].say(frame)
      assert.equal(both[side].closed?.code, closeCodes.violation)
      assert.ok(both.client.closed && both.host.closed)
      assert.equal(errorOf(both.client), 'PROTOCOL_VIOLATION')
      const other = side === 'client' ? both.host : both.client
      assert.equal(other.received.includes(frame), false)
    })
  }
})

describe('a stream is refused', () => {
  test('when the host is unreachable or unknown', () => {
    const { broker } = start()
    for (const n of [2, 9])
      assert.throws(
        () =>
          broker.open({
            tokenId: 't',
            hostId: hostId(n),
            request: execRequest(),
            isStillAllowed: () => true,
          }),
        (error) => isPlatformError(error, 'HOST_UNREACHABLE'),
      )
  })

  test('when a set or the server has too many', () => {
    const { broker, open } = start()
    const isRefused = (error: unknown) => isPlatformError(error, 'TOO_MANY_REQUESTS')
    for (let n = 0; n < STREAMS_PER_SET_MAX; n++) open(execRequest(1))
    assert.throws(() => open(execRequest(1)), isRefused)
    for (let n = STREAMS_PER_SET_MAX; n < STREAMS_PER_SERVER_MAX; n++)
      open(execRequest(2 + (n % 100)))
    assert.throws(() => open(execRequest(500)), isRefused)
    assert.equal(broker.size, STREAMS_PER_SERVER_MAX)
  })
})
