import assert from 'node:assert/strict'
import type http from 'node:http'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { test, type TestContext } from 'node:test'
import { DockerClient } from './client.ts'
import { DockerError } from './errors.ts'
import type { FollowedEvent } from './events.ts'
import { encodeAuth } from './images.ts'
import { startFakeEngine, type FakeEngine, type FakeEngineOptions } from './testing/fake-engine.ts'
import { collect } from './testing/collect.ts'
import { waitUntil } from './testing/wait-until.ts'

async function fake(t: TestContext, options: FakeEngineOptions): Promise<FakeEngine> {
  const engine = await startFakeEngine(options)
  t.after(async () => await engine.close())
  return engine
}

function reply(response: http.ServerResponse, status: number, body?: unknown): void {
  response.statusCode = status
  if (body === undefined) response.end()
  else response.setHeader('content-type', 'application/json').end(JSON.stringify(body))
}

const CONTAINER = {
  Id: 'c1',
  Name: '/web',
  Image: 'sha256:1',
  Config: { Labels: null, Tty: false },
  HostConfig: { NetworkMode: 'none' },
  State: {
    Status: 'running', Pid: 7, ExitCode: 0, OOMKilled: false, Error: '',
    StartedAt: '2026-01-02T03:04:05.5Z', FinishedAt: '0001-01-01T00:00:00Z',
  }, // prettier-ignore
}

test('short calls share kept connections and speak version 1.41', async (t) => {
  const engine = await fake(t, {
    onRequest: (_request, response) => reply(response, 200, CONTAINER),
  })
  for (let round = 0; round < 5; round += 1) {
    const container = await engine.client.containers.inspect('a/b c')
    assert.equal(container.name, 'web')
    assert.equal(container.pid, 7)
    assert.equal(container.finishedAtMs, null)
    assert.equal(container.startedAtMs, Date.UTC(2026, 0, 2, 3, 4, 5, 500))
  }
  assert.equal(engine.connections(), 1)
  assert.equal(engine.requests[0], 'GET /v1.41/containers/a%2Fb%20c/json')
})

test('each status has its kind, and the engine’s words are kept', async (t) => {
  let status = 0
  const engine = await fake(t, {
    onRequest: (_request, response) => reply(response, status, { message: 'because' }),
  })
  for (const [code, kind] of [
    [400, 'bad_request'],
    [401, 'denied'],
    [403, 'denied'],
    [404, 'not_found'],
    [409, 'conflict'],
    [500, 'server'],
    [503, 'server'],
    [418, 'protocol'],
  ] as const) {
    status = code
    await assert.rejects(engine.client.containers.start('x'), {
      kind,
      status: code,
      message: /because/,
    })
  }
  status = 304
  await engine.client.containers.start('x')
})

test('an error page that is not the engine’s is quoted from its beginning, however long', async (t) => {
  const engine = await fake(t, {
    onRequest: (_request, response) => {
      response.statusCode = 502
      response.end(`<html>${'x'.repeat(1_000_000)}`)
    },
  })
  await assert.rejects(engine.client.ping(), (error: Error) => {
    assert.match(error.message, /502/)
    assert.ok(error.message.length < 400)
    return true
  })
})

test('answers that are no JSON, lack fields or are too large are protocol errors', async (t) => {
  let body = ''
  const engine = await fake(t, {
    limits: { bodyBytesMax: 1_000 },
    onRequest: (_request, response) => response.end(body),
  })
  for (const text of ['<html>', '[]', '{}', 'null', '{"Id":1}', ' '.repeat(2_000)]) {
    body = text
    await assert.rejects(
      engine.client.containers.inspect('x'),
      { kind: 'protocol' },
      text.slice(0, 10),
    )
  }
})

test('an answer that is cut, or has a field of another type, is a typed error and nothing else', async (t) => {
  const whole = JSON.stringify(CONTAINER)
  const bodies = [
    ...Array.from({ length: whole.length }, (_, length) => whole.slice(0, length)),
    ...['Id', 'Name', 'Image', 'Config', 'HostConfig', 'State'].flatMap((field) =>
      [1, [], {}, 'x', true].map((value) => JSON.stringify({ ...CONTAINER, [field]: value })),
    ),
  ]
  let body = ''
  const engine = await fake(t, { onRequest: (_request, response) => response.end(body) })
  for (body of bodies) {
    await engine.client.containers.inspect('x').catch((error: unknown) => {
      assert.ok(
        error instanceof DockerError && error.kind === 'protocol',
        `${body}: ${String(error)}`,
      )
    })
  }
})

