import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { PlatformError, seededRandom, sleep } from '@nubo/base'
import type { WatchEvent } from '@nubo/contracts'
import { createClient, isApiError, UnreachableError, type Client } from './index.ts'
import {
  sampleId,
  startContractServer,
  testClock,
  type ContractServer,
  type Handlers,
} from './testing/index.ts'

const servers: ContractServer[] = []
after(() => Promise.all(servers.map((server) => server.close())))
const clock = testClock()

async function startServer(watch: Handlers['watch'], port = 0): Promise<ContractServer> {
  const server = await startContractServer({
    handlers: watch === undefined ? {} : { watch },
    token: 'secret',
    port,
  })
  servers.push(server)
  return server
}

function clientOf(...urls: string[]): Client {
  return createClient({ servers: urls, token: 'secret', clock, random: seededRandom(1) })
}

function change(revision: number, n: number): WatchEvent {
  return { type: 'change', revision, kind: 'set', id: sampleId(n), object: { n } }
}
function synced(revision: number): WatchEvent {
  return { type: 'synced', revision, kind: null, id: null, object: null }
}

/** 'change 5 3': what, at which revision, of which object. */
function brief(event: WatchEvent): string {
  const n = event.id === null ? '' : ` ${Number.parseInt(event.id.slice(-12), 16)}`
  return `${event.type} ${event.revision}${n}`
}

async function take(events: AsyncIterable<WatchEvent>, count: number): Promise<string[]> {
  const taken: string[] = []
  for await (const event of events) {
    taken.push(brief(event))
    if (taken.length === count) break
  }
  return taken
}

const testEnd = new AbortController()
after(() => testEnd.abort())
/** The server has nothing more to say while the test runs. */
const never = (): Promise<void> => sleep(clock, 60_000, testEnd.signal).catch(() => undefined)

test('present objects, synced, then changes; the query says which kinds', async () => {
  const server = await startServer(async function* () {
    yield change(4, 1)
    yield synced(5)
    yield change(6, 1)
    await never()
  })
  const events = clientOf(server.url).watch({ kind: ['set', 'host'], project: 'demo' })
  assert.deepEqual(await take(events, 3), ['change 4 1', 'synced 5', 'change 6 1'])
  assert.equal(server.received[0]?.path, '/v1/watch?kind=set&kind=host&project=demo')
})

test('a lost server is replaced by another one, at the last revision that was surely complete', async () => {
  const second = await startServer(async function* ({ query }) {
    const from = Number(query['from'])
    yield change(from + 1, 2)
    yield change(from + 1, 3)
    yield synced(from + 1)
    await never()
  })
  const first = await startServer(async function* () {
    yield change(4, 1)
    yield synced(5)
    yield change(8, 1)
    yield change(9, 2)
    // The close happens while the client waits for more.
    setTimeout(() => void first.close(), 20)
    await never()
  })
  const events = clientOf(first.url, second.url).watch()
  assert.deepEqual(await take(events, 7), [
    'change 4 1',
    'synced 5',
    'change 8 1',
    'change 9 2',
    // More of revision 9 may have been under way, so it is told again.
    'change 9 2',
    'change 9 3',
    'synced 9',
  ])
  assert.deepEqual(
    second.received.map(({ path }) => path),
    ['/v1/watch?from=8'],
  )
})

test('a first listing that breaks off begins anew', async () => {
  let times = 0
  const server = await startServer(async function* ({ query, response }) {
    assert.equal(query['from'], undefined)
    yield change(4, 1)
    if (times++ === 0) {
      // What was sent must arrive before the connection breaks.
      await sleep(clock, 30)
      response.destroy()
      return
    }
    yield synced(5)
    await never()
  })
  assert.deepEqual(await take(clientOf(server.url).watch(), 3), [
    'change 4 1',
    'change 4 1',
    'synced 5',
  ])
})

test('a feed that no longer reaches back: all objects again, and what is gone', async () => {
  let times = 0
  const server = await startServer(async function* ({ query, response }) {
    times++
    if (times === 1) {
      yield change(1, 1)
      yield change(2, 2)
      yield synced(3)
      response.end()
      return
    }
    if (times === 2) {
      assert.equal(query['from'], 3)
      throw new PlatformError('RESYNC')
    }
    assert.equal(query['from'], undefined)
    yield change(90, 2)
    yield synced(91)
    await never()
  })
  assert.deepEqual(await take(clientOf(server.url).watch(), 6), [
    'change 1 1',
    'change 2 2',
    'synced 3',
    'change 90 2',
    'removed 91 1',
    'synced 91',
  ])
})

test('a refusal ends the watch; an outage ends it when it lasts; a signal ends it at once', async () => {
  const refusing = await startServer(() => {
    throw new PlatformError('FORBIDDEN')
  })
  await assert.rejects(take(clientOf(refusing.url).watch(), 1), (error) =>
    isApiError(error, 'FORBIDDEN'),
  )
  const dead = await startServer(undefined)
  await dead.close()
  await assert.rejects(
    take(clientOf(dead.url).watch({}, { outageMaxMs: 200 }), 1),
    UnreachableError,
  )
  const closing = await startServer(async function* ({ response }) {
    response.end()
    yield synced(1)
  })
  await assert.rejects(
    take(clientOf(closing.url).watch({ from: 3 }, { outageMaxMs: 200 }), 1),
    UnreachableError,
  )
  const quiet = await startServer(async function* () {
    yield synced(1)
    await never()
  })
  const controller = new AbortController()
  const watching = take(clientOf(quiet.url).watch({}, { signal: controller.signal }), 2)
  setTimeout(() => controller.abort(new Error('enough')), 30)
  await assert.rejects(watching, /enough/)
})

test('an unavailable server is asked again', async () => {
  let times = 0
  const server = await startServer(async function* () {
    if (times++ < 2) throw new PlatformError('DATABASE_UNAVAILABLE')
    yield synced(1)
    await never()
  })
  assert.deepEqual(await take(clientOf(server.url).watch(), 1), ['synced 1'])
})
