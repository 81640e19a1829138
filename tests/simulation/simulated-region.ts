import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isPlatformError, newId, seededRandom, VirtualClock, type Random } from '@nubo/base'
import { api, type Route } from '@nubo/contracts'
import { HOST_CONTRACT_LATEST, type HostContract } from '@nubo/contracts/host'
import { bootstrapRegion, type CertificateAuthority, type Tables } from '@nubo/control-plane'
import {
  FakeUnderlay,
  type ChannelHandlers,
  type ServerChannel,
  type ServerConnector,
} from '@nubo/host-agent'
import { Encoded, type Database } from '@nubo/runtime'
import type { z } from 'zod'
import { IMAGES, SERVERS } from './action.ts'
import { HostMachine } from './host-machine.ts'
import { SimulatedNetwork } from './network.ts'
import { SharedPglite } from './pglite-database.ts'
import { serverName } from './plan.ts'
import { SimulatedProcess, type MachineClock } from './process.ts'
import {
  createSimulatedRegion,
  SERVER_ADDRESSES,
  type SimulatedServer,
} from './simulated-server.ts'
import { SimulatedPower } from './simulated-power.ts'
import { Trace } from './trace.ts'

const migrationsFolder = new URL('../../control-plane/migrations', import.meta.url).pathname
const CONNECT_DELAY_MAX_MS = 8
/** A first packet that was lost is sent again. */
const CONNECT_RETRY_MS = 1_000
/** Transactions take turns, and one whose server is cut off keeps its turn for 15 s; a dozen may stand in line. */
const DURING_MAX_MS = 240_000
/** A caller that has no answer by then gives up. */
const CALLER_TIMEOUT_MS = 15_000
/** After trouble of servers or database hosts come back to a server within so long, */
const ASKABLE_AFTER_MS = 10_000
/** and have an answer to a heartbeat all the time. */
const HEARD_MAX_MS = 6_000
/** Clocks of one data centre are this far apart, and run this much faster or slower than true time. */
const CLOCK_OFFSET_MAX_MS = 2_000
const CLOCK_DRIFT_MAX = 1e-4

/** What came of a request to the public API, as its caller sees it. */
export type Answer<Value> =
  | { readonly at: 'answered'; readonly value: Value }
  | { readonly at: 'refused'; readonly code: string }
  /** It may have happened, or not, or may happen yet. */
  | { readonly at: 'unknown'; readonly why: string }

/** A stream of randomness of its own for each part, so that one part's draws do not move another's. */
function streamOf(seed: number, name: string): Random {
  let hash = seed >>> 0
  for (const letter of name) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193) >>> 0
  return seededRandom(hash)
}

export interface CallInput {
  readonly params?: unknown
  readonly query?: unknown
  readonly body?: unknown
  readonly ifMatch?: string
}

export interface HostShape {
  readonly name: string
  readonly rack: string
  readonly zone?: string
  readonly cpuMillis: number
  readonly memoryBytes: number
}

export interface RegionOptions {
  readonly seed: number
  readonly hosts: readonly HostShape[]
  /** Otherwise whoever asked starts them; true if absent. */
  readonly startsAgents?: boolean
  readonly keepTrace?: boolean
}

/**
 * A whole region under one seed: two server processes on one database in memory, hosts with real agents and fake
 * engines, a network, and a clock that moves only when told to. What breaks is in `faults.ts`.
 */
export class SimulatedRegion {
  readonly clock: VirtualClock
  readonly trace: Trace
  readonly network: SimulatedNetwork
  readonly servers: SimulatedServer[] = []
  readonly hosts: HostMachine[] = []
  readonly power: SimulatedPower
  readonly #underlay: FakeUnderlay
  /** Until when nobody could be expected to serve; kept by whoever makes faults. */
  disturbedUntilMs = 0
  /** Told of each server process that starts, before it does. */
  onServer: (server: SimulatedServer) => void = () => undefined
  readonly #seed: number
  readonly #serials = new Map<string, string>()
  readonly #folder = mkdtempSync(join(tmpdir(), 'nt-sim-'))
  #database: SharedPglite | undefined
  #token = ''
  #lives = 0

