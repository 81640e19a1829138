import {
  isPlatformError,
  parseIpv4,
  unreachable,
  type Clock,
  type HostId,
  type Timer,
} from '@nubo/base'
import {
  HEARTBEAT_MISSED_MAX,
  HEARTBEAT_PERIOD_MS,
  HOST_MESSAGE_BYTES_MAX,
  hostCodec,
  LEASE_MS,
  type AgentMessage,
  type Hello,
  type HostCodec,
  type HostContract,
  type ProbeResult,
  type ProbeTarget,
  type ServerMessage,
} from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime'
import type { World } from '../world/index.ts'
import { closeCodes, closeReason } from './close-codes.ts'
import { FoundQueue } from './found.ts'
import type {
  HostChannel,
  HostEvents,
  HostIdentity,
  HostMembership,
  HostPresence,
} from './needs.ts'
import { PendingProbes, PROBE_EXTRA_MS, PROBES_PER_SESSION_MAX } from './probes.ts'
import { WantedSender } from './sender.ts'
import type { Locality } from './slice.ts'

export const HELLO_TIMEOUT_MS = 5_000
export const SESSION_SILENCE_MAX_MS = HEARTBEAT_PERIOD_MS * (HEARTBEAT_MISSED_MAX + 1)
/** What an agent may say between its hello and our answer; more is a violation. */
const EARLY_MESSAGES_MAX = 64
const EARLY_BYTES_MAX = 2 * HOST_MESSAGE_BYTES_MAX
/** More than what WantedSender puts into a channel, so that an honest agent that lags gets its answers. */
const UNREAD_BYTES_MAX = 2 * HOST_MESSAGE_BYTES_MAX

export interface ServerAbout {
  readonly name: string
  readonly region: string
  /** Host contract addresses of all servers of the region, 'address:port'. */
  readonly hostContractServers: readonly string[]
  /** Address of the image registry. */
  readonly registry: string
  /** With it hosts prove to each other that they are of this region: 32 bytes as hex. Null: they look for nobody. */
  readonly probeKey: string | null
}

export interface SessionDeps {
  readonly world: World
  readonly locality: Locality
  readonly presence: HostPresence
  readonly membership: HostMembership
  readonly events: HostEvents
  readonly server: ServerAbout
  readonly clock: Clock
  readonly log: Log
  /** Resolves when the host's previous session here has recorded its last report. */
  readonly previousIdle: (hostId: HostId) => Promise<void>
  /** From now on the session wants `touch` and `checkStanding`. */
  readonly onLive: (session: HostSession) => void
  readonly onEnd: (session: HostSession) => void
}

/**
 * One connection of one agent: hello → (recorded as connected) → welcome and snapshot → heartbeats, reports, changes.
 *
 *   greeting  waits for `hello`, HELLO_TIMEOUT_MS          any other message: violation
 *   arriving  is being recorded; messages wait, bounded    a second hello: violation
 *   live      serves                                        a second hello: violation
 *   ended     ignores everything
 */
export class HostSession {
  readonly id: string
  readonly hostId: HostId
  readonly #deps: SessionDeps
  readonly #channel: HostChannel
  readonly #identity: HostIdentity
  readonly #codec: HostCodec
  readonly #probes: PendingProbes
  readonly #sender: WantedSender
  readonly #found: FoundQueue
  readonly #log: Log
  readonly #helloTimer: Timer
  #state: 'greeting' | 'arriving' | 'live' | 'ended' = 'greeting'
  #early: AgentMessage[] = []
  #earlyBytes = 0
  #heardAtMs: number

