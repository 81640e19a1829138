import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { PlatformError, VirtualClock } from '@nubo/base'
import { LOG_POSITION_BYTES, STREAM_CREDIT_BYTES, STREAM_FRAME_BYTES_MAX } from '@nubo/contracts'
import type { HostContract, StreamRequest } from '@nubo/contracts/host'
import { silentLog } from '@nubo/runtime/process'
import type {
  ExecRequest,
  ExecStream,
  LogEntry,
  LogRequest,
  OutputChunk,
} from '../drivers/set/set-driver.ts'
import { testContainer, testSet, testUpdate } from '../testing/wanted.ts'
import { MemoryDisk } from '../wanted/disk.ts'
import { WantedStore } from '../wanted/wanted-store.ts'
import type { StreamHandlers } from './stream-socket.ts'
import { Streams, STREAMS_MAX } from './streams.ts'

const noPositions = { positions: false, after: null }

/** The far end of a stream, and the program at the near one. */
class Rig {
  readonly clock = new VirtualClock()
  readonly texts: unknown[] = []
  readonly frames: Buffer[] = []
  readonly asked: { container: string; request: ExecRequest }[] = []
  readonly logAsked: { container: string; request: LogRequest }[] = []
  readonly steered: string[] = []
  readonly stdin = new PassThrough({ highWaterMark: 1 })
  readonly streams: Streams
  isClosed = false
  isExecClosed = false
  hasDialled = 0
  output: AsyncIterable<OutputChunk> = chunks([])
  logs: Record<string, LogEntry[]> = {}
  logSource: (() => AsyncIterable<LogEntry>) | undefined
  exitCode: Promise<number> = Promise.resolve(0)
  canDial = true
  contract: HostContract = 2
  /** Programs run from then on. */
  started = Promise.resolve()
  #handlers: StreamHandlers | undefined

  constructor() {
    const store = new WantedStore({ disk: new MemoryDisk(), log: silentLog })
    const set = testSet({
      epoch: 2,
      containers: [testContainer({ name: 'web' }), testContainer({ name: 'db' })],
    })
    store.apply(testUpdate(1, [set], { full: true }), 'boot')
    this.streams = new Streams({
      clock: this.clock,
      log: silentLog,
      store,
      driver: {
        exec: (_setId, container, request) => this.#exec(container, request),
        logs: (_setId, container, request) => {
          this.logAsked.push({ container, request })
          if (this.logSource !== undefined) return this.logSource()
          return this.logs[container] === undefined ? absent() : chunks(this.logs[container])
        },
      },
      contracts: [2, 1],
      dialer: {
        dial: async (_request, handlers) => {
          this.hasDialled += 1
          await Promise.resolve()
          if (!this.canDial) throw new Error('no such token')
          this.#handlers = handlers
          return {
            contract: this.contract,
            bufferedBytes: 0,
            sendText: (text) => this.texts.push(JSON.parse(text)),
            sendBytes: (bytes) => this.frames.push(Buffer.from(bytes)),
            close: () => (this.isClosed = true),
          }
        },
      },
    })
  }

  async open(request?: Partial<StreamRequest>): Promise<void> {
    this.streams.open({ server: 's1', token: 't' })
    await this.clock.advance(0)
    if (request === undefined) return
    this.text({
      type: 'exec',
      setId: testSet().id,
      epoch: 2,
      container: 'web',
      ...(request.type === 'logs'
        ? { follow: false, sinceMs: null, tail: null, ...(this.contract === 2 && noPositions) }
        : { command: ['sh'], tty: false, stdin: true, columns: 80, rows: 24 }),
      ...request,
    })
    await this.clock.advance(0)
  }

  text(message: unknown): void {
    this.#handlers?.onText(JSON.stringify(message))
  }

  rawText(text: string): void {
    this.#handlers?.onText(text)
  }

  bytes(bytes: Uint8Array): void {
    this.#handlers?.onBytes(bytes)
  }

  hangUp(): void {
    this.#handlers?.onClose()
  }

  get end(): unknown {
    return this.texts.at(-1)
  }

  get carried(): string {
    return Buffer.concat(this.frames.map((frame) => frame.subarray(1))).toString()
  }

  async #exec(container: string, request: ExecRequest): Promise<ExecStream> {
    await this.started
    this.asked.push({ container, request })
    return {
      stdin: this.stdin,
      output: this.output,
      exitCode: this.exitCode,
      resize: async ({ columns, rows }) => void this.steered.push(`${columns}x${rows}`),
      signal: async (name) => void this.steered.push(name),
      close: () => (this.isExecClosed = true),
    }
  }
}

