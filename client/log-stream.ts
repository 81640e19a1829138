import { sleep, withJitter, type Clock, type Random } from '@nubo/base'
import { STREAM_CREDIT_BYTES, type LogPosition, type StreamTicket } from '@nubo/contracts'
import {
  ApiError,
  isApiError,
  isPassing,
  OutcomeUnknownError,
  StreamError,
  UnreachableError,
} from './errors.ts'
import type { StreamConnection } from './stream-connection.ts'
import type { StreamChunk } from './stream-frames.ts'

/** How long a followed log is tried to be continued after its connection was lost. */
const OUTAGE_MAX_MS = 120_000
/** And how often one that has an end. */
const TRIES_MAX = 3
const PAUSE_MIN_MS = 250
const PAUSE_MAX_MS = 4_000
const PAUSE_FACTOR = 4
/** More than LOG_POSITION_BYTES, and well below the credit, so that a host can always send on. */
const KEPT_BYTES_MAX = STREAM_CREDIT_BYTES / 2

export type LogOutput =
  | { readonly type: 'output'; readonly chunk: StreamChunk }
  /** The connection was lost for so long; the output goes on where it was. */
  | { readonly type: 'continued'; readonly outageMs: number }
  /** What this container printed while nobody read it may be gone in part. */
  | { readonly type: 'lost'; readonly container: string }

export interface LogStreamDeps {
  readonly clock: Clock
  readonly random: Random
  /** Asks a server for a stream from there on; undefined at first. */
  readonly ask: (after: LogPosition | undefined) => Promise<StreamTicket>
  readonly connect: (ticket: StreamTicket) => Promise<StreamConnection>
  /** Another server shall be asked next; undefined: than the one asked last. */
  readonly avoid: (ticket: StreamTicket | undefined) => void
}

/**
 * Reads a log over as many connections as it takes: every entry once and in order, although servers stop or die in
 * between. That needs a host that gives positions; with an older one the first break is the end.
 *
 * What no position covers yet is kept back, and dropped when the connection breaks, because it comes again. Throws what
 * the first connection met before the host answered, what asking again cannot mend, and StreamError when the log could
 * not be continued within two minutes (followed) or in three tries.
 */
export async function* readLog(
  deps: LogStreamDeps,
  options: { follow: boolean; signal?: AbortSignal | undefined },
): AsyncGenerator<LogOutput, void, void> {
  const { signal } = options
  const reading = new Reading(deps.clock)
  for (let tries = 0, pauseMs = PAUSE_MIN_MS; ;) {
    try {
      for await (const told of oneConnection(deps, reading)) {
        if (told.type === 'continued') [tries, pauseMs] = [0, PAUSE_MIN_MS]
        yield told
      }
      return
    } catch (error) {
      signal?.throwIfAborted()
      if (reading.after === undefined || !isWorthAnotherTry(error)) {
        for (const chunk of reading.taken()) yield { type: 'output', chunk }
        throw error
      }
      reading.broke()
      if (options.follow ? reading.outageMs > OUTAGE_MAX_MS : tries >= TRIES_MAX)
        throw lastingFailure(error)
    }
    tries++
    await sleep(deps.clock, withJitter(deps.random, pauseMs), signal)
    pauseMs = Math.min(pauseMs * PAUSE_FACTOR, PAUSE_MAX_MS)
  }
}

/** What is known of a log over all its connections. */
class Reading {
  /** Undefined until a host has given positions. */
  after: LogPosition | undefined
  #kept: StreamChunk[] = []
  #keptBytes = 0
  #brokeAtMs: number | undefined
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Since the connection was lost; 0 while it lasts. */
  get outageMs(): number {
    return this.#brokeAtMs === undefined ? 0 : this.#clock.monotonicMs() - this.#brokeAtMs
  }

  broke(): void {
    this.#brokeAtMs ??= this.#clock.monotonicMs()
    this.taken()
  }

  /** Undefined if it lasted until now. */
  continued(): { outageMs: number } | undefined {
    if (this.#brokeAtMs === undefined) return undefined
    const { outageMs } = this
    this.#brokeAtMs = undefined
    return { outageMs }
  }

  /** True if it can be kept no longer. */
  keep(chunk: StreamChunk): boolean {
    this.#kept.push(chunk)
    this.#keptBytes += chunk.bytes.byteLength
    // Without positions nothing can be continued, so there is nothing to wait for.
    return this.after === undefined || this.#keptBytes > KEPT_BYTES_MAX
  }

  taken(): StreamChunk[] {
    this.#keptBytes = 0
    return this.#kept.splice(0)
  }
}

async function* oneConnection(
  deps: LogStreamDeps,
  reading: Reading,
): AsyncGenerator<LogOutput, void, void> {
  let ticket: StreamTicket | undefined
  let stream: StreamConnection | undefined
  try {
    ticket = await deps.ask(reading.after)
    stream = await deps.connect(ticket)
    for await (const item of stream.items) {
      if (item.type === 'lost') yield item
      if (item.type === 'position') {
        reading.after = { ...reading.after, ...item.containers }
        const continued = reading.continued()
        if (continued !== undefined) yield { type: 'continued', ...continued }
      }
      if (item.type === 'position' || (item.type === 'output' && reading.keep(item.chunk)))
        for (const chunk of reading.taken()) yield { type: 'output', chunk }
    }
    const { error } = await stream.ended
    if (error !== null) throw new ApiError({ ...error, details: {}, requestId: '', status: 0 })
    for (const chunk of reading.taken()) yield { type: 'output', chunk }
  } catch (error) {
    deps.avoid(ticket)
    throw error
  } finally {
    stream?.close()
  }
}

/** Codes with which a host or a server ends a log, or refuses to continue it, and that may pass. */
const passingCodes: ReadonlySet<string> = new Set([
  'HOST_UNREACHABLE',
  'ENGINE_UNAVAILABLE',
  // The set is being placed or made anew. When it was removed, the question for a stream is refused, not the stream.
  'NOT_ALLOWED_NOW',
  'DEADLINE_EXCEEDED',
])

function isWorthAnotherTry(error: unknown): boolean {
  if (error instanceof ApiError) {
    const ofStream = error.status === 0
    return (
      isPassing(error) ||
      passingCodes.has(error.code) ||
      (ofStream && error.code === 'NOT_FOUND') ||
      // A server of an older release among newer ones; the next one may know how.
      (!ofStream && refusesPositions(error))
    )
  }
  return (
    error instanceof StreamError ||
    error instanceof UnreachableError ||
    error instanceof OutcomeUnknownError
  )
}

/** A server that is older than positions refuses the fields that it does not know. */
export function refusesPositions(error: unknown): boolean {
  return (
    isApiError(error, 'INVALID_INPUT') &&
    /"(positions|after)"/.test(`${error.message} ${JSON.stringify(error.details['issues'])}`)
  )
}

function lastingFailure(cause: unknown): StreamError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new StreamError(
    `The connection to the server was lost, and the log could not be continued: ${why}`,
    cause,
  )
}
