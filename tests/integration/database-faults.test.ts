/**
 * Proves what becomes of a region with two servers under writes when its database, supervised as in every cloud of ours,
 * has no connections left, no room left on its disk, or is killed: callers are told so, reads go on, everything
 * recovers by itself, and no write that was acknowledged is lost.
 */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { Tables } from '@nubo/control-plane'
import { superviseDatabase, type SupervisedDatabase } from '@nubo/lab'
import {
  migrate,
  openDatabase,
  readMigrations,
  run,
  signalProcess,
  silentLog,
  systemClock,
  systemRandom,
} from '@nubo/runtime'
import pg from 'pg'
import { hostState, joinHost, type JoinedHost } from '../support/hosts.ts'
import {
  done,
  everywhere,
  importRootfs,
  makeNetwork,
  makeProject,
  setOf,
  type TestProject,
} from '../support/project.ts'
import { TestRegion } from '../support/region.ts'
import { waitUntil } from '../support/wait.ts'
import { WriteLoad, type ServerLoad } from '../support/write-load.ts'

const migrationsFolder = new URL('../../control-plane/migrations', import.meta.url).pathname
/** Both servers need 14 at most. */
const CONNECTIONS_MAX = 24
const SMALL_DISK_MIB = 128
const LONG_MS = 60_000
const KILLS = 3
/** The second is told when a write was committed and its server could not read that any more: it may be done. */
const REFUSAL = /^(DATABASE_UNAVAILABLE: The d|DEADLINE_EXCEEDED: .* may still end later)/

interface Stage {
  readonly database: SupervisedDatabase
  /** The disk of the database. */
  readonly disk: string
  readonly region: TestRegion
  readonly host: JoinedHost
  readonly load: WriteLoad
}

/** A region with a host and a set on it, under load; what follows begins when every writer has been answered. */
async function stage(
  context: TestContext,
  work: (stage: Stage) => Promise<void>,
  options: { diskMib?: number } = {},
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'nt-df-'))
  chmodSync(folder, 0o755)
  const disk = join(folder, 'disk')
  mkdirSync(disk)
  if (options.diskMib !== undefined)
    await run({
      argv: ['mount', '-t', 'tmpfs', '-o', `size=${options.diskMib}m,mode=755`, 'small-disk', disk],
    })
  const database = superviseDatabase({
    folder: join(disk, 'db'),
    runFolder: join(folder, 'run'),
    logFile: join(folder, 'log'),
    sharedBuffersMib: 32,
    connectionsMax: CONNECTIONS_MAX,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  })
  try {
    await database.program.turnOn()
    const { url } = database.server
    const made = openDatabase<Tables>({ url, clock: systemClock, log: silentLog })
    await migrate(made.query, await readMigrations(migrationsFolder))
    await made.close()
    // A test of its own, so that the region ends before its database does.
    await context.test('under writes', async (inner) => {
      const region = await TestRegion.open(inner, { databaseUrl: url })
      const shop = await makeProject(region, 'shop')
      await makeNetwork(shop.member, 'net')
      await importRootfs(shop.member, 'web')
      const host = await joinHost(region, { name: 'host-1' })
      await done(shop.member, await shop.member.setCreate({ body: setOf('before') }))
      await everywhere(region)
      const urls = region.servers.map((server) => server.url)
      const load = new WriteLoad(urls, shop.tokens.member)
      inner.after(() => load.stop())
      await answeredAgain(load)
      await work({ database, disk, region, host, load })
      await recovered({ region, shop, load })
    })
  } finally {
    await database.program.turnOff({ graceMs: 20_000 })
    if (options.diskMib !== undefined) await run({ argv: ['umount', disk] })
    rmSync(folder, { recursive: true, force: true })
  }
  assert.ok(!readFileSync('/proc/self/mountinfo', 'utf8').includes(folder))
}

const counts = (load: WriteLoad, of: keyof Pick<ServerLoad, 'acknowledged' | 'refusals'>) =>
  load.servers.map((server) => server[of].length)

/** Both servers acknowledge more than before. */
async function answeredAgain(load: WriteLoad): Promise<void> {
  const before = counts(load, 'acknowledged')
  await waitUntil(
    () => counts(load, 'acknowledged'),
    (now) => now.every((count, at) => count >= (before[at] ?? 0) + 10),
    { timeoutMs: LONG_MS, what: `both servers write; wrong: ${load.wrong.slice(0, 3).join('; ')}` },
  )
}

/** Both servers refuse, at least once in these words, and read on. */
async function refused(load: WriteLoad, words: RegExp): Promise<void> {
  const before = load.servers.map(({ reads }) => reads)
  await waitUntil(
    () => load.servers.map(({ refusals, reads }) => ({ refusals: refusals.slice(-20), reads })),
    (now) =>
      now.every(
        ({ refusals, reads }, at) =>
          refusals.some((text) => words.test(text)) && reads >= (before[at] ?? 0) + 5,
      ),
    { timeoutMs: LONG_MS, what: `both servers refuse with ${String(words)}` },
  )
}

