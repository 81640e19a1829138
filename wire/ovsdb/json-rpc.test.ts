import assert from 'node:assert/strict'
import { test } from 'node:test'

import { OvsdbError, type OvsdbErrorKind } from './errors.ts'
import { JsonRpcPeer, type JsonRpcPeerOptions } from './json-rpc.ts'
import { ManualTimers, settle } from './testing/manual-timers.ts'
import { below, seededRandom } from './testing/random.ts'
import { ScriptedServer } from './testing/scripted-server.ts'

interface Pair {
  server: ScriptedServer
  peer: JsonRpcPeer
  timers: ManualTimers
}

function connect(options: JsonRpcPeerOptions = {}): Pair {
  const server = new ScriptedServer()
  const timers = new ManualTimers()
  return { server, timers, peer: new JsonRpcPeer(server.clientEnd, { timers, ...options }) }
}

function hasKind(kind: OvsdbErrorKind): (error: unknown) => boolean {
  return (error) => error instanceof OvsdbError && error.kind === kind
}

test('requests are numbered and answers find their request in any order', async () => {
  const { server, peer } = connect()
  const first = peer.request('echo', ['a'])
  const second = peer.request('get_schema', ['Open_vSwitch'])
  await settle()
  assert.equal(
    server.texts.join(''),
    '{"method":"echo","params":["a"],"id":1}{"method":"get_schema","params":["Open_vSwitch"],"id":2}',
  )
  server.send({ id: 2, error: null, result: 'two' }, { id: 1, result: 'one', error: null })
  assert.deepEqual(await Promise.all([first, second]), ['one', 'two'])
  peer.close()
})

test('an echo of the peer is answered, any other request refused, a notice passed on', async () => {
  const notices: unknown[] = []
  const { server, peer } = connect({
    onNotification: (method, params) => notices.push([method, params]),
  })
  server.send(
    { method: 'echo', params: ['x'], id: 'echo' },
    { method: 'steal', params: [], id: 9 },
    { method: 'update2', params: [1], id: null },
    { method: 'bare' },
  )
  await settle()
  assert.deepEqual(server.received, [
    { result: ['x'], error: null, id: 'echo' },
    { result: null, error: { error: 'unknown method', details: 'steal' }, id: 9 },
  ])
  assert.deepEqual(notices, [
    ['update2', [1]],
    ['bare', []],
  ])
  peer.close()
})

test('errors of the peer are typed, in both of their forms', async () => {
  const { server, peer } = connect()
  const text = peer.request('a', [])
  await settle()
  server.replyError('unknown method')
  await assert.rejects(text, { kind: 'rpc', error: 'unknown method' })
  const object = peer.request('b', [])
  await settle()
  server.replyError({ error: 'syntax error', details: 'here', syntax: '{}' })
  await assert.rejects(object, { kind: 'rpc', error: 'syntax error', details: 'here' })
  peer.close()
})

test('a request ends at its deadline and a late answer is ignored', async () => {
  const { server, peer, timers } = connect({ keepAliveMs: 0 })
  const request = peer.request('slow', [], { deadlineMs: 100 })
  const rejected = assert.rejects(request, hasKind('timeout'))
  await timers.advance(100)
  await rejected
  server.reply('late')
  await settle()
  assert.equal(peer.isClosed, false)
  assert.equal(timers.pending, 0)
  peer.close()
})

test('the number of open requests is limited', async () => {
  const { peer } = connect({ limits: { pendingRequestsMax: 1 } })
  const first = assert.rejects(peer.request('a', []), hasKind('lost'))
  await assert.rejects(peer.request('b', []), hasKind('overloaded'))
  peer.close()
  await first
})

test('a peer that does not read is noticed', async () => {
  const { peer } = connect({ limits: { sendBufferBytesMax: 100_000 } })
  const big = 'x'.repeat(150_000)
  const first = assert.rejects(peer.request('a', [big, big]), hasKind('lost'))
  // The scripted server reads only in a later turn, so both are still buffered here.
  const second = peer.request('b', [big])
  await assert.rejects(second, hasKind('overloaded'))
  peer.close()
  await first
})

test('a closed connection answers with lost, and afterwards with unavailable', async () => {
  const { server, peer, timers } = connect()
  const open = assert.rejects(peer.request('a', []), hasKind('lost'))
  server.end()
  await open
  assert.equal((await peer.closed).kind, 'lost')
  await assert.rejects(peer.request('b', []), hasKind('unavailable'))
  assert.throws(() => peer.notify('c', []), hasKind('unavailable'))
  peer.close()
  assert.equal(timers.pending, 0)
})

test('a stream that is over already is a closed connection', async () => {
  const server = new ScriptedServer()
  server.clientEnd.destroy()
  const peer = new JsonRpcPeer(server.clientEnd)
  await assert.rejects(peer.request('a', []), hasKind('unavailable'))
})

test('silence is probed with an echo and then ends the connection', async () => {
  const { server, peer, timers } = connect({ keepAliveMs: 1_000 })
  await timers.advance(1_000)
  assert.equal(server.received.length, 0)
  await timers.advance(1_000)
  assert.equal(server.last().method, 'echo')
  server.reply([])
  await timers.advance(1_000)
  assert.equal(peer.isClosed, false)
  await timers.advance(1_000)
  assert.equal(server.received.length, 2)
  await timers.advance(1_000)
  assert.equal(peer.isClosed, true)
  assert.equal((await peer.closed).error, 'the peer is silent')
})

test('what is no JSON-RPC closes the connection with a protocol error', async () => {
  const bad: readonly unknown[] = [
    {},
    { method: 5, params: [] },
    { method: 'a', params: {} },
    { result: 1, error: null, id: 77 },
    { result: 1, error: null, id: 'x' },
    { result: 1, error: null },
  ]
  for (const message of bad) {
    const { server, peer } = connect()
    const open = assert.rejects(peer.request('a', []), hasKind('lost'))
    server.send(message)
    assert.equal((await peer.closed).kind, 'protocol', JSON.stringify(message))
    await open
  }
})

test('onResult runs before the message that follows in the same chunk', async () => {
  const order: string[] = []
  const { server, peer } = connect({ onNotification: () => order.push('notice') })
  const request = peer.request('monitor', [], { onResult: () => order.push('result') })
  await settle()
  server.send({ id: 1, result: {}, error: null }, { method: 'update', params: [], id: null })
  await request
  assert.deepEqual(order, ['result', 'notice'])
  peer.close()
})

test('flipped and truncated conversations end in answers or typed errors, and every request settles', async () => {
  const random = seededRandom(11)
  const replies = [1, 2, 3].map((id) => JSON.stringify({ id, result: { a: [id] }, error: null }))
  const whole = Buffer.from(`${replies.join('')}{"method":"echo","params":[],"id":"e"}`)
  for (let round = 0; round < 300; round += 1) {
    const { server, peer } = connect({ keepAliveMs: 0 })
    const requests = [1, 2, 3].map((n) =>
      peer.request('m', [n]).catch((error: unknown) => {
        assert.ok(error instanceof OvsdbError, `seed 11 round ${round}`)
      }),
    )
    const bytes = Buffer.from(whole.subarray(0, 1 + below(random, whole.length)))
    const at = below(random, bytes.length)
    bytes[at] = (bytes[at] ?? 0) ^ (1 << below(random, 8))
    server.sendRaw(bytes)
    await settle()
    peer.close()
    await Promise.all(requests)
  }
})
