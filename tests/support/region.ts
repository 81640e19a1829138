import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { newId } from '@nubo/base'
import { createClient, type Client } from '@nubo/client'
import {
  bootstrapRegion,
  createImportLock,
  createRegion,
  createRegistryTokens,
  createSecretStore,
  createStreamUpgrade,
  databaseHostCommands,
  HostListener,
  openCertificateAuthority,
  SEALING_KEY_BYTES,
  type PowerControl,
  type Region,
  type RegionDeps,
  type Tables,
} from '@nubo/control-plane'
import {
  createHttpServer,
  openDatabase,
  silentLog,
  systemClock,
  systemRandom,
  watchProcess,
  type Database,
  type HttpServerOptions,
  type Log,
} from '@nubo/runtime'
import { openTestDatabase } from './database.ts'
import { MemoryRegistry } from './memory-registry.ts'
import { SkewedClock } from './skewed-clock.ts'
import { waitUntil } from './wait.ts'

/** Below what one test database allows for all servers and lanes of a file. */
const CONNECTIONS_PER_SERVER_MAX = 6
const HOST_CONTRACT_PORT = 7_001
export const TEST_REGION = 'test'

/** One server process's worth of the control plane, with its real listeners. */
export interface TestServer {
  readonly name: string
  /** Of the public API. */
  readonly url: string
  /** Of the host contract, 'address:port'. */
  readonly hostContract: string
  readonly region: Region
  readonly database: Database<Tables>
  /** Ends it in order. Idempotent. */
  stop(): Promise<void>
}

export interface TestRegionOptions {
  readonly log?: Log
  /** A migrated database; a fresh one of the shared test server by default. */
  readonly databaseUrl?: string
  /** How many servers run from the beginning; 2 by default. */
  readonly servers?: 0 | 1 | 2
  readonly limits?: HttpServerOptions<unknown>['limits']
  readonly quotaDefaults?: RegionDeps['quotaDefaults']
  /** Management controllers of its hosts; none by default. */
  readonly power?: PowerControl
}

/**
 * A region with two server processes' worth of control plane in this process, on one database of its own. Everything
 * is real but the image registry. Ends with the test.
 */
export class TestRegion {
  readonly clock = new SkewedClock()
  readonly registry = new MemoryRegistry()
  readonly folder: string
  readonly databaseUrl: string
  readonly keyFile: string
  readonly operatorToken: string
  readonly #options: TestRegionOptions
  readonly #servers: TestServer[] = []
  readonly #closers: (() => Promise<void> | void)[] = []

  private constructor(made: { folder: string; databaseUrl: string; options: TestRegionOptions }) {
    this.folder = made.folder
    this.databaseUrl = made.databaseUrl
    this.#options = made.options
    this.keyFile = join(made.folder, 'key')
    writeFileSync(this.keyFile, randomBytes(SEALING_KEY_BYTES), { mode: 0o600 })
    this.operatorToken = readFileSync(join(made.folder, 'token'), 'utf8').trim()
  }

  static async open(context: TestContext, options: TestRegionOptions = {}): Promise<TestRegion> {
    const folder = mkdtempSync(join(tmpdir(), 'nt-'))
    let close: (() => Promise<void>) | undefined
    // Registered before the database's own hook, so that servers end before their database does.
    context.after(async () => {
      await close?.()
      rmSync(folder, { recursive: true, force: true })
    })
    const databaseUrl = options.databaseUrl ?? (await openTestDatabase<Tables>(context)).url
    const database = openDatabase<Tables>({ url: databaseUrl, clock: systemClock, log: silentLog })
    await bootstrapRegion({
      database,
      clock: systemClock,
      random: systemRandom,
      tokenFile: join(folder, 'token'),
    })
    await database.close()
    const region = new TestRegion({ folder, databaseUrl, options })
    close = () => region.#close()
    for (let at = 0; at < (options.servers ?? 2); at++) await region.startServer()
    if (region.servers.length === 0) return region
    await waitUntil(
      () => region.servers.some((server) => server.region.isLeading()),
      (isLed) => isLed,
    )
    return region
  }

  get servers(): readonly TestServer[] {
    return this.#servers
  }

  server(index: number): TestServer {
    const server = this.#servers[index]
    if (server === undefined) throw new Error(`there is no server ${index}`)
    return server
  }

  /** Both servers' host contracts; known before they run. */
  get hostContracts(): readonly string[] {
    return [0, 1].map((index) => hostContractAddress(index).join(':'))
  }

