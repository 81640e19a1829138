import {
  every,
  PlatformError,
  type Clock,
  type ErrorCode,
  type HostId,
  type Random,
  type Timer,
} from '@nubo/base'
import type { StreamControl, StreamTicket } from '@nubo/contracts'
import { hostCodec, type HostContract, type StreamRequest } from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime'
import type { World } from '../world/index.ts'
import { closeCodes, closeReason } from './close-codes.ts'
import type { StreamSocket } from './needs.ts'
import { judgeFrame, Relay, type Side } from './relay.ts'

/** More are refused; an open stream costs two sockets and up to a few buffers of 512 KiB. */
export const STREAMS_PER_SERVER_MAX = 512
export const STREAMS_PER_SET_MAX = 32
/** From the reply to the client's connection. */
export const TICKET_VALIDITY_MS = 30_000
/** From the client's connection to the host's. */
export const HOST_DIAL_TIMEOUT_MS = 10_000
/** Callers whose token ran out are found so often; revoked ones at once. */
const PERMISSION_PERIOD_MS = 5_000
const TOKEN_BYTES = 32

export const STREAM_PATH = '/v1/streams/'

export interface StreamAsked {
  /** Who asks, for the audit line. */
  readonly tokenId: string
  readonly hostId: HostId
  readonly request: StreamRequest
  /** Asked again and again while the stream is open. */
  readonly isStillAllowed: () => boolean
}

export interface StreamBrokerDeps {
  readonly world: World
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Makes the host dial this server with the token; whether it comes is seen by the deadline. */
  readonly askHost: (hostId: HostId, token: string) => Promise<void>
}

interface Stream {
  readonly asked: StreamAsked
  readonly clientToken: string
  readonly hostToken: string
  stage: 'ticket' | 'dialling' | 'open' | 'ended'
  client: { socket: StreamSocket; relay: Relay } | undefined
  host: { socket: StreamSocket; relay: Relay } | undefined
  /** Which join of the host its certificate was from when it connected. */
  hostLine: string | null | undefined
  deadline: Timer
  openedAtMs: number
}

/**
 * Brings a client and a host together for one exec or logs stream. Both dial in with tokens of their own that work
 * once: the client at the public API, the host at the host contract. Frames pass both ways, checked and bounded; credit
 * passes like everything else, so the host's output is paced by the client.
 *
 *   ticket    the client has TICKET_VALIDITY_MS to connect
 *   dialling  the host has HOST_DIAL_TIMEOUT_MS to connect
 *   open      until a side closes, the host says `end`, or the caller or the host may no longer
 *   ended
 */
export class StreamBroker {
  readonly #deps: StreamBrokerDeps
  readonly #all = new Set<Stream>()
  readonly #byClientToken = new Map<string, Stream>()
  readonly #byHostToken = new Map<string, Stream>()
  #permission: Timer | undefined
  #unsubscribe: (() => void) | undefined

  constructor(deps: StreamBrokerDeps) {
    this.#deps = deps
  }

