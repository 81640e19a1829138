// Proves when a log is continued and where, what is kept back until then, and when it is given up.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom, VirtualClock } from '@nubo/base'
import { STREAM_CREDIT_BYTES, type LogPosition } from '@nubo/contracts'
import { ApiError, StreamError, UnreachableError } from './errors.ts'
import { readLog, refusesPositions, type LogOutput } from './log-stream.ts'
import type { StreamConnection, StreamEnd, StreamItem } from './stream-connection.ts'

/** What one connection brings, and how it ends. */
interface Script {
  readonly items: readonly StreamItem[]
  readonly ends: StreamEnd | Error
}

const good: StreamEnd = { exitCode: null, error: null }
const broken = new StreamError('the stream broke')
const text = (said: string): StreamItem => ({
  type: 'output',
  chunk: { channel: 'stdout', bytes: Buffer.from(said) },
})
const position = (containers: LogPosition = {}): StreamItem => ({ type: 'position', containers })
const at = (number: number): LogPosition => ({ main: { atNs: `${number}`, count: 1 } })
const refusal = (code: string, status: number): ApiError =>
  new ApiError({ code, message: code, details: {}, requestId: '', status })

/** Reads a log over these connections; an error instead of one is what asking for it meets. */
async function follow(scripts: readonly (Script | Error)[], isFollowed = true) {
  const clock = new VirtualClock()
  const asked: (LogPosition | undefined)[] = []
  const told: LogOutput[] = []
  let avoided = 0
  const connect = async (script: Script): Promise<StreamConnection> => {
    const { ends } = script
    const ended = ends instanceof Error ? Promise.reject(ends) : Promise.resolve(ends)
    ended.catch(() => undefined)
    const items = (async function* () {
      yield* script.items
      if (ends instanceof Error) throw ends
    })()
    // proof: the log reads nothing else of a connection
    return { items, ended, close: () => undefined } as unknown as StreamConnection
  }
  const reading = (async () => {
    const deps = {
      clock,
      random: seededRandom(1),
      ask: async (after: LogPosition | undefined) => {
        const script = scripts[Math.min(asked.length, scripts.length - 1)]
        asked.push(after)
        if (script instanceof Error) throw script
        return { path: `/${asked.length}`, expiresAtMs: 0 }
      },
      connect: async ({ path }: { path: string }) => {
        const script = scripts[Math.min(Number(path.slice(1)), scripts.length) - 1]
        if (script === undefined || script instanceof Error) throw new Error('no such connection')
        return connect(script)
      },
      avoid: () => void avoided++,
    }
    for await (const one of readLog(deps, { follow: isFollowed })) told.push(one)
  })().then(
    () => undefined,
    (error: unknown) => error,
  )
  let isOver = false
  void reading.finally(() => (isOver = true))
  await clock.advanceUntil(() => isOver, 1_000_000)
  const printed = told.map((one) =>
    one.type === 'output' ? Buffer.from(one.chunk.bytes).toString() : one.type,
  )
  return { error: await reading, asked, printed, avoided, elapsedMs: clock.monotonicMs() }
}

test('a broken log is continued after its last position; what none covered is dropped, and comes again', async () => {
  const { error, asked, printed, avoided } = await follow([
    { items: [position(), text('a'), position(at(1)), text('b')], ends: broken },
    { items: [position(), text('b'), text('c'), position(at(3))], ends: good },
  ])
  assert.equal(error, undefined)
  assert.deepEqual(printed, ['a', 'continued', 'b', 'c'])
  assert.deepEqual(asked, [undefined, at(1)])
  assert.equal(avoided, 1)
})

test('positions of several containers are kept together; what is lost is told', async () => {
  const db: LogPosition = { db: { atNs: '7', count: 2 } }
  const { asked, printed } = await follow([
    { items: [position(), position(at(1)), position(db), position(at(2))], ends: broken },
    { items: [position(), { type: 'lost', container: 'db' }, text('x')], ends: good },
  ])
  assert.deepEqual(asked[1], { ...at(2), ...db })
  assert.deepEqual(printed, ['continued', 'lost', 'x'])
})

