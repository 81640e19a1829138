import {
  every,
  PlatformError,
  integerBelow,
  sleep,
  withJitter,
  type Clock,
  type Random,
  type Timer,
} from '@nubo/base'
import {
  FOUND_PER_MESSAGE_MAX,
  HEARTBEAT_MISSED_MAX,
  HOST_MESSAGE_BYTES_MAX,
  hostCodec,
  type AgentMessage,
  type FoundInstance,
  type Hello,
  type HostCodec,
  type HostContract,
  type Probe,
  type ProbeResult,
  type ServerMessage,
  type WantedUpdate,
  type Welcome,
} from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime/process'
import { logged } from '../logged.ts'
import type { ServerChannel, ServerConnector } from './channel.ts'
import type { FoundReports } from './found-reports.ts'

/** Until a server has answered the hello. */
const WELCOME_TIMEOUT_MS = 5_000
/** Two servers that hang may cost two tries before the lease is over. */
const CONNECT_TIMEOUT_MS = 8_000
/** What could not be stored is asked for again after so long. */
const NO_ROOM_RETRY_MS = 3_000
/** News go out at once if the last report is this old; a report that follows a large one waits longer. */
const REPORT_WINDOW_SMALL_MS = 10
const REPORT_WINDOW_LARGE_MS = 50
const REPORT_LARGE_SETS = 16
/**
 * That a change of neighbours alone is on disk is of use to nobody for itself, and each host of a network would say so for
 * each port of it. It goes with the next news, and by itself only so that what a server knows is never much older.
 */
const REVISION_ALONE_MS = 5_000
/** What a set passes through is told only if it lasts longer: each word of it is a commit of the region. */
const REPORT_PASSING_MS = 100
const PASSING = new Set<FoundInstance['state']>(['pending', 'pulling', 'starting', 'stopping'])
/** A server that lets this much pile up is not read from; news wait, coalesced per set, until it has drained. */
const BUFFERED_BYTES_MAX = 2 ** 20
/** A session that ends sooner after its welcome, whatever ended it, is a failed try: the next may end the same way. */
const SESSION_STABLE_MS = 5_000
const BACKOFF_MIN_MS = 100
const BACKOFF_MAX_MS = 5_000
/** Half of the limit: the texts of a report are bounded by the contract, so a message cannot double. */
const REPORT_BYTES_TARGET = HOST_MESSAGE_BYTES_MAX / 2
/** A beat so much later than its period says that this process did not get to run. */
const BEAT_LATE_FACTOR = 1.5
/** Heartbeats whose answers have not come; a server that answers none is given up long before. */
const UNANSWERED_MAX = 64
/** Probes that a server wants at once; more are not made, which it notices by its own deadline. */
const PROBES_MAX = 8

/** What the session tells the agent and asks it. Whatever a handler throws ends the session; the next one starts anew. */
export interface SessionNeeds {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly connector: ServerConnector
  readonly reports: FoundReports
  /** Versions of the host contract that this agent speaks, best first. */
  readonly contracts: readonly HostContract[]
  /** Asked before each try. Never empty. */
  servers(): readonly string[]
  hello(): Promise<Hello>
  wantedRevision(): number | null
  onWelcome(welcome: Welcome): void
  /** Stores the update, or its part. `no-room`: it could not; what follows would not fit to what is here. */
  onWanted(update: WantedUpdate): 'partial' | 'stored' | 'no-room'
  /** False: the lease had ended before, so that only a session that begins anew may bring it back. */
  onLease(untilMonotonicMs: number, by: 'welcome' | 'heartbeat'): boolean
  /** Asked at each heartbeat. Not what the hello said, twice in a row: the session begins anew, to say it. */
  stopsWithinMs(): number | null
  onOpenStream(request: { server: string; token: string }): void
  /** Looks for hosts on the underlay; empty if this host cannot. Ends within the time of the probe. */
  onProbe(probe: Probe): Promise<readonly ProbeResult[]>
  /** The connection is gone. */
  onEnd(): void
  /** Resolves when every set has been looked at once since the agent started, or after a deadline of its own. */
  untilFound(signal: AbortSignal): Promise<void>
}

/** Keeps one connection to one of the servers, for as long as it is not stopped. */
export class Session {
  readonly #needs: SessionNeeds
  #server: string | undefined
  #connected: string | null = null

  constructor(needs: SessionNeeds) {
    this.#needs = needs
  }

  /** The server that the agent is connected to and welcomed by. */
  get connectedTo(): string | null {
    return this.#connected
  }

