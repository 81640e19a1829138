// Proves that exec and logs work whichever server has the client and the host, end clearly or go on when one dies, and
// carry no more than somebody reads.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { createClient, StreamError, type Client, type LogOutput } from '@nubo/client'
import { STREAM_CREDIT_BYTES } from '@nubo/contracts'
import { systemClock, systemRandom } from '@nubo/runtime'
import { joinHost, type HostAsked, type JoinedHost } from '../support/hosts.ts'
import {
  done,
  importRootfs,
  makeNetwork,
  makeProject,
  setOf,
  waitSet,
  type TestProject,
} from '../support/project.ts'
import { TestRegion } from '../support/region.ts'
import { startServerProcess, type ServerProcess } from '../support/server-process.ts'
import { waitUntil } from '../support/wait.ts'

interface Stage {
  readonly region: TestRegion
  /** The server with index 0, a process of its own. The one with index 1 stays. */
  readonly doomed: ServerProcess
  readonly shop: TestProject
  readonly host: JoinedHost
  readonly setId: string
  readonly clientOf: (...servers: string[]) => Client
}

/** Two servers, one host, one set that runs; `server` has the host's session. */
async function open(t: TestContext, host: Partial<HostAsked>): Promise<Stage> {
  const region = await TestRegion.open(t, { servers: 0 })
  const doomed = await startServerProcess(region, 0)
  await region.startServer(1)
  const shop = await makeProject(region, 'shop')
  await makeNetwork(shop.member, 'net')
  await importRootfs(shop.member, 'web')
  const joined = await joinHost(region, { name: 'host-1', ...host })
  await done(shop.member, await shop.member.setCreate({ body: setOf('web') }))
  const { id } = await waitSet(shop.member, 'web', ({ state }) => state === 'running')
  const clientOf = (...servers: string[]): Client =>
    createClient({
      servers,
      token: shop.tokens.member,
      clock: systemClock,
      random: systemRandom,
    })
  const { revision } = await shop.member.setList()
  await clientOf(doomed.url).setList({ query: { minRevision: revision } })
  return { region, doomed, shop, host: joined, setId: id, clientOf }
}

const body = { command: ['cat'], stdin: true }

async function echo(client: Client) {
  const stream = await client.openStream(await client.setExec({ params: { id: 'web' }, body }))
  const output = stream.output[Symbol.asyncIterator]()
  const says = async (text: string): Promise<string> => {
    await stream.write(Buffer.from(text))
    const { value } = await output.next()
    return value === undefined ? '' : Buffer.from(value.bytes).toString()
  }
  return { stream, says }
}

const sideOf = { 0: 'the server that dies', 1: 'the server that stays' } as const

for (const server of [0, 1] as const) {
  test(`exec and logs from either server, while ${sideOf[server]} has the host's session`, async (t) => {
    const { region, doomed, host, setId, clientOf } = await open(t, { server })
    const urls = [doomed.url, region.server(0).url]
    await waitUntil(
      () => host.simulated.agent?.connectedTo,
      (address) => address === region.hostContracts[server],
    )
    host.simulated.setDriver.print(setId, 'main', 'printed\n')
    for (const url of urls) {
      const client = clientOf(url)
      const { stream, says } = await echo(client)
      assert.equal(await says('hello'), 'hello')
      stream.endStdin()
      assert.deepEqual(await stream.ended, { exitCode: 0, error: null })
      const told = await printedBy(client)
      assert.equal(textOf(told), 'printed\n')
    }
  })
}

test('the server that only has the host dies: an open stream goes on, and new ones come as soon as the host is back', async (t) => {
  const { region, doomed, clientOf, host } = await open(t, { server: 0 })
  const client = clientOf(region.server(0).url)
  const { stream, says } = await echo(client)
  assert.equal(await says('before'), 'before')
  await doomed.kill()
  assert.equal(await says('after'), 'after')
  await waitUntil(
    () => host.simulated.agent?.connectedTo,
    (address) => address === region.hostContracts[1],
  )
  const next = await echo(client)
  assert.equal(await next.says('again'), 'again')
  for (const one of [stream, next.stream]) one.endStdin()
  assert.equal((await stream.ended).exitCode, 0)
})

test('the server of the client dies or stops: exec ends with a clear error, and its program ends', async (t) => {
  const ended: number[] = []
  let started = 0
  // Of a size as real ones have: a quarter of a million frames of one byte would keep this process busy for seconds.
  const bytes = Buffer.alloc(16 * 1024, 'x')
  function* endless(number: number) {
    try {
      for (;;) yield { stream: 'stdout' as const, bytes }
    } finally {
      ended.push(number)
    }
  }
  const sets = {
    execution: () => ({ does: 'end', exitCode: 0, prints: endless(++started) }) as const,
  }
  const { region, doomed, clientOf } = await open(t, { server: 1, sets })
  const start = async (client: Client) => {
    const command = { command: ['endless'] }
    const ticket = await client.setExec({ params: { id: 'web' }, body: command })
    const stream = await client.openStream(ticket)
    await stream.output[Symbol.asyncIterator]().next()
    return stream
  }
  const killed = await start(clientOf(doomed.url))
  await doomed.kill()
  await assert.rejects(killed.ended, StreamError)
  const stopped = await start(clientOf(region.server(0).url))
  region.server(0).region.sessions.streams.stop()
  const { exitCode, error } = await stopped.ended
  assert.deepEqual([exitCode, error?.code], [null, 'HOST_UNREACHABLE'])
  assert.match(error?.message ?? '', /connect again/)
  await waitUntil(
    () => ended,
    (numbers) => numbers.length === 2,
    { what: 'both programs have ended' },
  )
})

const LINES = 200

