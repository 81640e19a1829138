import { newId, seededRandom, VirtualClock, type Clock, type Random } from '@nubo/base'
import { api, type Route } from '@nubo/contracts'
import {
  bootstrapRegion,
  createRegion,
  databaseHostCommands,
  type CertificateAuthority,
  type HostChannel,
  type ImageRegistry,
  type Region,
  type Tables,
} from '@nubo/control-plane'
import {
  createSimulatedHost,
  type ChannelHandlers,
  type ServerChannel,
  type SimulatedHost,
} from '@nubo/host-agent'
import { HOST_CONTRACT_LATEST, type HostContract } from '@nubo/contracts/host'
import { Encoded, silentLog, type Database, type ProcessStatus } from '@nubo/runtime'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { z } from 'zod'
import { SharedPglite } from './pglite-database.ts'

const migrationsFolder = new URL('../../control-plane/migrations', import.meta.url).pathname

/** A message takes this long at most; each takes another time, but no message overtakes another of its connection. */
const MESSAGE_DELAY_MAX_MS = 8

/** A stream of randomness of its own for each part, so that one part's draws do not move another's. */
function streamOf(seed: number, name: string): Random {
  let hash = seed >>> 0
  for (const letter of name) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193) >>> 0
  return seededRandom(hash)
}

export interface SimulatedServer {
  readonly name: string
  readonly address: string
  region: Region
  isUp: boolean
  kill: () => void
}

/**
 * A whole region under one seed: two server processes on one database in memory, hosts with real agents and fake
 * engines, messages that take their time, and a clock that moves only when told to.
 */
export class SimulatedRegion {
  readonly clock: VirtualClock
  readonly random: Random
  readonly servers: SimulatedServer[] = []
  readonly hosts = new Map<string, SimulatedHost>()
  readonly #seed: number
  readonly #shared: SharedPglite
  readonly #serials = new Map<string, string>()
  readonly #links = new Map<string, Set<() => void>>()
  readonly #cut = new Set<string>()
  readonly #folder = mkdtempSync(join(tmpdir(), 'nt-sim-'))
  #token = ''
  #lives = 0