  /** Runs until `signal` aborts; resolves then. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#needs
    let failures = 0
    while (!signal.aborted) {
      const server = this.#nextServer()
      const connection = new Connection(this.#needs, server, (isUp) => {
        this.#connected = isUp ? server : null
      })
      const outcome = await connection.run(signal)
      this.#connected = null
      if (signal.aborted) return
      failures = outcome.wasStable ? 0 : failures + 1
      log.info('session ended', { server, reason: outcome.reason, failures })
      const delayMs = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(failures, 10))
      await sleep(clock, withJitter(random, delayMs), signal).catch(() => undefined)
    }
  }

  /** Another one than last time, so that a dead server costs one try; hosts begin at different ones. */
  #nextServer(): string {
    const servers = this.#needs.servers()
    const last = this.#server === undefined ? -1 : servers.indexOf(this.#server)
    const at =
      last < 0 ? integerBelow(this.#needs.random, servers.length) : (last + 1) % servers.length
    const server = servers[at]
    if (server === undefined) throw new Error('the list of servers is empty')
    this.#server = server
    return server
  }
}

/** One connection, from dialling to its end. */
class Connection {
  readonly #needs: SessionNeeds
  readonly #server: string
  readonly #onUp: (isUp: boolean) => void
  readonly #ended = Promise.withResolvers<string>()
  readonly #abort = new AbortController()
  readonly #heartbeats = new Map<number, number>()
  #stepTimer: Timer | undefined
  #heartbeatTimer: Timer | undefined
  #beatAtMs = 0
  #channel: ServerChannel | undefined
  #codec: HostCodec | undefined
  #probes = 0
  #welcome: Welcome | undefined
  #helloSentAtMs = 0
  #stopsWithinMsTold: number | null = null
  #isGuaranteeOther = false
  #welcomedAtMs = 0
  #lastAnswerMs = 0
  #sequence = 0
  #hasSentFull = false
  #hasNoRoom = false
  #reportTimer: Timer | undefined
  /** When `#reportTimer` fires. */
  #reportAtMs = 0
  /** Some part of the update that is under way is about sets. */
  #isAboutSets = false
  #mayReportAtMs = 0
  #revisionTold: number | null = null

  constructor(needs: SessionNeeds, server: string, onUp: (isUp: boolean) => void) {
    this.#needs = needs
    this.#server = server
    this.#onUp = onUp
  }

