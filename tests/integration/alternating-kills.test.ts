/**
 * Proves that callers lose nothing while both servers of a region are killed in turn, again and again: at the end there is
 * exactly what was acknowledged, on the hosts too, every operation has ended, and every server knows what the tables say.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import type { ErrorCode } from '@nubo/base'
import {
  createClient,
  isApiError,
  OutcomeUnknownError,
  UnreachableError,
  type Client,
} from '@nubo/client'
import type { SetView } from '@nubo/contracts'
import { systemClock, systemRandom } from '@nubo/runtime'
import { joinHost } from '../support/hosts.ts'
import { importRootfs, makeNetwork, makeProject, setOf } from '../support/project.ts'
import { TestRegion } from '../support/region.ts'
import { startServerProcess, type ServerProcess } from '../support/server-process.ts'
import { waitUntil } from '../support/wait.ts'

/** Killing goes on for so long; what is shown does not depend on it. Longer by hand, as `NUBO_KILL_SECONDS=120`. */
const KILL_SECONDS = Number(process.env['NUBO_KILL_SECONDS'] ?? 40)
const CALLERS = 4
const PAUSE_MS = 50
/** A caller has so many sets at once; then it removes its oldest. Small ones, so that those on their way out leave room. */
const SETS_PER_CALLER_MAX = 6
const SETTLED_TIMEOUT_MS = 90_000

test('both servers are killed in turn under creates and removes: what was acknowledged is so, and nothing else', async (t) => {
  const region = await TestRegion.open(t, { servers: 1 })
  const shop = await makeProject(region, 'shop')
  // An address rests after its use, so there must be many.
  await makeNetwork(shop.member, 'net', { subnet: '10.0.0.0/17' })
  await importRootfs(shop.member, 'web')
  const hosts = [
    await joinHost(region, { name: 'host-1' }),
    await joinHost(region, { name: 'host-2' }),
  ]
  await region.server(0).stop()
  const servers = [await startServerProcess(region, 0), await startServerProcess(region, 1)]
  const clientOf = (urls: readonly string[]): Client =>
    createClient({
      servers: urls,
      token: shop.tokens.member,
      clock: systemClock,
      random: systemRandom,
    })
  const urls = servers.map(({ url }) => url)
  const callers = Array.from(
    { length: CALLERS },
    (_, at) =>
      // Half of them begin with the one server and half with the other.
      new Caller(`c${at}`, clientOf(at % 2 === 0 ? urls : urls.toReversed())),
  )

  region.onClose(() => Promise.allSettled(callers.map((caller) => caller.end())).then(() => {}))
  const kills = await killInTurn(region, servers, callers)
  await Promise.all(callers.map((caller) => caller.end()))
  const made = callers.reduce((sum, caller) => sum + caller.made, 0)
  const removed = callers.reduce((sum, caller) => sum + caller.removed, 0)
  const unknown = callers.reduce((sum, caller) => sum + caller.unknown, 0)
  t.diagnostic(`${kills} kills, ${made} creates, ${removed} removes, ${unknown} without an answer`)
  assert.ok(kills >= 4 && removed >= 20, `${kills} kills, ${removed} removes`)

  const wanted = callers.flatMap(({ sets }) => sets).toSorted()
  const sets = await waitUntil(
    () => clientOf(urls).listAll('setList'),
    (all) => all.length === wanted.length && all.every(({ state }) => state === 'running'),
    { timeoutMs: SETTLED_TIMEOUT_MS, what: `${wanted.length} sets run and no others` },
  )
  assert.deepEqual(sets.map(({ name }) => name).toSorted(), wanted)
  const operations = await waitUntil(
    () => clientOf(urls).listAll('operationList'),
    (all) => all.every(({ endedAtMs }) => endedAtMs !== null),
    { timeoutMs: SETTLED_TIMEOUT_MS, what: 'every operation ends' },
  )
  assert.deepEqual(
    operations.filter(({ state }) => state === 'failed'),
    [],
  )
  assert.ok(operations.length >= made + removed - unknown)
  const addresses = sets.map(({ address }) => address)
  assert.equal(new Set(addresses).size, addresses.length, 'no address twice')
  await waitUntil(
    () => hosts.map(({ simulated }) => [...simulated.setHost.sets.keys()].toSorted()),
    (found) => found.every((ids, at) => ids.join() === idsOn(sets, hosts[at]?.name).join()),
    { what: 'hosts have these sets and no others' },
  )

  // One that has just read all tables, beside those that have followed the feed.
  const fresh = await region.startServer(2)
  const everyone = [...urls, fresh.url].map((url) => ({
    url,
    member: clientOf([url]),
    operator: createClient({
      servers: [url],
      token: region.operatorToken,
      clock: systemClock,
      random: systemRandom,
    }),
  }))
  const worlds = () =>
    Promise.all(
      everyone.map(async ({ member, operator }) => ({
        sets: await member.listAll('setList'),
        ports: await member.listAll('portList'),
        operations: await member.listAll('operationList'),
        hosts: await operator.listAll('hostList'),
      })),
    )
  const [first, ...others] = await waitUntil(
    worlds,
    ([one, ...rest]) => rest.every((other) => JSON.stringify(other) === JSON.stringify(one)),
    { what: 'all servers tell the same' },
  ).catch(worlds)
  for (const other of others) assert.deepEqual(other, first)
  assert.equal(first?.ports.length, sets.length, 'no port without its set')
})

