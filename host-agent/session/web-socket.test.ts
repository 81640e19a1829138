import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { systemClock } from '@nubo/runtime/process'
import type { WebSocket } from 'ws'
import { joinRegion } from '../join/join.ts'
import { TestCa, TestServer } from '../testing/region.ts'
import { testId } from '../testing/wanted.ts'
import { webSocketConnector, webSocketStreamDialer } from './web-socket.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'nt-ws-'))
const server = await TestServer.start(await TestCa.make())
server.answers.set('/host/v1/join', async (body) => {
  assert.ok(typeof body === 'object' && body !== null && 'certificateRequest' in body)
  return {
    status: 200,
    body: {
      hostId: testId('host', 1),
      certificate: await server.ca.certify(String(body.certificateRequest), []),
      ca: server.ca.pem,
      expiresAtMs: Date.now() + 86_400_000,
    },
  }
})
const identity = await joinRegion({ token: server.token(), stateDir: folder, clock: systemClock })
after(async () => {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

const connector = webSocketConnector(() => identity)
const never = new AbortController().signal

/** Everything a handler was told, and a promise of the next thing. */
function listener() {
  const told: string[] = []
  let wake = Promise.withResolvers<void>()
  const tell = (what: string): void => {
    told.push(what)
    wake.resolve()
    wake = Promise.withResolvers()
  }
  return {
    told,
    handlers: {
      onText: (text: string) => tell(`text ${text.slice(0, 20)}`),
      onBytes: (bytes: Uint8Array) => tell(`bytes ${Buffer.from(bytes).toString('hex')}`),
      onClose: (reason?: string) => tell(`close ${reason ?? ''}`),
    },
    until: async (count: number) => {
      while (told.length < count) await wake.promise
    },
  }
}

test('a machine that does not even answer at TCP is given up before one that is busy', async (t) => {
  // One that never accepts, and whose kernel has no room for another connection to wait.
  const deaf = new Worker(
    `const { parentPort } = require('node:worker_threads')
     const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
       parentPort.postMessage(server.address().port)
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
     })`,
    { eval: true },
  )
  t.after(() => deaf.terminate())
  const [port] = await once(deaf, 'message')
  const fill = Array.from({ length: 4 }, () => connect({ port, host: '127.0.0.1' }))
  for (const socket of fill) socket.on('error', () => undefined)
  t.after(() => {
    for (const socket of fill) socket.destroy()
  })
  await once(fill[0] ?? deaf, 'connect')
  const outcome = connector.connect(`127.0.0.1:${port}`, listener().handlers, never, [2])
  await assert.rejects(outcome, ({ cause }: Error) =>
    /no TCP connection within 4000 ms/.test(String(cause)),
  )
})

test('texts go both ways over mTLS, and the end is told once with its reason', async () => {
  const accepted = Promise.withResolvers<WebSocket>()
  server.onSocket = (socket, url) => {
    assert.equal(url, '/host/v2/session')
    accepted.resolve(socket)
  }
  const { told, handlers, until } = listener()
  const channel = await connector.connect(server.address, handlers, never, [2, 1])
  const peer = await accepted.promise
  const heard = new Promise<string>((resolve) =>
    peer.once('message', (text: Buffer) => resolve(text.toString())),
  )
  channel.send('hello')
  assert.equal(await heard, 'hello')
  peer.send('welcome')
  await until(1)
  channel.close('done here')
  channel.close('again')
  await until(2)
  assert.deepEqual(told, ['text welcome', 'close done here'])
  channel.send('into the void')
})

test('a message over the limit ends the connection', async () => {
  server.onSocket = (socket) => socket.send('x'.repeat(5 * 2 ** 20))
  const { told, handlers, until } = listener()
  await connector.connect(server.address, handlers, never, [2, 1])
  await until(1)
  assert.match(told[0] ?? '', /^close/)
})

test('binary messages are no part of a session', async () => {
  server.onSocket = (socket) => socket.send(Buffer.from([1, 2]))
  const { told, handlers, until } = listener()
  await connector.connect(server.address, handlers, never, [2, 1])
  await until(1)
  assert.match(told[0] ?? '', /^close/)
})

test('a server that is away, is of another region, or is given up, is an error', async () => {
  const { handlers, told } = listener()
  await assert.rejects(connector.connect('127.0.0.1:1', handlers, never, [2, 1]), {
    code: 'HOST_UNREACHABLE',
  })
  const stranger = await TestServer.start(await TestCa.make())
  await assert.rejects(connector.connect(stranger.address, handlers, never, [2, 1]), {
    code: 'HOST_UNREACHABLE',
  })
  await stranger.stop()
  const abort = new AbortController()
  const connecting = connector.connect(server.address, handlers, abort.signal, [2, 1])
  abort.abort(new Error('given up'))
  await assert.rejects(connecting, /given up/)
  assert.deepEqual(told, [])
})

test('a server that does not know the newest version is dialled in the one before; one that knows none is an error', async () => {
  const { handlers } = listener()
  const paths: string[] = []
  server.onSocket = (_socket, url) => void paths.push(url)
  server.unknownPaths.add('/host/v2/session')
  const old = await connector.connect(server.address, handlers, never, [2, 1])
  assert.deepEqual([old.contract, paths], [1, ['/host/v1/session']])
  await assert.rejects(connector.connect(server.address, handlers, never, [2]), {
    code: 'HOST_UNREACHABLE',
    message: /no version of the host contract/,
  })
  // After its upgrade it is at once spoken to in the new one.
  server.unknownPaths.clear()
  const upgraded = await connector.connect(server.address, handlers, never, [2, 1])
  assert.equal(upgraded.contract, 2)
  for (const channel of [old, upgraded]) channel.close('done')
})

test('a stream carries bytes and texts; what the server says first is not lost', async () => {
  const heard: string[] = []
  const closed = Promise.withResolvers<void>()
  server.onSocket = (socket, url) => {
    assert.equal(url, '/host/v2/streams/tok%2Fen')
    socket.send('first')
    socket.on('message', (message: Buffer, isBinary) =>
      heard.push(message.toString(isBinary ? 'hex' : 'utf8')),
    )
    socket.on('close', () => closed.resolve())
  }
  const { told, handlers, until } = listener()
  const socket = await webSocketStreamDialer(() => identity).dial(
    { server: server.address, token: 'tok/en', contracts: [2, 1] },
    handlers,
    never,
  )
  await until(1)
  socket.sendText('text')
  socket.sendBytes(Uint8Array.of(1, 255))
  socket.close()
  await closed.promise
  assert.deepEqual(heard, ['text', '01ff'])
  await until(2)
  assert.deepEqual(told, ['text first', 'close '])
})

test('a server that does not know the path of the newest streams is dialled on the one before, and nobody hears of it', async () => {
  const asked: string[] = []
  server.onSocket = (socket, url) => {
    asked.push(url)
    socket.send('first')
  }
  const { told, handlers, until } = listener()
  const dialer = webSocketStreamDialer(() => identity)
  const request = { server: server.address, token: 'token' }
  server.unknownPaths.add('/host/v2/streams/token')
  const socket = await dialer.dial({ ...request, contracts: [2, 1] }, handlers, never)
  await until(1)
  assert.deepEqual([socket.contract, asked, told], [1, ['/host/v1/streams/token'], ['text first']])
  await assert.rejects(dialer.dial({ ...request, contracts: [2] }, handlers, never), {
    code: 'HOST_UNREACHABLE',
  })
  socket.close()
  await until(2)
  assert.deepEqual(told, ['text first', 'close '])
  server.unknownPaths.clear()
})