test('nobody at the socket is unreachable', async () => {
  const client = new DockerClient({ socketPath: '/nonexistent/docker.sock' })
  await assert.rejects(client.ping(), { kind: 'unreachable', status: 0 })
  await assert.rejects(client.execs.start('x', {}), { kind: 'unreachable' })
  await assert.rejects(collect(client.containers.logs('x')), { kind: 'unreachable' })
})

test('silence ends in a timeout, the caller’s signal in aborted', async (t) => {
  const engine = await fake(t, { onRequest: () => {} })
  await assert.rejects(engine.client.ping({ timeoutMs: 20 }), { kind: 'timeout' })
  const caller = new AbortController()
  const call = engine.client.ping({ signal: caller.signal })
  caller.abort()
  await assert.rejects(call, { kind: 'aborted' })
  await assert.rejects(engine.client.ping({ signal: AbortSignal.abort() }), { kind: 'aborted' })
})

test('an answer that stops half-way ends in a timeout, one that breaks is unreachable', async (t) => {
  const engine = await fake(t, {
    onRequest: (request, response) => {
      response.setHeader('content-length', 100)
      response.write('{')
      if (request.url?.includes('broken') === true) setImmediate(() => response.destroy())
    },
  })
  await assert.rejects(engine.client.containers.inspect('slow', { timeoutMs: 30 }), {
    kind: 'timeout',
  })
  await assert.rejects(engine.client.containers.inspect('broken'), { kind: 'unreachable' })
})

test('a reading call survives a kept connection that died; a changing one is not sent twice', async (t) => {
  let isDying = false
  const engine = await fake(t, {
    onRequest: (request, response) => {
      if (isDying && engine.connections() === 1) request.socket.destroy()
      else reply(response, 200, CONTAINER)
    },
  })
  await engine.client.containers.inspect('x')
  isDying = true
  await engine.client.containers.inspect('x')
  assert.equal(engine.requests.length, 3)

  const other = await fake(t, {
    onRequest: (request, response) => {
      if (request.method === 'POST') request.socket.destroy()
      else reply(response, 200, CONTAINER)
    },
  })
  await other.client.containers.inspect('x')
  await assert.rejects(other.client.containers.start('x'), { kind: 'unreachable' })
  assert.equal(other.requests.filter((line) => line.startsWith('POST')).length, 1)
})

test('calls beyond the limit are refused at once, and the limit frees itself', async (t) => {
  const waiting: http.ServerResponse[] = []
  const engine = await fake(t, {
    limits: { pendingMax: 2, streamsMax: 1, socketsMax: 1 },
    onRequest: (_request, response) => waiting.push(response),
  })
  const calls = [engine.client.ping(), engine.client.ping()]
  await assert.rejects(engine.client.ping(), { kind: 'overloaded' })
  // One connection: the second call waits behind the first.
  for (let answered = 0; answered < 2; answered += 1) {
    await waitUntil('a request', () => waiting.length > answered)
    waiting[answered]?.end()
  }
  await Promise.all(calls)

  const events = engine.client.events()
  const first = events.next()
  await waitUntil('the stream', () => waiting.length === 3)
  await assert.rejects(engine.client.events().next(), { kind: 'overloaded' })
  waiting[2]?.end()
  assert.equal((await first).done, true)
  const again = engine.client.events().next()
  await waitUntil('the next stream', () => waiting.length === 4)
  waiting[3]?.end()
  await again
})