test('what may pass is tried again: no server, a host that is away, a set that is made anew', async () => {
  const { error, printed } = await follow([
    {
      items: [position(), text('a'), position(at(1)), text('b')],
      ends: refusalOfStream('HOST_UNREACHABLE'),
    },
    new UnreachableError([], undefined),
    refusal('HOST_UNREACHABLE', 503),
    refusal('NOT_ALLOWED_NOW', 409),
    { items: [], ends: refusalOfStream('NOT_FOUND') },
    { items: [position(), text('b'), position(at(2))], ends: good },
  ])
  assert.equal(error, undefined)
  assert.deepEqual(printed, ['a', 'continued', 'b'])
})

test('what asking again cannot mend ends it: the set is gone, the caller may no longer, an older host', async () => {
  const first: Script = { items: [position(), text('a'), position(at(1))], ends: broken }
  for (const code of ['NOT_FOUND', 'UNAUTHENTICATED', 'FORBIDDEN']) {
    const { error } = await follow([first, refusal(code, 404)])
    assert.ok(error instanceof ApiError && error.code === code)
  }
  const revoked = await follow([first, { items: [], ends: refusalOfStream('UNAUTHENTICATED') }])
  assert.ok(revoked.error instanceof ApiError)
  const old = await follow([{ items: [text('a'), text('b')], ends: broken }])
  assert.deepEqual([old.printed, old.error, old.asked.length], [['a', 'b'], broken, 1])
})

test('a followed log is given up after two minutes, another one after three tries', async () => {
  const first: Script = { items: [position(), text('a'), position(at(1))], ends: broken }
  const nobody = new UnreachableError([{ server: 's', text: 'refused' }], undefined)
  const followed = await follow([first, nobody])
  assert.ok(followed.error instanceof StreamError)
  assert.match(followed.error.message, /could not be continued.*refused/)
  assert.ok(followed.elapsedMs > 120_000 && followed.elapsedMs < 140_000)
  const whole = await follow([first, nobody], false)
  assert.ok(whole.error instanceof StreamError)
  assert.equal(whole.asked.length, 4)
})

test('a connection that breaks again and again is given up no sooner than its last success allows', async () => {
  const again: Script = { items: [position(), text('a'), position(at(1))], ends: broken }
  const { printed, error } = await follow([
    ...Array.from({ length: 50 }, () => again),
    { items: [position()], ends: good },
  ])
  assert.equal(error, undefined)
  assert.equal(printed.filter((one) => one === 'continued').length, 50)
})

test('what is kept back is bounded below the credit: a piece without an end in sight is passed on', async () => {
  const piece = text('x'.repeat(STREAM_CREDIT_BYTES / 8))
  const { printed } = await follow([
    {
      items: [position(), piece, piece, piece, piece, piece, piece],
      ends: refusalOfStream('INTERNAL'),
    },
  ])
  assert.deepEqual(printed.length, 6)
  // The last one was kept until nothing could be continued any more.
  const retried = await follow([
    { items: [position(), piece, piece, piece, piece, piece, piece], ends: broken },
    { items: [position()], ends: good },
  ])
  assert.equal(retried.printed.filter((one) => one !== 'continued').length, 5)
})

test('a server that does not know positions is told from one that finds something else wrong', () => {
  const refused = (problem: string): ApiError =>
    new ApiError({
      code: 'INVALID_INPUT',
      message: `body: ${problem}`,
      details: { issues: [{ field: '', problem }] },
      requestId: '',
      status: 400,
    })
  assert.ok(refusesPositions(refused('Unrecognized key: "positions"')))
  assert.ok(refusesPositions(refused('Unrecognized keys: "positions", "after"')))
  assert.ok(!refusesPositions(refused('Too big: expected number to be <=100000')))
})

function refusalOfStream(code: string): StreamEnd {
  return { exitCode: null, error: { code, message: code } }
}