for (const server of [0, 1] as const) {
  test(`logs -f goes on when its server is killed: every line once, in order (${sideOf[server]} has the host)`, async (t) => {
    const { region, doomed, host, setId, clientOf } = await open(t, { server })
    const client = clientOf(doomed.url, region.server(0).url)
    let printed = 0
    const writer = setInterval(() => {
      if (printed < LINES) host.simulated.setDriver.print(setId, 'main', `${++printed}\n`)
    }, 10)
    t.after(() => clearInterval(writer))
    const told: LogOutput[] = []
    let lines = 0
    let isKilled = false
    for await (const one of client.readSetLog({ params: { id: 'web' }, body: { follow: true } })) {
      told.push(one)
      lines = textOf(told).split('\n').length - 1
      if (lines >= 40 && !isKilled) {
        isKilled = true
        void doomed.kill()
      }
      if (lines >= LINES) break
    }
    const expected = Array.from({ length: LINES }, (_, at) => `${at + 1}\n`).join('')
    assert.equal(textOf(told), expected)
    assert.deepEqual(marksOf(told), ['continued'])
  })
}

test('logs -f goes on when the agent is killed, and says when the set was made anew', async (t) => {
  const { region, shop, host, setId, clientOf } = await open(t, { server: 1 })
  const { simulated } = host
  const print = (text: string): void => simulated.setDriver.print(setId, 'main', text)
  print('older\n')
  print('old\n')
  const abort = new AbortController()
  const told: LogOutput[] = []
  const reading = (async () => {
    const request = { params: { id: 'web' }, body: { follow: true, tail: 1 } }
    const log = clientOf(region.server(0).url).readSetLog(request, { signal: abort.signal })
    for await (const one of log) told.push(one)
  })()
  const shows = (text: string): Promise<string> =>
    waitUntil(
      () => textOf(told),
      (shown) => shown === text,
      { what: JSON.stringify(text) },
    )
  await shows('old\n')
  await simulated.crash()
  simulated.start()
  await waitUntil(
    () => simulated.agent?.connectedTo ?? null,
    (address) => address !== null,
  )
  print('one\n')
  await shows('old\none\n')
  await simulated.crash()
  simulated.start()
  print('two\n')
  await shows('old\none\ntwo\n')
  assert.deepEqual(marksOf(told), ['continued', 'continued'])
  await simulated.crash()
  simulated.setHost.sets.delete(setId)
  simulated.start()
  await waitSet(shop.member, 'web', ({ state }) => state === 'running')
  await waitUntil(
    () => simulated.setHost.sets.get(setId)?.containers.get('main')?.found.state,
    (state) => state === 'running',
  )
  print('new\n')
  await shows('old\none\ntwo\nnew\n')
  assert.deepEqual(marksOf(told).slice(2), ['continued', 'lost'])
  abort.abort()
  await assert.rejects(reading)
})

test('logs of a host of the previous release work as before, without positions', async (t) => {
  const { region, host, setId, clientOf } = await open(t, { server: 1, contract: 1 })
  host.simulated.setDriver.print(setId, 'main', 'old but good\n')
  const client = clientOf(region.server(0).url)
  const told = await printedBy(client)
  assert.equal(textOf(told), 'old but good\n')
  const { says } = await echo(client)
  assert.equal(await says('x'), 'x')
})

test('a client that reads nothing: the program is read within the credit and no further, until it reads', async (t) => {
  const chunk = Buffer.alloc(16 * 1024, 'x')
  const chunksMax = 512
  let taken = 0
  function* flood() {
    for (; taken < chunksMax; taken++) yield { stream: 'stdout' as const, bytes: chunk }
  }
  const sets = { execution: () => ({ does: 'end', exitCode: 0, prints: flood() }) as const }
  for (const server of [0, 1] as const) {
    await t.test(`${sideOf[server]} has the host`, async (inner) => {
      taken = 0
      const { region, clientOf } = await open(inner, { server, sets })
      const client = clientOf(region.server(0).url)
      const stream = await client.openStream(
        await client.setExec({ params: { id: 'web' }, body: { command: ['flood'] } }),
      )
      await waitUntil(
        () => taken,
        (count) => count * chunk.length >= STREAM_CREDIT_BYTES,
      )
      // Another stream comes and goes on the same way; what could flow has flowed by then.
      await printedBy(client)
      assert.ok(taken * chunk.length <= STREAM_CREDIT_BYTES + chunk.length, `${taken} chunks`)
      let bytes = 0
      for await (const piece of stream.output) bytes += piece.bytes.length
      assert.equal(bytes, chunksMax * chunk.length)
    })
  }
})

async function printedBy(client: Client): Promise<LogOutput[]> {
  const told: LogOutput[] = []
  for await (const one of client.readSetLog({ params: { id: 'web' }, body: {} })) told.push(one)
  return told
}

test('a log much larger than the credit comes whole and in order, also an entry that alone is larger', async (t) => {
  const { region, host, setId, clientOf } = await open(t, { server: 1 })
  const entries = Array.from({ length: 100 }, (_, at) => `${at}`.padEnd(16 * 1024 - 1, '.') + '\n')
  entries.splice(50, 0, 'L'.repeat(STREAM_CREDIT_BYTES + 100_000))
  for (const text of entries) host.simulated.setDriver.print(setId, 'main', text)
  const told = await printedBy(clientOf(region.server(0).url))
  assert.ok(textOf(told) === entries.join(''))
})

function textOf(told: readonly LogOutput[]): string {
  return told
    .map((one) => (one.type === 'output' ? Buffer.from(one.chunk.bytes).toString() : ''))
    .join('')
}

function marksOf(told: readonly LogOutput[]): string[] {
  return told.map(({ type }) => type).filter((type) => type !== 'output')
}