test('a pull reports progress and finds the error inside the stream', async (t) => {
  let lines: unknown[] = []
  let headers: http.IncomingHttpHeaders = {}
  const engine = await fake(t, {
    onRequest: (request, response) => {
      headers = request.headers
      response.end(lines.map((line) => `${JSON.stringify(line)}\r\n`).join(''))
    },
  })
  const auth = { serverAddress: '127.0.0.1:5000', registryToken: 'secret?>' }
  const pull = async (onProgress?: (progress: unknown) => void): Promise<void> => {
    await engine.client.images.pull({
      repository: '127.0.0.1:5000/a/b',
      reference: 'sha256:00',
      auth,
      ...(onProgress === undefined ? {} : { onProgress }),
    })
  }
  lines = [
    { status: 'Pulling', id: 'sha256:00' },
    { status: 'Downloading', id: 'l1', progressDetail: { current: 5, total: 10 } },
    { status: 'Done', progressDetail: {} },
  ]
  const seen: unknown[] = []
  await pull((progress) => seen.push(progress))
  assert.deepEqual(seen[1], { id: 'l1', status: 'Downloading', currentBytes: 5, totalBytes: 10 })
  assert.equal(seen.length, 3)
  assert.equal(headers['x-registry-auth'], encodeAuth(auth))
  assert.deepEqual(JSON.parse(Buffer.from(encodeAuth(auth), 'base64url').toString()), {
    serveraddress: '127.0.0.1:5000',
    registrytoken: 'secret?>',
  })
  assert.equal(encodeAuth({ ...auth, registryToken: 'x' }).length % 4, 0)
  for (const [message, kind] of [
    ['manifest unknown: manifest unknown', 'not_found'],
    ['unauthorized: authentication required', 'denied'],
    ['write /x: no space left on device', 'server'],
  ] as const) {
    lines = [{ status: 'Pulling' }, { errorDetail: { message }, error: message }]
    await assert.rejects(pull(), { kind })
  }
})

test('a pull that goes silent is given up', async (t) => {
  const engine = await fake(t, {
    onRequest: (_request, response) => response.write('{"status":"Downloading"}\n'),
  })
  const pull = engine.client.images.pull({ repository: 'a', reference: 'b', idleTimeoutMs: 30 })
  await assert.rejects(pull, { kind: 'timeout' })
})

test('an upload that fails at its source fails the call; one that is refused early gives the refusal', async (t) => {
  let isFull = false
  const engine = await fake(t, {
    onRequest: (request) => {
      request.resume()
      // As Go's server does: answer, and leave the reading side open for a while.
      const refusal = '{"message":"no space left on device"}'
      if (isFull) {
        request.socket.write(
          `HTTP/1.1 500 Error\r\ncontent-length: ${refusal.length}\r\n\r\n${refusal}`,
        )
      }
    },
  })
  async function* broken(): AsyncGenerator<Buffer> {
    yield Buffer.from('x')
    throw new Error('disk gone')
  }
  await assert.rejects(engine.client.images.load(Readable.from(broken())), { kind: 'unreachable' })
  isFull = true
  async function* endless(): AsyncGenerator<Buffer> {
    for (;;) {
      yield Buffer.alloc(65_536)
      await sleep(1)
    }
  }
  const source = Readable.from(endless())
  await assert.rejects(engine.client.images.load(source), { kind: 'server', message: /no space/ })
  await waitUntil('the source is closed', () => source.destroyed)
})

test('a raw stream keeps bytes that came with its head, in both directions', async (t) => {
  const engine = await fake(t, {
    onUpgrade: (_request, socket) => {
      socket.write('HTTP/1.1 101 UPGRADED\r\nconnection: Upgrade\r\nupgrade: tcp\r\n\r\nhello ')
      socket.on('data', (bytes: Buffer) => socket.end(`got ${bytes.toString()}`))
    },
  })
  const connection = await engine.client.execs.start('x', { hasTty: true })
  connection.stdin.end('in')
  const chunks = await collect(connection.output)
  assert.equal(Buffer.concat(chunks.map((chunk) => chunk.bytes)).toString(), 'hello got in')
})

test('a refused exec gives its reason; a connection that breaks, a timeout and an abort are told apart', async (t) => {
  const engine = await fake(t, {
    onUpgrade: (request, socket) => {
      if (request.url?.includes('refused') === true) {
        socket.end('HTTP/1.1 409 Conflict\r\ncontent-length: 21\r\n\r\n{"message":"stopped"}')
      } else if (request.url?.includes('broken') === true) {
        socket.write(
          'HTTP/1.1 101 UPGRADED\r\nconnection: Upgrade\r\nupgrade: tcp\r\n\r\n\u0001\u0000',
        )
        setImmediate(() => socket.end())
      } else if (request.url?.includes('open') === true) {
        socket.write('HTTP/1.1 101 UPGRADED\r\nconnection: Upgrade\r\nupgrade: tcp\r\n\r\n')
      }
    },
  })
  await assert.rejects(engine.client.execs.start('refused', {}), {
    kind: 'conflict',
    message: /stopped/,
  })
  const broken = await engine.client.execs.start('broken', {})
  await assert.rejects(collect(broken.output), { kind: 'protocol' })
  await assert.rejects(engine.client.execs.start('silent', { timeoutMs: 20 }), { kind: 'timeout' })
  const caller = new AbortController()
  const open = await engine.client.execs.start('open', { signal: caller.signal })
  const reading = collect(open.output)
  caller.abort()
  await assert.rejects(reading, { kind: 'aborted' })
})