  constructor(
    deps: SessionDeps,
    about: {
      id: string
      channel: HostChannel
      identity: HostIdentity
      contract: HostContract
    },
  ) {
    const { clock } = deps
    this.id = about.id
    // proof: the id was in a certificate that our CA issued to a host
    this.hostId = about.identity.hostId as HostId
    this.#deps = deps
    this.#channel = about.channel
    this.#identity = about.identity
    this.#codec = hostCodec(about.contract)
    this.#probes = new PendingProbes(clock)
    this.#log = deps.log.child({
      hostId: this.hostId,
      host: deps.world.host.get(this.hostId)?.name,
      sessionId: this.id,
    })
    this.#heardAtMs = clock.monotonicMs()
    this.#sender = new WantedSender({
      channel: about.channel,
      world: deps.world,
      locality: deps.locality,
      clock,
      hostId: this.hostId,
      contract: about.contract,
      onStalled: () => this.end(closeCodes.silent, 'the host takes nothing any more'),
    })
    this.#found = new FoundQueue({
      hostId: this.hostId,
      sessionId: this.id,
      world: deps.world,
      events: deps.events,
      clock,
      log: this.#log,
      goneAt: (ref) => this.#sender.goneAt(ref),
      after: () => deps.previousIdle(this.hostId),
      onClean: () => deps.presence.cleaned(this.hostId, this.id),
      onViolation: (reason) => this.#violation(reason),
      onDefect: (error) => this.#defect(error),
    })
    this.#helloTimer = clock.after(HELLO_TIMEOUT_MS, () =>
      this.#violation(`no hello within ${HELLO_TIMEOUT_MS} ms`),
    )
    about.channel.onMessage((text) => this.#onMessage(text))
    about.channel.onClose(() => this.#ended('the connection ended'))
  }

  /** Items of these keys may have changed. */
  touch(keys: Iterable<string>): void {
    if (this.#state === 'live') this.#sender.touch(keys)
  }

  /**
   * False if the session is not live, or its version of the contract has no word for the message; a message to a session
   * that ends just now is lost.
   */
  send(message: ServerMessage): boolean {
    if (this.#state !== 'live') return false
    const text = this.#codec.encodeServerMessage(message)
    if (text === undefined) return false
    this.#channel.send(text)
    return true
  }

  /**
   * Lets this host look for others on the underlay. Targets that are not in the results were not looked for. Undefined,
   * which says nothing about the targets: the session is of version 1, ends, has too many questions open, or did not
   * answer in time. Never rejects.
   */
  async probe(
    targets: readonly ProbeTarget[],
    timeoutMs: number,
  ): Promise<readonly ProbeResult[] | undefined> {
    if (this.#probes.size >= PROBES_PER_SESSION_MAX) return undefined
    return this.#probes.ask({
      targets,
      timeoutMs: timeoutMs + PROBE_EXTRA_MS,
      send: (id) => this.send({ type: 'probe', id, timeoutMs, targets: [...targets] }),
    })
  }

  /** Ends the session if the host was removed, has joined anew, or has a newer session (here or elsewhere). */
  checkStanding(): void {
    if (this.#state === 'ended') return
    const { world, membership } = this.#deps
    if (!membership.isAdmitted(this.#identity))
      this.end(closeCodes.revoked, 'the certificate was revoked')
    else if (this.#state === 'live') this.#checkCurrent(world.host.get(this.hostId)?.sessionId)
  }

  #checkCurrent(sessionId: string | null | undefined): void {
    if (sessionId === this.id) return
    if (typeof sessionId === 'string')
      this.end(closeCodes.replaced, 'another session of this host took over')
    // Its heartbeats did not reach the record; the next hello makes the host ready again.
    else this.end(closeCodes.silent, 'this host was recorded as unreachable')
  }

  checkSilence(): void {
    const silentMs = this.#deps.clock.monotonicMs() - this.#heardAtMs
    if (this.#state === 'live' && silentMs > SESSION_SILENCE_MAX_MS)
      this.end(closeCodes.silent, `nothing was heard for ${Math.round(silentMs)} ms`)
  }

  /**
   * Chain and dates were checked when the connection began, and a connection can last for years: without this a stolen
   * key would serve for as long as its thief stays connected. An agent renews at half-life and comes back at once.
   */
  checkExpiry(): void {
    const { expiresAtMs } = this.#identity
    if (expiresAtMs !== undefined && this.#deps.clock.nowMs() > expiresAtMs)
      this.end(closeCodes.refused, 'the certificate of this session has expired; connect anew')
  }

  /** Idempotent. */
  end(code: number, reason: string): void {
    if (this.#state === 'ended') return
    this.#channel.close(code, closeReason(reason))
    this.#ended(reason)
  }

  /** Resolves when no report of this session is being recorded. */
  idle(): Promise<void> {
    return this.#found.idle()
  }

  #ended(reason: string): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#helloTimer.cancel()
    this.#sender.stop()
    this.#found.stop()
    this.#probes.endAll()
    this.#early = []
    this.#log.info('a host session ended', { reason })
    this.#deps.onEnd(this)
  }

  #violation(reason: string): void {
    if (this.#state === 'ended') return
    this.#log.warn('a host broke the contract; its session is closed', {
      code: 'PROTOCOL_VIOLATION',
      reason,
    })
    this.end(closeCodes.violation, `PROTOCOL_VIOLATION: ${reason}`)
  }

  #defect(error: unknown): void {
    this.#log.error('a host session failed', { error })
    this.end(closeCodes.internal, 'a defect of the server')
  }

  #onMessage(text: string): void {
    if (this.#state === 'ended') return
    const message = parseMessage(text, this.#codec)
    if (typeof message === 'string') return this.#violation(message)
    this.#heardAtMs = this.#deps.clock.monotonicMs()
    switch (this.#state) {
      case 'greeting':
        if (message.type === 'hello') this.#greet(message)
        else this.#violation(`${message.type} came before hello`)
        return
      case 'arriving':
        this.#early.push(message)
        this.#earlyBytes += text.length
        if (this.#early.length > EARLY_MESSAGES_MAX || this.#earlyBytes > EARLY_BYTES_MAX)
          this.#violation('too much was said before the welcome')
        return
      case 'live':
        return this.#serve(message)
      default:
        return unreachable(this.#state)
    }
  }

  #greet(hello: Hello): void {
    this.#helloTimer.cancel()
    const problem = problemOfHello(hello, this.#identity, this.#codec.contract)
    if (problem !== undefined) return this.#violation(problem)
    this.#state = 'arriving'
    const { presence, server } = this.#deps
    presence.connected(this.hostId, hello, { serverName: server.name, sessionId: this.id }).then(
      () => this.#welcome(),
      (error: unknown) => {
        if (!isPlatformError(error)) return this.#defect(error)
        this.#log.warn('a host could not be admitted', { error })
        this.end(closeCodes.refused, `${error.code}: ${error.message}`)
      },
    )
  }

  #welcome(): void {
    // Closed, revoked or replaced while it was being recorded.
    if (this.#state !== 'arriving') return
    this.#state = 'live'
    this.checkStanding()
    if (this.#hasEnded()) return
    const { server } = this.#deps
    const { contract } = this.#codec
    this.#deps.onLive(this)
    this.send({
      type: 'welcome',
      contract,
      serverName: server.name,
      region: server.region,
      heartbeatPeriodMs: HEARTBEAT_PERIOD_MS,
      leaseMs: LEASE_MS,
      servers: [...server.hostContractServers],
      registry: server.registry,
      probeKey: server.probeKey,
    })
    this.#sender.start()
    this.#log.info('a host is connected', { contract })
    const early = this.#early
    this.#early = []
    for (const message of early) if (!this.#hasEnded()) this.#serve(message)
  }

  // A method, because the compiler does not see that calls in between change the state.
  #hasEnded(): boolean {
    return this.#state === 'ended'
  }

  #serve(message: AgentMessage): void {
    switch (message.type) {
      case 'hello':
        return this.#violation('a second hello')
      case 'heartbeat': {
        const { presence } = this.#deps
        presence.heard(this.hostId, this.id)
        // Answers are small, but an agent that asks and asks and reads nothing would have them pile up here.
        if (this.#channel.bufferedBytes > UNREAD_BYTES_MAX) return
        // Without an answer the host moves on to a server that can record that it lives.
        if (presence.mayGrantLease(this.hostId, this.id))
          this.send({
            type: 'heartbeat-answer',
            sequence: message.sequence,
            leaseMs: LEASE_MS,
          })
        return
      }
      case 'found':
        return this.#found.add(message)
      case 'probe-report':
        return this.#probes.answered(message.id, message.results)
      default:
        return unreachable(message)
    }
  }
}

/** The message, or what is wrong with it. */
function parseMessage(text: string, codec: HostCodec): AgentMessage | string {
  if (text.length > HOST_MESSAGE_BYTES_MAX) return 'a message is too large'
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return 'a message is not JSON'
  }
  const parsed = codec.parseAgentMessage(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  return `a message is malformed: ${issue?.path.map(String).join('.')} ${issue?.message}`.slice(
    0,
    300,
  )
}

function problemOfHello(
  hello: Hello,
  identity: HostIdentity,
  contract: HostContract,
): string | undefined {
  if (hello.hostId !== identity.hostId)
    return `the hello of host ${hello.hostId} came with the certificate of another`
  if (hello.vtepAddress !== null && parseIpv4(hello.vtepAddress) === undefined)
    return 'vtepAddress is not an IPv4 address'
  if (!hello.contracts.includes(contract))
    return `the agent speaks contracts ${hello.contracts.join(', ')}, and dialled ${contract}`
  return undefined
}