/** Each server is killed as soon as the one before answers again and callers have got on. How many kills there were. */
async function killInTurn(
  region: TestRegion,
  servers: ServerProcess[],
  callers: readonly Caller[],
): Promise<number> {
  const endMs = performance.now() + KILL_SECONDS * 1_000
  const answered = (): number => callers.reduce((sum, { made, removed }) => sum + made + removed, 0)
  let kills = 0
  for (; performance.now() < endMs; kills += 1) {
    const before = answered()
    await waitUntil(answered, (now) => now >= before + CALLERS, {
      timeoutMs: SETTLED_TIMEOUT_MS,
      what: 'callers get on',
    })
    const index = kills % 2
    await servers[index]?.kill()
    servers[index] = await startServerProcess(region, index)
  }
  return kills
}

function idsOn(sets: readonly SetView[], host: string | undefined): string[] {
  return sets
    .filter((set) => set.host === host)
    .map(({ id }) => id)
    .toSorted()
}

function isUnavailable(error: unknown): boolean {
  return isApiError(error) && error.status === 503
}

/** Makes sets and removes them; each call until it is acknowledged, as somebody does who wants to be sure. */
class Caller {
  /** That it has, by name. */
  readonly sets: string[] = []
  made = 0
  removed = 0
  /** Calls that got no answer. */
  unknown = 0
  readonly #name: string
  readonly #client: Client
  readonly #running: Promise<void>
  #isEnding = false
  #endingUntilMs = Infinity

  constructor(name: string, client: Client) {
    this.#name = name
    this.#client = client
    this.#running = this.#run()
  }

  /** Resolves when its last call is acknowledged. */
  async end(): Promise<void> {
    this.#endingUntilMs = performance.now() + SETTLED_TIMEOUT_MS
    this.#isEnding = true
    await this.#running
  }

  async #run(): Promise<void> {
    for (let at = 0; !this.#isEnding; at += 1) {
      const name = `${this.#name}-${at}`
      await this.#until(['NAME_TAKEN'], () =>
        this.#client.setCreate({ body: { ...setOf(name), cpuMillis: 10 } }),
      )
      this.made += 1
      this.sets.push(name)
      const oldest = this.sets[0]
      if (oldest === undefined || this.sets.length <= SETS_PER_CALLER_MAX) continue
      await this.#until(['NOT_FOUND', 'NOT_ALLOWED_NOW'], () =>
        this.#client.setRemove({ params: { id: oldest } }),
      )
      this.removed += 1
      this.sets.shift()
      await sleep(PAUSE_MS)
    }
  }

  /** `done`: how a call is refused whose earlier try was carried out, though nobody could say so. */
  async #until(done: readonly ErrorCode[], call: () => Promise<unknown>): Promise<void> {
    let mayBeDone = false
    for (;;) {
      try {
        await call()
        return
      } catch (error) {
        if (mayBeDone && done.some((code) => isApiError(error, code))) return
        if (error instanceof OutcomeUnknownError) this.unknown += 1
        else if (!(error instanceof UnreachableError) && !isUnavailable(error)) throw error
        if (performance.now() > this.#endingUntilMs) throw error
        mayBeDone = true
        await sleep(PAUSE_MS)
      }
    }
  }
}