/** As the logs of a container that has not been made. */
async function* absent(): AsyncGenerator<LogEntry> {
  await Promise.resolve()
  yield* []
  throw new PlatformError('NOT_FOUND', {})
}

async function* chunks<Item>(items: Item[], until: Promise<void> = Promise.resolve()) {
  for (const item of items) yield item
  await until
}

const stdout = (text: string | Uint8Array): OutputChunk => ({
  stream: 'stdout',
  bytes: Buffer.from(text),
})

test('a program gets what was asked, and its output, error output and exit code are carried', async () => {
  const rig = new Rig()
  rig.output = chunks([stdout('out'), { stream: 'stderr', bytes: Buffer.from('err') }])
  rig.exitCode = Promise.resolve(3)
  await rig.open({ type: 'exec', tty: true, command: ['ls', '-l'] })
  assert.deepEqual(rig.asked, [
    {
      container: 'web',
      request: { command: ['ls', '-l'], tty: true, stdin: true, columns: 80, rows: 24 },
    },
  ])
  assert.deepEqual(
    rig.frames.map((frame) => [frame[0], frame.subarray(1).toString()]),
    [
      [1, 'out'],
      [2, 'err'],
    ],
  )
  assert.deepEqual(rig.end, { type: 'end', exitCode: 3, error: null })
  assert.ok(rig.isClosed)
  assert.equal(rig.streams.count, 0)
})

test('output stops at the credit and goes on with it, in frames of the contract', async () => {
  const rig = new Rig()
  const all = STREAM_CREDIT_BYTES + 100_000
  rig.output = chunks([stdout(new Uint8Array(all))])
  await rig.open({ type: 'exec' })
  const sent = (): number => rig.frames.reduce((sum, frame) => sum + frame.length - 1, 0)
  assert.equal(sent(), STREAM_CREDIT_BYTES)
  rig.text({ type: 'credit', bytes: 40_000 })
  await rig.clock.advance(0)
  assert.equal(sent(), STREAM_CREDIT_BYTES + 40_000)
  rig.text({ type: 'credit', bytes: 200_000 })
  await rig.clock.advance(0)
  assert.equal(sent(), all)
  assert.ok(rig.frames.every((frame) => frame.length <= STREAM_FRAME_BYTES_MAX))
  assert.deepEqual(rig.end, { type: 'end', exitCode: 0, error: null })
})

test('input is passed on and acknowledged as the program reads it; its end too', async () => {
  const rig = new Rig()
  const over = Promise.withResolvers<void>()
  rig.output = chunks([], over.promise)
  await rig.open({ type: 'exec' })
  rig.bytes(Buffer.concat([Uint8Array.of(0), Buffer.from('abc')]))
  rig.bytes(Buffer.concat([Uint8Array.of(0), Buffer.from('defg')]))
  rig.text({ type: 'stdin-end' })
  const read: string[] = []
  rig.stdin.on('data', (chunk: Buffer) => read.push(chunk.toString()))
  const ended = new Promise<void>((resolve) => rig.stdin.once('end', () => resolve()))
  await ended
  assert.equal(read.join(''), 'abcdefg')
  assert.deepEqual(rig.texts, [
    { type: 'credit', bytes: 3 },
    { type: 'credit', bytes: 4 },
  ])
  over.resolve()
  await rig.clock.advance(0)
  assert.deepEqual(rig.end, { type: 'end', exitCode: 0, error: null })
})

test('what is said to a program before it runs reaches it, in order', async () => {
  const rig = new Rig()
  const start = Promise.withResolvers<void>()
  rig.started = start.promise
  rig.output = chunks([], new Promise(() => undefined))
  await rig.open({ type: 'exec' })
  rig.bytes(Buffer.concat([Uint8Array.of(0), Buffer.from('abc')]))
  rig.text({ type: 'resize', columns: 100, rows: 30 })
  rig.bytes(Buffer.concat([Uint8Array.of(0), Buffer.from('defg')]))
  rig.text({ type: 'stdin-end' })
  await rig.clock.advance(0)
  assert.deepEqual(rig.texts, [])
  start.resolve()
  const read: string[] = []
  rig.stdin.on('data', (chunk: Buffer) => read.push(chunk.toString()))
  await new Promise<void>((resolve) => rig.stdin.once('end', () => resolve()))
  assert.equal(read.join(''), 'abcdefg')
  await rig.clock.advance(0)
  assert.deepEqual(rig.steered, ['100x30'])
  assert.deepEqual(rig.texts, [
    { type: 'credit', bytes: 3 },
    { type: 'credit', bytes: 4 },
  ])
})