  async run(signal: AbortSignal): Promise<{ wasStable: boolean; reason: string }> {
    const onAbort = (): void => this.#end('the agent stops')
    signal.addEventListener('abort', onAbort, { once: true })
    this.#awaitStep(CONNECT_TIMEOUT_MS, 'no connection in time')
    try {
      void this.#open().catch((error: unknown) => this.#fail(error))
      const reason = await this.#ended.promise
      const upMs = this.#needs.clock.monotonicMs() - this.#welcomedAtMs
      return { wasStable: this.#welcome !== undefined && upMs >= SESSION_STABLE_MS, reason }
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#needs.reports.listen(() => {})
      for (const timer of [this.#stepTimer, this.#heartbeatTimer, this.#reportTimer])
        timer?.cancel()
      this.#onUp(false)
      this.#needs.onEnd()
    }
  }

  async #open(): Promise<void> {
    const { clock, connector } = this.#needs
    const hello = await this.#needs.hello()
    if (this.#abort.signal.aborted) return
    const channel = await connector.connect(
      this.#server,
      {
        onText: (text) => this.#receive(text),
        onClose: (reason) => this.#end(reason),
      },
      this.#abort.signal,
      this.#needs.contracts,
    )
    if (this.#abort.signal.aborted) return channel.close('given up')
    this.#channel = channel
    this.#codec = hostCodec(channel.contract)
    this.#helloSentAtMs = clock.monotonicMs()
    this.#stopsWithinMsTold = hello.stopsWithinMs
    this.#awaitStep(WELCOME_TIMEOUT_MS, 'no welcome in time')
    this.#send(hello)
  }

  #awaitStep(timeoutMs: number, reason: string): void {
    this.#stepTimer?.cancel()
    this.#stepTimer = this.#needs.clock.after(timeoutMs, () => this.#end(reason))
  }

  #receive(text: string): void {
    if (this.#abort.signal.aborted) return
    try {
      // Handlers are called once the connection is there.
      if (this.#codec !== undefined) this.#handle(parseServerMessage(text, this.#codec))
    } catch (error) {
      this.#fail(error)
    }
  }

  #handle(message: ServerMessage): void {
    if (message.type === 'welcome') return this.#handleWelcome(message)
    if (this.#welcome === undefined) return this.#end(`'${message.type}' came before the welcome`)
    switch (message.type) {
      case 'wanted':
        return this.#handleWanted(message)
      case 'heartbeat-answer': {
        const sentAtMs = this.#heartbeats.get(message.sequence)
        if (sentAtMs === undefined) return
        this.#lastAnswerMs = this.#needs.clock.monotonicMs()
        for (const sequence of this.#heartbeats.keys())
          if (sequence <= message.sequence) this.#heartbeats.delete(sequence)
        if (!this.#needs.onLease(sentAtMs + message.leaseMs, 'heartbeat'))
          this.#end('the lease had ended before it was renewed')
        return
      }
      case 'open-stream':
        return this.#needs.onOpenStream({ server: message.server, token: message.token })
      case 'probe':
        return this.#probe(message)
    }
  }

  #probe(probe: Probe): void {
    if (this.#probes >= PROBES_MAX) return
    this.#probes += 1
    this.#needs
      .onProbe(probe)
      .then((results) => {
        if (this.#abort.signal.aborted) return
        this.#send({ type: 'probe-report', id: probe.id, results: [...results] })
      })
      .catch((error: unknown) =>
        this.#needs.log.warn('neighbours could not be looked for', logged(error)),
      )
      .finally(() => (this.#probes -= 1))
  }

  #handleWanted(update: WantedUpdate): void {
    if (this.#hasNoRoom) return
    this.#isAboutSets ||= isAboutSets(update)
    const outcome = this.#needs.onWanted(update)
    if (outcome === 'partial') return
    if (outcome === 'stored') {
      // A server that takes sets from here waits to hear that this host knows it, even if it never had them.
      this.#scheduleReport(this.#isAboutSets ? REPORT_WINDOW_LARGE_MS : REVISION_ALONE_MS)
      this.#isAboutSets = false
      return
    }
    // The session lives on for a while, so that the server hears why; the next one is sent all of it again.
    this.#hasNoRoom = true
    this.#awaitStep(NO_ROOM_RETRY_MS, 'there is no room to store what is wanted')
  }

  #handleWelcome(welcome: Welcome): void {
    if (this.#welcome !== undefined) return this.#end('a second welcome')
    if (welcome.contract !== this.#codec?.contract)
      return this.#end(`the server chose contract ${welcome.contract}`)
    this.#stepTimer?.cancel()
    this.#welcomedAtMs = this.#needs.clock.monotonicMs()
    this.#lastAnswerMs = this.#welcomedAtMs
    this.#welcome = welcome
    this.#onUp(true)
    this.#needs.onWelcome(welcome)
    // The server has heard the hello, so the lease counts from its sending.
    this.#needs.onLease(this.#helloSentAtMs + welcome.leaseMs, 'welcome')
    this.#needs.log.info('session begun', {
      server: this.#server,
      serverName: welcome.serverName,
      contract: welcome.contract,
    })
    this.#beatAtMs = this.#needs.clock.monotonicMs()
    this.#heartbeatTimer = every(this.#needs.clock, welcome.heartbeatPeriodMs, () =>
      this.#beat(welcome),
    )
    this.#sendHeartbeat()
    void this.#needs
      .untilFound(this.#abort.signal)
      .then(() => this.#sendFull())
      .catch((error: unknown) => this.#fail(error))
  }

  #beat(welcome: Welcome): void {
    // Other messages do not count: a server that cannot grant a lease (its database is away) does not answer, so that
    // hosts move on to one that can.
    const nowMs = this.#needs.clock.monotonicMs()
    const silentMs = nowMs - this.#lastAnswerMs
    const silentMaxMs = welcome.heartbeatPeriodMs * HEARTBEAT_MISSED_MAX
    // This process stood still for a while: answers may have come that nobody has read yet. The next beat judges.
    const isLate = nowMs - this.#beatAtMs > welcome.heartbeatPeriodMs * BEAT_LATE_FACTOR
    this.#beatAtMs = nowMs
    if (silentMs >= (isLate ? 2 * silentMaxMs : silentMaxMs))
      return this.#end(`the server has not answered for ${Math.round(silentMs)} ms`)
    if (this.#hasGuaranteeChanged()) return this.#end('what the host guarantees has changed')
    this.#sendHeartbeat()
  }

  /** Seen twice, because a guard that is started again at once is the same guarantee. */
  #hasGuaranteeChanged(): boolean {
    const wasOther = this.#isGuaranteeOther
    this.#isGuaranteeOther = this.#needs.stopsWithinMs() !== this.#stopsWithinMsTold
    return wasOther && this.#isGuaranteeOther
  }

  #sendHeartbeat(): void {
    this.#sequence += 1
    this.#heartbeats.set(this.#sequence, this.#needs.clock.monotonicMs())
    if (this.#heartbeats.size > UNANSWERED_MAX) {
      const [oldest] = this.#heartbeats.keys()
      if (oldest !== undefined) this.#heartbeats.delete(oldest)
    }
    this.#send({ type: 'heartbeat', sequence: this.#sequence })
  }

  #sendFull(): void {
    if (this.#abort.signal.aborted) return
    const messages = cutReports(this.#needs.reports.takeAll())
    const final = messages.pop() ?? []
    for (const sets of messages) this.#sendFound(sets, { full: true, last: false })
    this.#sendFound(final, { full: true, last: true })
    this.#hasSentFull = true
    this.#needs.reports.listen((found) =>
      this.#scheduleReport(
        PASSING.has(found.state) && found.reason === null ? REPORT_PASSING_MS : 0,
      ),
    )
    if (this.#needs.reports.hasNews) this.#scheduleReport(0)
  }

  /** A report will go out when the window since the last one is over, and not later than `withinMs` after that. */
  #scheduleReport(withinMs: number): void {
    if (!this.#hasSentFull || this.#abort.signal.aborted) return
    const nowMs = this.#needs.clock.monotonicMs()
    const delayMs = Math.max(this.#mayReportAtMs - nowMs, withinMs)
    if (delayMs <= 0) return this.#report()
    if (this.#reportTimer !== undefined && this.#reportAtMs <= nowMs + delayMs) return
    this.#reportTimer?.cancel()
    this.#reportAtMs = nowMs + delayMs
    this.#reportTimer = this.#needs.clock.after(delayMs, () => this.#report())
  }

  #report(): void {
    this.#reportTimer?.cancel()
    this.#reportTimer = undefined
    const { clock, reports } = this.#needs
    if ((this.#channel?.bufferedBytes ?? 0) > BUFFERED_BYTES_MAX) {
      this.#reportAtMs = clock.monotonicMs() + REPORT_WINDOW_LARGE_MS
      this.#reportTimer = clock.after(REPORT_WINDOW_LARGE_MS, () => this.#report())
      return
    }
    const news = reports.takeNews(FOUND_PER_MESSAGE_MAX)
    if (news.length === 0 && this.#revisionTold === this.#needs.wantedRevision()) return
    const messages = cutReports(news)
    for (const found of messages.length === 0 ? [[]] : messages)
      this.#sendFound(found, { full: false, last: true })
    this.#mayReportAtMs =
      clock.monotonicMs() +
      (news.length >= REPORT_LARGE_SETS ? REPORT_WINDOW_LARGE_MS : REPORT_WINDOW_SMALL_MS)
    if (reports.hasNews) this.#scheduleReport(0)
  }

  #sendFound(instances: FoundInstance[], part: { full: boolean; last: boolean }): void {
    const wantedRevision = this.#needs.wantedRevision()
    this.#revisionTold = wantedRevision
    this.#send({ type: 'found', ...part, wantedRevision, instances })
  }

  #send(message: AgentMessage): void {
    const text = this.#codec?.encodeAgentMessage(message)
    if (text !== undefined) this.#channel?.send(text)
  }

  #fail(error: unknown): void {
    if (this.#abort.signal.aborted) return
    this.#needs.log.warn('session failed', { server: this.#server, ...logged(error) })
    this.#end(error instanceof Error ? error.message : String(error))
  }

  /** Idempotent. */
  #end(reason: string): void {
    if (this.#abort.signal.aborted) return
    this.#abort.abort(new Error(reason))
    this.#channel?.close(reason)
    this.#ended.resolve(reason)
  }
}

function isAboutSets({ full, upserts, removes }: WantedUpdate): boolean {
  return (
    full ||
    upserts.some(({ kind }) => kind === 'set') ||
    removes.some((key) => key.startsWith('set/'))
  )
}

function parseServerMessage(text: string, codec: HostCodec): ServerMessage {
  if (Buffer.byteLength(text) > HOST_MESSAGE_BYTES_MAX)
    throw new PlatformError('PROTOCOL_VIOLATION', { limit: HOST_MESSAGE_BYTES_MAX })
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new PlatformError('PROTOCOL_VIOLATION', { what: 'not JSON' }, { cause })
  }
  const parsed = codec.parseServerMessage(json)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new PlatformError('PROTOCOL_VIOLATION', {
    field: issue?.path.join('.'),
    what: issue?.message,
  })
}

/** Cuts a report into messages within both limits of the contract. */
function cutReports(all: readonly FoundInstance[]): FoundInstance[][] {
  const messages: FoundInstance[][] = []
  let message: FoundInstance[] = []
  let bytes = 0
  for (const found of all) {
    const foundBytes = JSON.stringify(found).length * 2
    if (
      message.length > 0 &&
      (message.length >= FOUND_PER_MESSAGE_MAX || bytes + foundBytes > REPORT_BYTES_TARGET)
    ) {
      messages.push(message)
      message = []
      bytes = 0
    }
    message.push(found)
    bytes += foundBytes
  }
  if (message.length > 0) messages.push(message)
  return messages
}