  private constructor(seed: number, shared: SharedPglite) {
    this.#seed = seed
    this.#shared = shared
    this.random = streamOf(seed, 'scenario')
    this.clock = new VirtualClock({ settle: () => this.#settle() })
  }

  static async start(seed: number, options: { hosts: number }): Promise<SimulatedRegion> {
    const region = new SimulatedRegion(seed, await SharedPglite.open(migrationsFolder))
    await region.#bootstrap()
    for (const name of ['s1', 's2']) {
      const server: SimulatedServer = {
        name,
        address: `${name}:1`,
        ...region.#newServer(name),
        isUp: false,
      }
      region.servers.push(server)
      await region.startServer(server)
    }
    for (let index = 1; index <= options.hosts; index++)
      await region.#addHost(`h${index}`, `rack-${1 + (index % 2)}`)
    return region
  }

  database(): Database<Tables> {
    return this.#shared.connect()
  }

  async stop(): Promise<void> {
    for (const host of this.hosts.values()) await this.#during(host.close())
    for (const server of this.servers) if (server.isUp) await this.#during(server.region.stop())
    await this.#shared.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  // ---- Servers

  #newServer(name: string): { region: Region; kill: () => void } {
    const life = { dead: false }
    const clock = mortalClock(this.clock, life)
    const database = this.#shared.connect<Tables>(() => life.dead)
    const random = streamOf(this.#seed, `${name}/${++this.#lives}`)
    const region = createRegion({
      database,
      clock,
      random,
      log: silentLog,
      about: { region: 'sim', serverName: name, version: 'sim' },
      hostContract: { address: `${name}:1`, servers: ['s1:1', 's2:1'] },
      hostCommands: databaseHostCommands(database),
      probeKey: '7'.repeat(64),
      certificates: this.#certificates(clock),
      registry: emptyRegistry,
      registryTokens: {
        issue: () => ({ token: 'simulated', expiresAtMs: clock.nowMs() + 60_000 }),
      },
      importLock: {
        whileImporting: (work) => work(new AbortController().signal),
        whileCollecting: () => Promise.resolve(true),
      },
      uploadFolder: join(this.#folder, name),
      overcommit: { cpu: 4, memory: 1 },
      processStatus: unwatchedProcess,
      reserveHosts: 0,
    })
    const kill = (): void => {
      life.dead = true
      void database.close()
    }
    return { region, kill }
  }

  async startServer(server: SimulatedServer): Promise<void> {
    if (server.isUp) return
    Object.assign(server, this.#newServer(server.name))
    await this.#during(server.region.start())
    server.isUp = true
  }

  /** As kill -9 does: timers never fire again, transactions are rolled back, connections end. */
  killServer(server: SimulatedServer): void {
    if (!server.isUp) return
    server.isUp = false
    server.kill()
    for (const end of this.#links.get(server.address) ?? []) end()
    this.#links.delete(server.address)
  }

  // ---- Hosts

  async #addHost(name: string, rack: string): Promise<void> {
    const [server] = this.servers
    if (server === undefined) throw new Error('there is no server')
    const { token } = await this.call('hostInvite', { body: { name, rack } })
    const { secret } = JSON.parse(
      Buffer.from(token.slice('nubo-join-'.length), 'base64url').toString(),
    )
    const { hostId } = await this.#during(
      server.region.fleet.membership.join({
        secret,
        hostName: name,
        certificateRequest: 'simulated',
      }),
    )
    const random = streamOf(this.#seed, name)
    const host = createSimulatedHost({
      hostId,
      clock: this.clock,
      random,
      servers: ['s1:1', 's2:1'],
      vtepAddress: `172.30.0.${10 + this.hosts.size}`,
      capacity: { cpuMillis: 4_000, memoryBytes: 4 * 2 ** 30, diskBytes: 10 * 2 ** 30 },
      connector: {
        connect: (address, handlers, signal, [contract = HOST_CONTRACT_LATEST]) =>
          this.#connect({ hostName: name, hostId, address, random, contract }, handlers, signal),
      },
    })
    this.hosts.set(name, host)
    host.start()
  }

  cut(hostName: string): void {
    this.#cut.add(hostName)
    this.cutSession(hostName)
  }

  heal(hostName: string): void {
    this.#cut.delete(hostName)
  }

  /** Ends the host's connection; it comes back by itself. */
  cutSession(hostName: string): void {
    for (const end of this.#links.get(hostName) ?? []) end()
    this.#links.delete(hostName)
  }

  #connect(
    from: {
      hostName: string
      hostId: string
      address: string
      random: Random
      contract: HostContract
    },
    handlers: ChannelHandlers,
    signal: AbortSignal,
  ): Promise<ServerChannel> {
    return new Promise((resolve, reject) => {
      this.clock.after(1 + from.random.fraction() * MESSAGE_DELAY_MAX_MS, () => {
        const server = this.servers.find((one) => one.address === from.address)
        if (signal.aborted || server?.isUp !== true || this.#cut.has(from.hostName)) {
          reject(new Error(`${from.address} does not answer`))
          return
        }
        resolve(this.#link(server, from, handlers))
      })
    })
  }

  #link(
    server: SimulatedServer,
    from: { hostName: string; hostId: string; random: Random; contract: HostContract },
    handlers: ChannelHandlers,
  ): ServerChannel {
    let isOpen = true
    let onMessage = (_text: string): void => undefined
    let onClose = (): void => undefined
    const toServer = this.#pipe(from.random, (text) => onMessage(text))
    const toHost = this.#pipe(from.random, (text) => handlers.onText(text))
    const end = (reason: string): void => {
      if (!isOpen) return
      isOpen = false
      for (const key of [server.address, from.hostName]) this.#links.get(key)?.delete(endByNetwork)
      this.clock.after(1, () => {
        handlers.onClose(reason)
        onClose()
      })
    }
    const endByNetwork = (): void => end('the connection broke')
    for (const key of [server.address, from.hostName]) {
      this.#links.set(key, (this.#links.get(key) ?? new Set()).add(endByNetwork))
    }
    const channel: HostChannel = {
      send: (text) => void (isOpen && toHost(text, () => isOpen)),
      bufferedBytes: 0,
      close: (_code, reason) => end(reason),
      onMessage: (listener) => void (onMessage = listener),
      onClose: (listener) => void (onClose = listener),
    }
    const identity = { hostId: from.hostId, serial: this.#serials.get(from.hostId) ?? '' }
    server.region.sessions.accept(channel, identity, from.contract)
    return {
      contract: from.contract,
      send: (text) => void (isOpen && toServer(text, () => isOpen)),
      bufferedBytes: 0,
      close: end,
    }
  }

  /** Delivers in order, each text after a delay of its own. */
  #pipe(
    random: Random,
    deliver: (text: string) => void,
  ): (text: string, isOpen: () => boolean) => void {
    let lastAtMs = 0
    return (text, isOpen) => {
      const atMs = Math.max(
        lastAtMs,
        this.clock.monotonicMs() + random.fraction() * MESSAGE_DELAY_MAX_MS,
      )
      lastAtMs = atMs
      this.clock.after(atMs - this.clock.monotonicMs(), () => {
        if (isOpen()) deliver(text)
      })
    }
  }

  #certificates(clock: Clock): CertificateAuthority {
    return {
      caPem: 'simulated',
      caSha256: '0'.repeat(64),
      issueServer: () => Promise.reject(new Error('not in a simulation')),
      registrySigner: () => Promise.reject(new Error('not in a simulation')),
      issueHost: ({ hostId, serial }) => {
        this.#serials.set(hostId, serial)
        return Promise.resolve({
          certificatePem: 'simulated',
          expiresAtMs: clock.nowMs() + 7 * 86_400_000,
        })
      },
    }
  }

  // ---- Calls of the public API, through the same contracts and checks as over HTTP

  async call<Name extends keyof typeof api>(
    name: Name,
    input: { params?: unknown; query?: unknown; body?: unknown } = {},
    server: SimulatedServer | undefined = this.servers.find((one) => one.isUp),
  ): Promise<z.output<(typeof api)[Name]['reply']>> {
    const route: Route = api[name]
    const binding = server?.region.bindings.find((one) => one.route === route)
    if (server === undefined || binding === undefined) throw new Error(`no server answers ${name}`)
    const query = route.query?.parse(input.query ?? {})
    const caller = await server.region.authorize({
      route,
      token: this.#token,
      query,
      params: input.params,
    })
    const answer = binding.handle({
      caller,
      params: route.params?.parse(input.params) as never,
      query: query as never,
      body: route.body?.parse(input.body) as never,
      requestId: 'simulated',
      ifMatch: undefined,
      signal: new AbortController().signal,
      upload: undefined as never,
      wantsWhole: false,
    })
    const reply = await this.#during(answer)
    return route.reply.parse(reply instanceof Encoded ? JSON.parse(reply.text) : reply) as z.output<
      (typeof api)[Name]['reply']
    >
  }

  /** Lets the virtual clock move while something waits for it. */
  async #during<Value>(work: Promise<Value>): Promise<Value> {
    let isDone = false
    const watched = work.finally(() => {
      isDone = true
    })
    watched.catch(() => undefined)
    await this.clock.advanceUntil(() => isDone, 60_000)
    return watched
  }

  async #bootstrap(): Promise<void> {
    const database = this.database()
    const tokenFile = join(this.#folder, 'token')
    const random = streamOf(this.#seed, 'bootstrap')
    await bootstrapRegion({ database, clock: this.clock, random, tokenFile })
    this.#token = readFileSync(tokenFile, 'utf8').trim()
    const project = await database.query
      .selectFrom('project')
      .select('id')
      .executeTakeFirstOrThrow()
    await database.query
      .insertInto('image')
      .values({
        id: newId(this.clock, random),
        projectId: project.id,
        name: 'web',
        repository: `${project.id}/web`,
        digest: `sha256:${'1'.repeat(64)}`,
        sizeBytes: 1,
        layers: 1,
        source: 'rootfs',
        command: '[]',
        createdAtMs: this.clock.nowMs(),
      })
      .execute()
  }

  /** Everything that does not wait for time has happened: no statement runs, and a few turns brought nothing new. */
  async #settle(): Promise<void> {
    for (let quietTurns = 0; quietTurns < 3;) {
      await new Promise<void>((resolve) => setImmediate(resolve))
      quietTurns = this.#shared.isBusy ? 0 : quietTurns + 1
    }
  }
}

/** A clock whose timers stop with their process. */
/** The simulated servers are one process; what it measures of itself would differ from run to run. */
const unwatchedProcess = (): ProcessStatus => ({
  uptimeMs: 0,
  residentBytes: 0,
  heapUsedBytes: 0,
  loopDelay: { now: { windowMs: 0, p50Ms: 0, p99Ms: 0, maxMs: 0 }, before: null },
})

function mortalClock(clock: Clock, life: { dead: boolean }): Clock {
  return {
    nowMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs(),
    after: (delayMs, fire) => clock.after(delayMs, () => void (life.dead || fire())),
  }
}

const emptyRegistry: ImageRegistry = {
  address: 'simulated:1',
  hasBlob: () => Promise.resolve(true),
  putBlob: () => Promise.resolve(),
  putManifest: () => Promise.reject(new Error('nothing is imported in a simulation')),
  deleteManifest: () => Promise.resolve(),
  collectGarbage: () => Promise.resolve(),
}