  start(): void {
    this.#permission = every(this.#deps.clock, PERMISSION_PERIOD_MS, () => this.#checkPermissions())
    this.#unsubscribe = this.#deps.world.subscribe(({ changes }) => {
      if (this.#all.size === 0) return
      if (changes.some((change) => change.kind === 'token' || change.kind === 'member'))
        this.#checkPermissions()
      if (changes.some((change) => change.kind === 'host')) this.#checkHosts()
    })
  }

  stop(): void {
    this.#permission?.cancel()
    this.#unsubscribe?.()
    for (const stream of this.#all)
      this.#finish(stream, failure('HOST_UNREACHABLE', 'The server stops; connect again.'))
  }

  get size(): number {
    return this.#all.size
  }

  /** Errors: HOST_UNREACHABLE, TOO_MANY_REQUESTS. */
  open(asked: StreamAsked): StreamTicket {
    const { world, clock } = this.#deps
    const host = world.host.get(asked.hostId)
    if (host === undefined || host.state !== 'ready') {
      throw new PlatformError('HOST_UNREACHABLE', { host: host?.name, next: 'try again later' })
    }
    this.#requireRoom(asked.request.setId)
    const stream: Stream = {
      asked,
      clientToken: this.#newToken(),
      hostToken: this.#newToken(),
      stage: 'ticket',
      client: undefined,
      host: undefined,
      hostLine: undefined,
      deadline: clock.after(TICKET_VALIDITY_MS, () => this.#finish(stream, undefined)),
      openedAtMs: clock.monotonicMs(),
    }
    this.#all.add(stream)
    this.#byClientToken.set(stream.clientToken, stream)
    return {
      path: STREAM_PATH + stream.clientToken,
      expiresAtMs: clock.nowMs() + TICKET_VALIDITY_MS,
    }
  }

  /** Uses up a client's token. Undefined if it is unknown, used or too old; else call it with the connection. */
  claimForClient(token: string): ((socket: StreamSocket) => void) | undefined {
    const stream = this.#byClientToken.get(token)
    if (stream === undefined) return undefined
    this.#byClientToken.delete(token)
    return (socket) => this.#attachClient(stream, socket)
  }

  /**
   * The same for the host that the stream is with; a token tried by another host stays good for the right one.
   * `contract`: the version in which the host wants to be asked.
   */
  claimForHost(
    token: string,
    hostId: string,
    contract: HostContract,
  ): ((socket: StreamSocket) => void) | undefined {
    const stream = this.#byHostToken.get(token)
    if (stream === undefined || stream.asked.hostId !== hostId) return undefined
    this.#byHostToken.delete(token)
    return (socket) => this.#attachHost(stream, socket, contract)
  }

  #requireRoom(setId: string): void {
    let ofSet = 0
    for (const stream of this.#all) if (stream.asked.request.setId === setId) ofSet++
    const refuse = (limit: string): PlatformError =>
      new PlatformError('TOO_MANY_REQUESTS', { limit, next: 'end other streams first' })
    if (ofSet >= STREAMS_PER_SET_MAX) throw refuse(`${STREAMS_PER_SET_MAX} streams of one set`)
    if (this.#all.size >= STREAMS_PER_SERVER_MAX)
      throw refuse(`${STREAMS_PER_SERVER_MAX} streams of one server`)
  }

  #newToken(): string {
    return Buffer.from(this.#deps.random.bytes(TOKEN_BYTES)).toString('base64url')
  }

  #attachClient(stream: Stream, socket: StreamSocket): void {
    if (stream.stage !== 'ticket') return socket.close(closeCodes.done, 'too late')
    stream.stage = 'dialling'
    stream.client = { socket, relay: new Relay(socket) }
    this.#follow(stream, 'client', stream.client)
    stream.deadline.cancel()
    const { clock, askHost, log } = this.#deps
    stream.deadline = clock.after(HOST_DIAL_TIMEOUT_MS, () =>
      this.#finish(
        stream,
        failure('HOST_UNREACHABLE', 'The host did not open the stream in time.'),
      ),
    )
    this.#byHostToken.set(stream.hostToken, stream)
    askHost(stream.asked.hostId, stream.hostToken).catch((error: unknown) => {
      log.warn('a host could not be asked for a stream', { error })
      this.#finish(stream, failure('HOST_UNREACHABLE', 'The host could not be asked.'))
    })
  }

  #attachHost(stream: Stream, socket: StreamSocket, contract: HostContract): void {
    const { client } = stream
    if (stream.stage !== 'dialling' || client === undefined)
      return socket.close(closeCodes.done, 'the client is gone')
    stream.stage = 'open'
    stream.deadline.cancel()
    stream.host = { socket, relay: new Relay(socket) }
    stream.hostLine = this.#lineOf(stream)
    socket.send(hostCodec(contract).encodeStreamRequest(stream.asked.request), () => undefined)
    this.#follow(stream, 'host', stream.host)
    client.relay.connect(socket)
    stream.host.relay.connect(client.socket)
    this.#audit(stream, 'a stream was opened')
  }

  #follow(stream: Stream, side: Side, { socket, relay }: { socket: StreamSocket; relay: Relay }) {
    socket.onFrame((frame) => {
      if (stream.stage === 'ended') return
      const { problem, isEnd } = judgeFrame(side, frame)
      if (problem !== undefined || relay.isOverfull)
        return this.#violation(stream, side, problem ?? 'it does not stop when asked')
      relay.pass(frame)
      if (isEnd) this.#finish(stream, undefined)
    })
    socket.onClose(() =>
      this.#finish(
        stream,
        side === 'host'
          ? failure('HOST_UNREACHABLE', 'The host closed the stream before its end.')
          : undefined,
      ),
    )
  }

  #violation(stream: Stream, side: Side, problem: string): void {
    this.#deps.log.warn('a stream broke the contract; it is closed', {
      code: 'PROTOCOL_VIOLATION',
      side,
      problem,
      hostId: stream.asked.hostId,
    })
    const end = failure('PROTOCOL_VIOLATION', `The ${side} sent what is not allowed.`)
    this.#finish(stream, end, { side, reason: closeReason(`PROTOCOL_VIOLATION: ${problem}`) })
  }

  #checkPermissions(): void {
    for (const stream of this.#all) {
      if (!this.#isStillAllowed(stream))
        this.#finish(
          stream,
          failure(
            'UNAUTHENTICATED',
            'The token was revoked or ran out, or its account may no longer.',
          ),
        )
    }
  }

  /** A host that was removed or has joined anew: whoever holds its end came with a certificate that is revoked now. */
  #checkHosts(): void {
    for (const stream of this.#all) {
      if (stream.stage === 'open' && stream.hostLine !== this.#lineOf(stream))
        this.#finish(stream, failure('HOST_UNREACHABLE', 'The host was removed or joined anew.'))
    }
  }

  #lineOf({ asked }: Stream): string | null | undefined {
    return this.#deps.world.host.get(asked.hostId)?.certificateSerial
  }

  #isStillAllowed({ asked }: Stream): boolean {
    try {
      return asked.isStillAllowed()
    } catch (error) {
      this.#deps.log.error('the permission of a stream could not be checked', { error })
      return false
    }
  }

  /** Idempotent. `end` is told to the client; undefined if the host has told its own, or there is nobody to tell. */
  #finish(
    stream: Stream,
    end: StreamControl | undefined,
    offence?: { side: Side; reason: string },
  ): void {
    if (stream.stage === 'ended') return
    const wasOpen = stream.stage === 'open'
    stream.stage = 'ended'
    stream.deadline.cancel()
    this.#all.delete(stream)
    this.#byClientToken.delete(stream.clientToken)
    this.#byHostToken.delete(stream.hostToken)
    if (end !== undefined) stream.client?.socket.send(JSON.stringify(end), () => undefined)
    if (offence !== undefined)
      stream[offence.side]?.socket.close(closeCodes.violation, offence.reason)
    stream.client?.socket.close(closeCodes.done, '')
    stream.host?.socket.close(closeCodes.done, '')
    if (wasOpen) this.#audit(stream, 'a stream ended')
  }

  /** Who did what; of a command only the program, since arguments may hold secrets. */
  #audit(stream: Stream, event: string): void {
    const { asked } = stream
    const { world, clock, log } = this.#deps
    const set = world.set.get(asked.request.setId)
    log.info(event, {
      audit: asked.request.type,
      tokenId: asked.tokenId,
      tokenName: world.token.get(asked.tokenId)?.name,
      projectId: set?.projectId,
      set: set?.name,
      setId: asked.request.setId,
      container: asked.request.container,
      ...(asked.request.type === 'exec'
        ? { program: asked.request.command[0]?.slice(0, 200), tty: asked.request.tty }
        : { follow: asked.request.follow }),
      hostId: asked.hostId,
      afterMs: Math.round(clock.monotonicMs() - stream.openedAtMs),
    })
  }
}

function failure(code: ErrorCode, message: string): StreamControl {
  return { type: 'end', exitCode: null, error: { code, message } }
}