test('following events connects again from the last event on, and delivers nothing twice', async (t) => {
  const event = (n: number, action: string): string =>
    `${JSON.stringify({ Type: 'container', Action: action, Actor: { ID: 'c', Attributes: { n: String(n) } }, timeNano: 1_700_000_000_000_000_000 + n * 1_000_000 })}\n`
  const scripts = [
    (response: http.ServerResponse) => response.write(event(1, 'start') + event(2, 'die')),
    (response: http.ServerResponse) => reply(response, 500, { message: 'starting' }),
    (response: http.ServerResponse) => response.write(event(2, 'die') + event(3, 'start')),
  ]
  const engine = await fake(t, {
    onRequest: (_request, response) => scripts.shift()?.(response),
  })
  const caller = new AbortController()
  const waits: number[] = []
  const seen: string[] = []
  const note = (followed: FollowedEvent): void => {
    if (followed.kind !== 'event') seen.push(followed.kind)
    else seen.push(`${followed.event.action}${followed.event.attributes['n']}`)
  }
  for await (const followed of engine.client.followEvents({
    signal: caller.signal,
    retryMs: { first: 1, last: 4 },
    sleep: async (ms) => {
      waits.push(ms)
    },
  })) {
    note(followed)
    if (seen.at(-1) === 'die2') engine.cut()
    if (seen.at(-1) === 'start3') caller.abort()
  }
  assert.deepEqual(seen, ['connected', 'start1', 'die2', 'lost', 'lost', 'connected', 'start3'])
  assert.deepEqual(waits, [1, 2])
  assert.match(engine.requests[2] ?? '', /since=1700000000\.00199/)
})

test('leaving the events closes their connection, also before the first of them', async (t) => {
  let isClosed = false
  const engine = await fake(t, {
    onRequest: (request, response) => {
      request.socket.once('close', () => (isClosed = true))
      response.flushHeaders()
    },
  })
  for await (const followed of engine.client.followEvents({
    signal: new AbortController().signal,
  })) {
    assert.equal(followed.kind, 'connected')
    break
  }
  await waitUntil('closed', () => isClosed)
})

test('log entries come with stream and time; an entry without one is a protocol error', async (t) => {
  const frame = (stream: number, text: string): Buffer => {
    const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, text.length])
    return Buffer.concat([header, Buffer.from(text)])
  }
  let body: Buffer = Buffer.alloc(0)
  const engine = await fake(t, { onRequest: (_request, response) => response.end(body) })
  body = Buffer.concat([
    frame(1, '2026-01-02T03:04:05.500000000Z out\n'),
    frame(2, '2026-01-02T03:04:06.000000000Z err\n'),
  ])
  const entries = await collect(engine.client.containers.logs('x', { tail: 5, sinceMs: 1_000 }))
  assert.deepEqual(
    entries.map((entry) => [entry.stream, entry.bytes.toString(), entry.atMs]),
    [
      ['stdout', 'out\n', Date.UTC(2026, 0, 2, 3, 4, 5, 500)],
      ['stderr', 'err\n', Date.UTC(2026, 0, 2, 3, 4, 6)],
    ],
  )
  assert.match(engine.requests[0] ?? '', /since=1\.000000000/)
  assert.match(engine.requests[0] ?? '', /tail=5/)
  body = Buffer.from('2026-01-02T03:04:05.500000000Z tty one\r\n2026-01-02T03:04:06.000000000Z two')
  const lines = await collect(engine.client.containers.logs('x', { hasTty: true }))
  assert.deepEqual(
    lines.map((line) => line.bytes.toString()),
    ['tty one\r\n', 'two'],
  )
  // In milliseconds this rounds up to the next second; nanoseconds are exact.
  body = frame(1, '2026-01-02T03:04:05.999999999Z x\n')
  const [last] = await collect(engine.client.containers.logs('x'))
  assert.equal(last?.atNs, BigInt(Date.UTC(2026, 0, 2, 3, 4, 5)) * 1_000_000n + 999_999_999n)
  body = frame(1, 'no time here')
  await assert.rejects(collect(engine.client.containers.logs('x')), { kind: 'protocol' })
})