test('sizes and signals reach the program in their order', async () => {
  const rig = new Rig()
  const over = Promise.withResolvers<void>()
  rig.output = chunks([], over.promise)
  await rig.open({ type: 'exec', tty: true })
  rig.text({ type: 'resize', columns: 100, rows: 30 })
  rig.text({ type: 'signal', signal: 'INT' })
  rig.text({ type: 'resize', columns: 101, rows: 31 })
  await rig.clock.advance(0)
  assert.deepEqual(rig.steered, ['100x30', 'SIGINT', '101x31'])
  over.resolve()
  await rig.clock.advance(0)
})

test('a program ends with its stream, whoever ends that', async () => {
  for (const hangUp of [
    (rig: Rig) => rig.hangUp(),
    (rig: Rig) => rig.streams.close(),
    (rig: Rig) => rig.text({ type: 'end', exitCode: null, error: null }),
  ]) {
    const rig = new Rig()
    const over = Promise.withResolvers<void>()
    rig.output = chunks([stdout('x')], over.promise)
    await rig.open({ type: 'exec' })
    hangUp(rig)
    assert.ok(rig.isExecClosed)
    over.resolve()
    await rig.clock.advance(0)
    assert.equal(rig.streams.count, 0)
  }
})

test('another placement, an unknown set or container, are refused', async () => {
  for (const request of [
    { type: 'exec' as const, epoch: 1 },
    { type: 'exec' as const, setId: testSet().id.replace('0190', '0191') },
    { type: 'exec' as const, container: 'cache' },
    { type: 'logs' as const, container: 'cache' },
  ]) {
    const rig = new Rig()
    await rig.open(request)
    assert.equal(rig.asked.length, 0)
    assert.deepEqual(rig.end, {
      type: 'end',
      exitCode: null,
      error: { code: 'NOT_FOUND', message: 'No such thing exists, or not for this token.' },
    })
  }
})

test('what breaks the contract ends the stream, and the program', async () => {
  const bad: Record<string, (rig: Rig) => void> = {
    'a frame of stdout': (rig) => rig.bytes(Uint8Array.of(1, 65)),
    'an empty frame': (rig) => rig.bytes(new Uint8Array(0)),
    'an unknown control': (rig) => rig.text({ type: 'reboot' }),
    'no JSON': (rig) => rig.rawText('{'),
    'endless input': (rig) => {
      for (let at = 0; at < 100; at++) rig.bytes(new Uint8Array(STREAM_FRAME_BYTES_MAX))
    },
  }
  for (const [name, act] of Object.entries(bad)) {
    const rig = new Rig()
    const over = Promise.withResolvers<void>()
    rig.output = chunks([], over.promise)
    await rig.open({ type: 'exec' })
    act(rig)
    over.resolve()
    await rig.clock.advance(0)
    assert.ok(rig.isExecClosed, name)
    assert.ok(JSON.stringify(rig.end).includes('PROTOCOL_VIOLATION'), name)
    assert.equal(rig.streams.count, 0, name)
  }
  const rig = new Rig()
  await rig.open()
  rig.text({ type: 'exec' })
  await rig.clock.advance(0)
  assert.ok(JSON.stringify(rig.end).includes('PROTOCOL_VIOLATION'))
})

test('a server that asks nothing, or refuses the token, leaves nothing behind', async () => {
  const silent = new Rig()
  await silent.open()
  await silent.clock.advance(10_000)
  assert.ok(JSON.stringify(silent.end).includes('DEADLINE_EXCEEDED'))
  assert.equal(silent.streams.count, 0)
  const refused = new Rig()
  refused.canDial = false
  await refused.open()
  assert.equal(refused.streams.count, 0)
})

test('streams are bounded: more are refused with a reason, far more not answered', async () => {
  const rig = new Rig()
  for (let at = 0; at < 2 * STREAMS_MAX + 10; at++)
    rig.streams.open({ server: 's', token: `${at}` })
  assert.equal(rig.streams.count, 2 * STREAMS_MAX)
  await rig.clock.advance(0)
  assert.equal(rig.hasDialled, 2 * STREAMS_MAX)
  assert.equal(rig.streams.count, STREAMS_MAX)
  assert.ok(JSON.stringify(rig.texts).includes('TOO_MANY_REQUESTS'))
})