  /** A client of these servers, in this order; of all by default. */
  client(
    token: string = this.operatorToken,
    servers: readonly TestServer[] = this.servers,
  ): Client {
    return createClient({
      servers: servers.map((server) => server.url),
      token,
      clock: systemClock,
      random: systemRandom,
    })
  }

  get operator(): Client {
    return this.client()
  }

  /** The operator's client of one server only. */
  via(index: number): Client {
    return this.client(this.operatorToken, [this.server(index)])
  }

  /** Runs before the servers end, the newest first. */
  onClose(close: () => Promise<void> | void): void {
    this.#closers.push(close)
  }

  /** `index` chooses the address of the host contract, of which there is one for each server at a time. */
  async startServer(index: number = this.#servers.length): Promise<TestServer> {
    const server = await startServer(this, {
      name: `server-${index + 1}`,
      bind: hostContractAddress(index),
      log: this.#options.log ?? silentLog,
      limits: this.#options.limits,
      quotaDefaults: this.#options.quotaDefaults,
      power: this.#options.power,
    })
    this.#servers.push(server)
    return server
  }

  async #close(): Promise<void> {
    for (const close of this.#closers.toReversed()) await close()
    await Promise.all(this.#servers.map((server) => server.stop()))
  }
}

/**
 * An address of the loopback network that no other test process has, so that the port is known before the server
 * runs and can be taken again by its successor. Regions of one process are of one test after the other.
 */
export function hostContractAddress(index: number): [host: string, port: number] {
  const { pid } = process
  const host = `127.${64 + ((pid >> 16) & 63)}.${(pid >> 8) & 255}.${pid & 255}`
  return [host, HOST_CONTRACT_PORT + index]
}

interface StartAsked {
  readonly name: string
  readonly bind: [host: string, port: number]
  readonly log: Log
  readonly limits: TestRegionOptions['limits']
  readonly quotaDefaults: TestRegionOptions['quotaDefaults']
  readonly power: TestRegionOptions['power']
}

async function startServer(test: TestRegion, asked: StartAsked): Promise<TestServer> {
  const { clock } = test
  const [host, port] = asked.bind
  const parts = { clock, random: systemRandom, log: asked.log.child({ server: asked.name }) }
  const database = openDatabase<Tables>({
    url: test.databaseUrl,
    clock,
    log: parts.log,
    connectionsMax: CONNECTIONS_PER_SERVER_MAX,
  })
  const secrets = createSecretStore({ database, key: readFileSync(test.keyFile), ...parts })
  const certificates = await openCertificateAuthority({ secrets, region: TEST_REGION, ...parts })
  const hostContract = `${host}:${port}`
  const ownProcess = watchProcess(systemClock)
  const region = createRegion({
    ...parts,
    database,
    about: { region: TEST_REGION, serverName: asked.name, version: 'test' },
    hostContract: { address: hostContract, servers: test.hostContracts },
    hostCommands: databaseHostCommands(database),
    probeKey: '7'.repeat(64),
    certificates,
    registry: test.registry,
    registryTokens: createRegistryTokens({ ...(await certificates.registrySigner()), ...parts }),
    importLock: createImportLock({ database, clock }),
    uploadFolder: join(test.folder, 'uploads'),
    overcommit: { cpu: 4, memory: 1 },
    quotaDefaults: asked.quotaDefaults,
    ...(asked.power === undefined ? {} : { power: asked.power }),
    processStatus: () => ownProcess.status(),
    reserveHosts: 0,
  })
  await region.start()
  const hosts = new HostListener({
    ...parts,
    bind: { host, port },
    serverName: asked.name,
    certificates,
    sessions: region.sessions,
    calls: region.hostCalls,
    onRefused: region.onHostRefused,
    admits: region.fleet.membership.admits,
  })
  await hosts.start()
  const http = createHttpServer({
    bindings: region.bindings,
    authorize: region.authorize,
    onRefused: region.onRefused,
    newRequestId: () => newId<'request'>(clock, systemRandom),
    onUpgrade: createStreamUpgrade({ ...parts, streams: region.sessions.streams }),
    clock,
    log: parts.log,
    ...(asked.limits === undefined ? {} : { limits: asked.limits }),
  })
  const url = await http.listen({ host: '127.0.0.1', port: 0 })
  let stopped: Promise<void> | undefined
  const stop = async (): Promise<void> => {
    await region.stop()
    await Promise.all([http.close(), hosts.stop()])
    await database.close()
    ownProcess.stop()
  }
  return {
    name: asked.name,
    url,
    hostContract,
    region,
    database,
    stop: () => (stopped ??= stop()),
  }
}