  private constructor(options: RegionOptions) {
    this.#seed = options.seed
    this.clock = new VirtualClock({ settle: settleOnce })
    this.trace = new Trace(this.clock, options.keepTrace === true)
    this.network = new SimulatedNetwork(this.clock, this.trace)
    this.power = new SimulatedPower(this, streamOf(options.seed, 'power'))
    this.#underlay = new FakeUnderlay(this.clock)
    this.#underlay.passes = (from, to) => {
      const [a, b] = [this.#machineAt(from), this.#machineAt(to)]
      return a !== undefined && b !== undefined && this.canProbe(a, b)
    }
  }

  static async start(options: RegionOptions): Promise<SimulatedRegion> {
    const region = new SimulatedRegion(options)
    region.#database = await SharedPglite.open(migrationsFolder, {
      base: region.clock,
      random: streamOf(options.seed, 'database'),
      trace: region.trace,
    })
    await region.#bootstrap()
    for (let index = 0; index < SERVERS; index++) {
      const name = serverName(index)
      const server = region.#newServer(name, region.#machineClock(name))
      region.servers.push(server)
      await region.during(region.startServer(server))
    }
    for (const host of options.hosts) await region.#addHost(host, options.startsAgents !== false)
    return region
  }

  get database(): SharedPglite {
    if (this.#database === undefined) throw new Error('the region has not started')
    return this.#database
  }

  get seed(): number {
    return this.#seed
  }

  /** For looking at the tables from outside. */
  observer(): Database<Tables> {
    return this.database.connect()
  }

  async stop(): Promise<void> {
    for (const host of this.hosts) host.killAgent()
    for (const server of this.servers) server.process.die()
    this.database.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Whether a question on the underlay gets from one agent to another: its answer goes the same way back. */
  canProbe(from: HostMachine, to: HostMachine): boolean {
    return (
      [from, to].every(({ isPowered, agent }) => isPowered && agent.isAlive && !agent.isPaused) &&
      !this.network.isBlocked(`underlay/${from.name}`, `underlay/${to.name}`)
    )
  }

  /** Whether the servers can ask a host what it hears, and could a moment ago. */
  canTell({ name }: HostMachine): boolean {
    const nowMs = this.clock.monotonicMs()
    return (
      nowMs > this.disturbedUntilMs + ASKABLE_AFTER_MS &&
      nowMs - this.network.leaseGrantedAtMs(name) < HEARD_MAX_MS &&
      this.servers.some((one) => one.isUp && this.network.isOpen(name, one.name))
    )
  }

  #machineAt(address: string): HostMachine | undefined {
    return this.hosts.find(({ vtepAddress }) => address.startsWith(`${vtepAddress}:`))
  }

  // ---- Servers

  #machineClock(name: string): MachineClock {
    const random = streamOf(this.#seed, `clock/${name}`)
    const around = (max: number): number => (random.fraction() * 2 - 1) * max
    return { offsetMs: around(CLOCK_OFFSET_MAX_MS), rate: 1 + around(CLOCK_DRIFT_MAX) }
  }

  #newServer(name: string, machine: MachineClock): SimulatedServer {
    const process = new SimulatedProcess({ name, base: this.clock, trace: this.trace, machine })
    const region = createSimulatedRegion({
      name,
      process,
      database: this.database,
      random: streamOf(this.#seed, `${name}/${++this.#lives}`),
      certificates: this.#certificates(),
      folder: join(this.#folder, name),
      extra: { power: this.power.controlFor(process) },
    })
    return {
      name,
      address: `${name}:1`,
      clock: machine,
      process,
      region,
      isUp: false,
      isStarting: false,
    }
  }

  /** Starts its first process, or the next one if that has died. A start that fails is tried again, as by a service manager. */
  async startServer(server: SimulatedServer): Promise<void> {
    // One that is on its way up either comes up or dies and is started anew.
    if (server.isUp || server.isStarting) return
    if (!server.process.isAlive) Object.assign(server, this.#newServer(server.name, server.clock))
    const { process, region } = server
    this.onServer(server)
    server.isStarting = true
    process.onDeath(() => void (server.isStarting = false))
    try {
      await region.start()
      server.isStarting = false
      if (process.isAlive) server.isUp = true
    } catch (error) {
      // It was killed meanwhile, and the next one may be on its way up.
      if (!process.isAlive) return
      this.trace.add(server.name, `could not start: ${String(error)}`)
      this.killServer(server)
      this.clock.after(1_000, () => void this.startServer(server))
    }
  }

  /** As kill -9 does: timers never fire again, transactions are rolled back, connections end. */
  killServer(server: SimulatedServer): void {
    if (!server.process.isAlive) return
    server.isUp = false
    server.process.die()
    this.network.closeAll(server.process)
  }

  // ---- Hosts

  async #addHost(shape: HostShape, startsAgent: boolean): Promise<void> {
    const [server] = this.servers
    if (server === undefined) throw new Error('there is no server')
    const { name, rack, zone } = shape
    const index = this.hosts.length
    const { token } = await this.call('hostInvite', {
      body: { name, rack, ...(zone === undefined ? {} : { zone }) },
    })
    // proof: what the call above made
    const { secret } = JSON.parse(
      Buffer.from(token.slice('nubo-join-'.length), 'base64url').toString(),
    ) as { secret: string }
    const { hostId } = await this.during(
      server.region.fleet.membership.join({
        secret,
        hostName: name,
        certificateRequest: 'simulated',
      }),
    )
    const host = new HostMachine({
      name,
      rack,
      hostId,
      vtepAddress: `172.30.${Math.floor(index / 200)}.${10 + (index % 200)}`,
      cpuMillis: shape.cpuMillis,
      memoryBytes: shape.memoryBytes,
      servers: SERVER_ADDRESSES,
      base: this.clock,
      random: streamOf(this.#seed, name),
      trace: this.trace,
      network: this.network,
      underlay: this.#underlay,
      clock: this.#machineClock(name),
      connect: (from, process) => this.#connector(from, process),
    })
    this.hosts.push(host)
    if (startsAgent) host.startAgent()
  }

  #connector(machine: HostMachine, process: SimulatedProcess): ServerConnector {
    const random = streamOf(this.#seed, `${machine.name}/connections/${++this.#lives}`)
    return {
      connect: (address, handlers, signal, [contract = HOST_CONTRACT_LATEST]) =>
        new Promise((resolve, reject) => {
          signal.addEventListener('abort', () => reject(new Error('given up')), { once: true })
          this.#dial(
            { machine, process, random, contract, address },
            { handlers, signal, resolve, reject },
          )
        }),
    }
  }

  #dial(from: Dialling, asked: DialAsked): void {
    const server = this.servers.find((one) => one.address === from.address)
    this.clock.after(1 + from.random.fraction() * CONNECT_DELAY_MAX_MS, () => {
      if (asked.signal.aborted || !from.process.isAlive || server === undefined) return
      if (!this.network.isOpen(from.machine.name, server.name)) {
        this.clock.after(CONNECT_RETRY_MS, () => this.#dial(from, asked))
        return
      }
      if (!server.isUp)
        return from.process.enter(() => asked.reject(new Error(`${from.address} does not answer`)))
      server.process.enter(() => {
        if (asked.signal.aborted || !from.process.isAlive) return
        const channel = this.#link(server, from, asked.handlers)
        this.clock.after(from.random.fraction() * CONNECT_DELAY_MAX_MS, () =>
          from.process.enter(() => asked.resolve(channel)),
        )
      })
    })
  }

  #link(server: SimulatedServer, from: Dialling, handlers: ChannelHandlers): ServerChannel {
    const { forHost, forServer } = this.network.link(
      {
        host: { machine: from.machine.name, process: from.process },
        server: { machine: server.name, process: server.process },
        random: from.random,
        contract: from.contract,
      },
      handlers,
    )
    const { hostId } = from.machine
    const identity = { hostId, serial: this.#serials.get(hostId) ?? '' }
    server.region.sessions.accept(forServer, identity, from.contract)
    return forHost
  }

  #certificates(): CertificateAuthority {
    return {
      caPem: 'simulated',
      caSha256: '0'.repeat(64),
      issueServer: () => Promise.reject(new Error('not in a simulation')),
      registrySigner: () => Promise.reject(new Error('not in a simulation')),
      issueHost: ({ hostId, serial }) => {
        this.#serials.set(hostId, serial)
        return Promise.resolve({
          certificatePem: 'simulated',
          expiresAtMs: this.clock.nowMs() + 7 * 86_400_000,
        })
      },
    }
  }

  // ---- Calls of the public API, through the same contracts and checks as over HTTP

  /** What a caller gets from one server; refusals and lost answers are answers. Anything else is a defect and is thrown. */
  async request<Name extends keyof typeof api>(
    name: Name,
    input: CallInput,
    server: SimulatedServer,
  ): Promise<Answer<z.output<(typeof api)[Name]['reply']>>> {
    const { process } = server
    if (!server.isUp) return { at: 'unknown', why: 'the server is down' }
    return new Promise((resolve, reject) => {
      const forget = process.onDeath(() => resolve({ at: 'unknown', why: 'the connection broke' }))
      const timer = this.clock.after(CALLER_TIMEOUT_MS, () =>
        resolve({ at: 'unknown', why: 'no answer in time' }),
      )
      process.enter(() => {
        this.#handle(name, input, server)
          .then(
            async (value) => {
              await process.gate()
              resolve({ at: 'answered', value })
            },
            async (error: unknown) => {
              await process.gate()
              if (isPlatformError(error)) resolve(answerOf(error.code))
              else reject(error)
            },
          )
          .finally(() => {
            forget()
            timer.cancel()
          })
      })
    })
  }

  /** Of a healthy region, for what must succeed. */
  async call<Name extends keyof typeof api>(
    name: Name,
    input: CallInput = {},
    server: SimulatedServer | undefined = this.servers.find((one) => one.isUp),
  ): Promise<z.output<(typeof api)[Name]['reply']>> {
    if (server === undefined) throw new Error(`no server answers ${name}`)
    return this.during(this.#handle(name, input, server))
  }

  async #handle<Name extends keyof typeof api>(
    name: Name,
    input: CallInput,
    server: SimulatedServer,
  ): Promise<z.output<(typeof api)[Name]['reply']>> {
    const route: Route = api[name]
    const binding = server.region.bindings.find((one) => one.route === route)
    if (binding === undefined) throw new Error(`no server answers ${name}`)
    const query = route.query?.parse(input.query ?? {})
    const caller = await server.region.authorize({
      route,
      token: this.#token,
      query,
      params: input.params,
    })
    const answer = await binding.handle({
      caller,
      params: route.params?.parse(input.params) as never,
      query: query as never,
      body: route.body?.parse(input.body) as never,
      requestId: 'simulated',
      ifMatch: input.ifMatch,
      signal: new AbortController().signal,
      upload: undefined as never,
      wantsWhole: false,
    })
    // proof: the schema of this very route
    return route.reply.parse(
      answer instanceof Encoded ? JSON.parse(answer.text) : answer,
    ) as z.output<(typeof api)[Name]['reply']>
  }

  /** Lets the virtual clock move while something waits for it. */
  async during<Value>(work: Promise<Value>): Promise<Value> {
    let isDone = false
    const watched = work.finally(() => {
      isDone = true
    })
    watched.catch(() => undefined)
    await this.clock.advanceUntil(() => isDone, DURING_MAX_MS)
    return watched
  }

  async #bootstrap(): Promise<void> {
    const database = this.observer()
    const tokenFile = join(this.#folder, 'token')
    const random = streamOf(this.#seed, 'bootstrap')
    await bootstrapRegion({ database, clock: this.clock, random, tokenFile })
    this.#token = readFileSync(tokenFile, 'utf8').trim()
    const project = await database.query
      .selectFrom('project')
      .select('id')
      .executeTakeFirstOrThrow()
    const images = IMAGES.map((name, index) => ({
      id: newId<'image'>(this.clock, random),
      projectId: project.id,
      name,
      repository: `${project.id}/${name}`,
      digest: `sha256:${String(1 + index).repeat(64)}`,
      sizeBytes: 1,
      layers: 1,
      source: 'rootfs' as const,
      command: '[]',
      createdAtMs: this.clock.nowMs(),
    }))
    await database.query.insertInto('image').values(images).execute()
  }
}

/** A tick comes when no promise is left to run, and nothing in the region waits for anything but promises and the clock. */
function settleOnce(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve))
}

interface Dialling {
  readonly machine: HostMachine
  readonly process: SimulatedProcess
  readonly random: Random
  readonly contract: HostContract
  readonly address: string
}

interface DialAsked {
  readonly handlers: ChannelHandlers
  readonly signal: AbortSignal
  readonly resolve: (channel: ServerChannel) => void
  readonly reject: (error: Error) => void
}

/** What may have happened all the same is not a refusal. */
function answerOf(code: string): Answer<never> {
  return code === 'DATABASE_UNAVAILABLE' || code === 'DEADLINE_EXCEEDED'
    ? { at: 'unknown', why: code }
    : { at: 'refused', code }
}