test('logs of one container come as they are, those of a set with names, in the order of time', async () => {
  const entry = (text: string, atMs: number): LogEntry => ({
    stream: 'stdout',
    bytes: Buffer.from(text),
    atNs: BigInt(atMs) * 1_000_000n,
  })
  const logs = { web: [entry('a\n', 1), entry('d\n', 4)], db: [entry('b\n', 2), entry('c\n', 3)] }
  const one = new Rig()
  one.logs = logs
  await one.open({ type: 'logs', container: 'db', tail: 5, sinceMs: 7 })
  assert.equal(one.carried, 'b\nc\n')
  assert.equal(one.logAsked[0]?.request.tail, 5)
  assert.equal(one.logAsked[0]?.request.sinceMs, 7)
  assert.deepEqual(one.end, { type: 'end', exitCode: null, error: null })
  const all = new Rig()
  all.logs = logs
  await all.open({ type: 'logs', container: null })
  assert.equal(all.carried, 'web | a\ndb  | b\ndb  | c\nweb | d\n')
  // One that has not been made yet keeps nobody from the others; asked for alone, it is an error.
  const half = new Rig()
  half.logs = { web: logs.web }
  await half.open({ type: 'logs', container: null })
  assert.equal(half.carried, 'web | a\nweb | d\n')
  assert.deepEqual(half.end, { type: 'end', exitCode: null, error: null })
  const none = new Rig()
  await none.open({ type: 'logs', container: 'db' })
  assert.match(JSON.stringify(none.end), /NOT_FOUND/)
  const followed = new Rig()
  followed.logs = logs
  await followed.open({ type: 'logs', container: null, follow: true })
  assert.equal(followed.carried.split('\n').length, 5)
})

test('a log tells how far it was carried: at once, shortly after entries, before too much, and at its end', async () => {
  const entry = (text: string, atMs: number): LogEntry => ({
    stream: 'stdout',
    bytes: Buffer.from(text),
    atNs: BigInt(atMs) * 1_000_000n,
  })
  const rig = new Rig()
  const at = (ms: number, count: number) => ({ atNs: `${ms}000000`, count })
  const more = Promise.withResolvers<void>()
  rig.logSource = async function* () {
    yield entry('a\n', 1)
    yield entry('b\n', 1)
    await more.promise
    for (let n = 2; n < 6; n++) yield entry('x'.repeat(LOG_POSITION_BYTES / 2), n)
  }
  await rig.open({ type: 'logs', container: 'db', positions: true })
  assert.deepEqual(rig.texts, [{ type: 'position', containers: {} }])
  await rig.clock.advance(10)
  assert.deepEqual(rig.texts[1], { type: 'position', containers: { db: at(1, 2) } })
  more.resolve()
  await rig.clock.advance(0)
  assert.deepEqual(rig.texts.slice(2), [
    { type: 'position', containers: { db: at(3, 1) } },
    { type: 'position', containers: { db: at(5, 1) } },
    { type: 'end', exitCode: null, error: null },
  ])
})

test('a log is continued after its position, for each container; what was rotated away is told', async () => {
  const entry = (text: string, atMs: number): LogEntry => ({
    stream: 'stdout',
    bytes: Buffer.from(text),
    atNs: BigInt(atMs) * 1_000_000n,
  })
  const rig = new Rig()
  rig.logs = {
    web: [entry('a\n', 1), entry('b\n', 1), entry('c\n', 1), entry('d\n', 4)],
    db: [entry('new\n', 3)],
  }
  const after = { web: { atNs: '1000000', count: 2 }, db: { atNs: '2000000', count: 1 } }
  await rig.open({ type: 'logs', container: null, after, tail: 1 })
  assert.equal(rig.carried, 'web | c\ndb  | new\nweb | d\n')
  assert.deepEqual(rig.texts, [
    { type: 'lost', container: 'db' },
    { type: 'end', exitCode: null, error: null },
  ])
})

test('a server of the previous release asks in its own words, and gets no positions', async () => {
  const rig = new Rig()
  rig.contract = 1
  rig.logs = { db: [{ stream: 'stdout', bytes: Buffer.from('a'), atNs: 1n }] }
  await rig.open({ type: 'logs', container: 'db' })
  assert.equal(rig.carried, 'a')
  assert.deepEqual(rig.texts, [{ type: 'end', exitCode: null, error: null }])
  const newer = new Rig()
  newer.contract = 1
  await newer.open({ type: 'logs', container: 'db', ...noPositions })
  assert.match(JSON.stringify(newer.end), /PROTOCOL_VIOLATION/)
})
