// Proves that whole lists go at the pace of the reader, end or break, and that more than there is room for is refused.
import assert from 'node:assert/strict'
import { get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import type { Route } from '@nubo/contracts'
import { z } from 'zod'
import { silentLog } from '../process/log.ts'
import { systemClock } from '../process/system.ts'
import { encode, encodePage, WholeList, type Encoded } from './encoded.ts'
import { asksForLines } from './lines.ts'
import { createHttpServer, type HttpLimits } from './server.ts'
import { Slots } from './slots.ts'

const LINES = 'application/x-ndjson'

interface Served {
  readonly list: (accept: string) => Promise<IncomingMessage>
  readonly closed: () => number
}

async function open(
  context: TestContext,
  items: () => Iterable<Encoded<unknown>>,
  limits: Partial<HttpLimits> = {},
): Promise<Served> {
  let closed = 0
  const route: Route = {
    method: 'GET',
    path: '/v1/things',
    summary: '',
    access: 'public',
    reply: z.unknown(),
    status: 200,
    form: 'list',
  }
  const server = createHttpServer<null>({
    bindings: [
      {
        route,
        handle: async ({ wantsWhole }) =>
          wantsWhole
            ? new WholeList({ revision: 7, items: items(), close: () => void closed++ })
            : encodePage({ items: [...items()], revision: 7, cursor: null }),
      },
    ],
    authorize: () => Promise.resolve(null),
    newRequestId: () => 'r',
    limits,
    clock: systemClock,
    log: silentLog,
  })
  const url = await server.listen({ host: '127.0.0.1', port: 0 })
  context.after(() => server.close())
  assert.ok((server.server.address() as AddressInfo).port > 0)
  const list = (accept: string): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const outgoing = get(`${url}/v1/things`, { headers: { accept }, agent: false }, resolve)
      outgoing.on('error', reject)
      context.after(() => outgoing.destroy())
    })
  return { list, closed: () => closed }
}

function* many(count: number): Generator<Encoded<unknown>> {
  for (let n = 0; n < count; n++) yield encode({ n, fill: 'x'.repeat(1_000) })
}

test('others have their turn between the chunks, also while the reader takes all of it at once', async (context) => {
  let turns = 0
  let counting = setImmediate(function count() {
    turns++
    counting = setImmediate(count)
  })
  context.after(() => clearImmediate(counting))
  const seen = new Set<number>()
  const { list } = await open(context, function* () {
    for (const item of many(1_000)) {
      seen.add(turns)
      yield item
    }
  })
  await text(await list(LINES))
  assert.ok(seen.size >= 5, `a megabyte was written in ${seen.size} turns`)
})

test('a list comes as lines with its revision, or as a page, as the reader asks', async (context) => {
  const { list, closed } = await open(context, () => many(3_000))
  const lines = await list(LINES)
  assert.equal(lines.headers['nubo-revision'], '7')
  const told = (await text(lines)).split('\n')
  assert.equal(told.pop(), '', 'the last line ends, too')
  // proof: what `many` encodes
  const numbers = told.map((line) => (JSON.parse(line) as { n: number }).n)
  assert.deepEqual(
    numbers,
    Array.from({ length: 3_000 }, (_, n) => n),
  )
  assert.equal(closed(), 1)
  const page: unknown = JSON.parse(await text(await list('application/json')))
  assert.deepEqual(Object.keys(page ?? {}), ['items', 'revision', 'cursor'])
})

test('a list that cannot be told to its end breaks the transfer', async (context) => {
  const { list, closed } = await open(context, function* () {
    yield* many(1_000)
    throw new Error('lost')
  })
  await assert.rejects(list(LINES).then(text), /aborted|socket hang up/)
  assert.equal(closed(), 1)
})

test('a reader that takes nothing is cut off and its place is free again', async (context) => {
  const { list, closed } = await open(context, () => many(100_000), {
    stalledReaderMs: 200,
    wholeListsMax: 1,
  })
  const stalled = await list(LINES)
  stalled.pause()
  const refused = await list(LINES)
  assert.equal(refused.statusCode, 429)
  assert.equal(refused.headers['retry-after'], '1')
  assert.match(await text(refused), /TOO_MANY_REQUESTS.*1 whole lists at once/)
  while (closed() === 0) await new Promise((resolve) => setTimeout(resolve, 20))
  const next = await list(LINES)
  assert.equal(next.statusCode, 200)
  next.destroy()
})

test('a reader that takes it too slowly is cut off at last', async (context) => {
  const { list, closed } = await open(context, () => many(100_000), { wholeListMs: 300 })
  const slow = await list(LINES)
  slow.on('error', () => undefined)
  slow.pause()
  const sips = setInterval(() => slow.read(1_000), 10)
  context.after(() => clearInterval(sips))
  while (closed() === 0) await new Promise((resolve) => setTimeout(resolve, 20))
})

test('slots are given back once, however often that is said', () => {
  const slots = new Slots('things', 2)
  const free = slots.take()
  slots.take()
  assert.throws(() => slots.take(), /Too many things/)
  free()
  free()
  slots.take()
  assert.throws(() => slots.take(), /Too many things/)
})

test('lines are for those who ask for them first', () => {
  assert.equal(asksForLines(undefined), false)
  assert.equal(asksForLines('*/*'), false)
  assert.equal(asksForLines('application/json'), false)
  assert.equal(asksForLines(`application/json, ${LINES}`), false)
  assert.equal(asksForLines(LINES), true)
  assert.equal(asksForLines(`${LINES}, application/json;q=0.5`), true)
})