/** Nobody was told anything else than "done" or "unavailable", and whatever was told to be done is so, everywhere. */
async function recovered({
  region,
  shop,
  load,
}: {
  region: TestRegion
  shop: TestProject
  load: WriteLoad
}): Promise<void> {
  await answeredAgain(load)
  await load.stop()
  assert.deepEqual(load.wrong, [])
  for (const { refusals } of load.servers) for (const text of refusals) assert.match(text, REFUSAL)
  await waitUntil(
    () => region.servers.filter((one) => one.region.isLeading()).length,
    (leaders) => leaders === 1,
    { what: 'one leads' },
  )
  await everywhere(region)
  const acknowledged = load.servers.flatMap((server) => server.acknowledged)
  for (const server of region.servers) {
    const listed = await region.client(shop.tokens.member, [server]).listAll('networkList')
    const names = new Set(listed.map(({ name }) => name))
    assert.equal(names.size, listed.length, 'no name twice')
    assert.equal(new Set(listed.map(({ vni }) => vni)).size, listed.length, 'no number twice')
    assert.deepEqual(
      acknowledged.filter((name) => !names.has(name)),
      [],
      'acknowledged writes that are lost',
    )
    const rows = await server.database.query.selectFrom('network').select('id').execute()
    const ids = (all: readonly { id: string }[]): string[] => all.map(({ id }) => id).toSorted()
    assert.deepEqual(ids(listed), ids(rows), 'tables = world')
  }
  // The leader places, the host reports, both servers hear of it.
  await done(shop.member, await shop.member.setCreate({ body: setOf('after') }))
  const before = await shop.member.setShow({ params: { id: 'before' } })
  assert.deepEqual([before.state, before.epoch], ['running', 1])
}

test('a storm of connections takes all that the database has: writes are refused until it is over, and everything recovers', (context) =>
  stage(context, async ({ database, load, region, host }) => {
    const storm = await Storm.begin(database.server.url)
    try {
      await refused(load, /no connection left/)
      await waitUntil(
        () => region.servers.some((one) => one.region.isLeading()),
        (isLed) => !isLed,
        { what: 'nobody leads without a connection' },
      )
      // A server that cannot write heartbeats down grants no lease, and does not answer them.
      await waitUntil(
        () => host.simulated.agent?.connectedTo ?? null,
        (server) => server === null,
        { timeoutMs: LONG_MS, what: 'its host looks for another server' },
      )
    } finally {
      await storm.end()
    }
    await hostState(region, host.name, 'ready')
  }))

test('the disk of the database is full, until it cannot even keep its log and ends: writes are refused, and with room everything recovers', (context) =>
  stage(
    context,
    async ({ database, disk, load }) => {
      const filler = join(disk, 'filler')
      await fill(filler, disk)
      await refused(load, /disk of the database is full/)
      // A new segment of its log has no room: the server panics, and cannot recover before there is some.
      const pid = database.server.pid
      await force(database.server.url, 'select pg_switch_wal()')
      await waitUntil(
        () => database.program.state.at,
        (at) => at === 'waiting',
        { timeoutMs: LONG_MS, what: 'the database has ended' },
      )
      await refused(load, /^DATABASE_UNAVAILABLE/)
      rmSync(filler)
      await waitUntil(
        () => database.program.state.at === 'running' && database.server.pid !== pid,
        (isBack) => isBack,
        { timeoutMs: LONG_MS, what: 'the database runs again' },
      )
    },
    { diskMib: SMALL_DISK_MIB },
  ))

test('the database is killed again and again under writes: each time it comes back and so does everything', (context) =>
  stage(context, async ({ database, load }) => {
    for (let kill = 0; kill < KILLS; kill += 1) {
      const { pid } = database.server
      signalProcess(pid ?? 0, 'SIGKILL')
      await waitUntil(
        () => database.program.state.at === 'running' && database.server.pid !== pid,
        (isBack) => isBack,
        { timeoutMs: LONG_MS, what: 'the database runs again' },
      )
      await answeredAgain(load)
    }
    assert.ok(load.servers.some(({ refusals }) => refusals.length > 0))
  }))

/** Programs that take every connection that there is, also those that the servers had. */
class Storm {
  readonly #url: string
  readonly #clients: pg.Client[] = []
  #isOver = false
  #blowing: Promise<void> = Promise.resolve()

  private constructor(url: string) {
    this.#url = url
  }

  static async begin(url: string): Promise<Storm> {
    const storm = new Storm(url)
    await storm.#connect()
    storm.#blowing = storm.#blow()
    return storm
  }

  async end(): Promise<void> {
    this.#isOver = true
    await this.#blowing
    await Promise.all(this.#clients.map((client) => client.end()))
  }

  async #blow(): Promise<void> {
    const [first] = this.#clients
    while (!this.#isOver) {
      // Connections of long standing end now and then; in a storm nobody gets a new one.
      await first?.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'nubo%'`,
      )
      while (!this.#isOver && (await this.#connect()));
    }
  }

  async #connect(): Promise<boolean> {
    const client = new pg.Client({ connectionString: this.#url, application_name: 'storm' })
    client.on('error', () => undefined)
    try {
      await client.connect()
    } catch {
      return false
    }
    this.#clients.push(client)
    return true
  }
}

/** Takes all of the room that is left. */
async function fill(path: string, disk: string): Promise<void> {
  const file = await open(path, 'w')
  const piece = Buffer.alloc(64 * 1_024)
  try {
    for (;;) await file.write(piece)
  } catch (error) {
    assert.match(String(error), /ENOSPC/)
    // The last page too.
    await file.write(Buffer.alloc(4_096)).catch(() => undefined)
  } finally {
    await file.close()
  }
  assert.equal(statfsSync(disk).bavail, 0)
}

/** Its outcome is not known: the server may end of it. */
async function force(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  await client.query(statement).catch(() => undefined)
  await client.end().catch(() => undefined)
}
