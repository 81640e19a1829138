import { setTimeout as sleepFor } from 'node:timers/promises'
import { DockerError, isDockerError } from './errors.ts'
import { Fields, parseJson } from './fields.ts'
import { encodeFilters, type Filters } from './filters.ts'
import { splitLines } from './lines.ts'
import { formatTime } from './logs.ts'
import type { StreamedAnswer, Transport } from './transport.ts'

export interface EngineEvent {
  readonly type: string
  readonly action: string
  /** Id of the container (image, network …) it is about. */
  readonly id: string
  /** Labels and facts of that object, all as text (`exitCode`, `name`, `nubo.set` …). */
  readonly attributes: Readonly<Record<string, string>>
  /** Milliseconds since 1970 with fraction. */
  readonly atMs: number
  /** Nanoseconds since 1970 as the engine wrote them, rounded to 2^-53 relative: to tell events apart, not to count. */
  readonly timeNano: number
}

export interface EventsRequest {
  readonly filters?: Filters
  /** Begin with what the engine still remembers since then (it keeps the last 256, and forgets them when it restarts). */
  readonly sinceMs?: number
  readonly untilMs?: number
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
}

/** One connection to `GET /events`. Ends when the engine ends it; a DockerError where it breaks. */
export async function* readEvents(
  transport: Transport,
  request: EventsRequest,
): AsyncGenerator<EngineEvent, void, undefined> {
  const answer = await openEvents(transport, request)
  for await (const line of splitLines(answer.body)) yield readEvent(line)
}

async function openEvents(transport: Transport, request: EventsRequest): Promise<StreamedAnswer> {
  return await transport.stream(
    {
      method: 'GET',
      path: '/events',
      query: {
        filters: encodeFilters(request.filters ?? {}),
        since: request.sinceMs === undefined ? undefined : formatTime(request.sinceMs),
        until: request.untilMs === undefined ? undefined : formatTime(request.untilMs),
      },
    },
    {
      ...(request.signal === undefined ? {} : { signal: request.signal }),
      ...(request.timeoutMs === undefined ? {} : { timeoutMs: request.timeoutMs }),
    },
  )
}

export interface FollowRequest {
  readonly filters?: Filters
  readonly signal: AbortSignal
  /** Waiting time before connecting again: doubles from the first to the last. */
  readonly retryMs?: { readonly first: number; readonly last: number }
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>
}

/**
 * `connected` comes first and after every new connection: events may have been missed (the engine's memory is
 * short and dies with it), so whoever keeps a picture reads it afresh then. `lost` tells why a connection ended.
 */
export type FollowedEvent =
  | { readonly kind: 'connected' }
  | { readonly kind: 'event'; readonly event: EngineEvent }
  | { readonly kind: 'lost'; readonly error: DockerError }

/**
 * Events for as long as the signal is quiet: connects again after each loss, from the last event seen on,
 * and leaves out what was delivered before. Ends without an error when the signal fires.
 */
export async function* followEvents(
  transport: Transport,
  request: FollowRequest,
): AsyncGenerator<FollowedEvent, void, undefined> {
  const retryMs = request.retryMs ?? { first: 50, last: 2_000 }
  const sleep = request.sleep ?? defaultSleep
  const resume = new ResumePoint()
  let waitMs = retryMs.first
  while (!request.signal.aborted) {
    let error = new DockerError('unreachable', 'events: the engine ended the stream')
    try {
      const answer = await openEvents(transport, {
        filters: request.filters ?? {},
        signal: request.signal,
        ...(resume.sinceMs === null ? {} : { sinceMs: resume.sinceMs }),
      })
      try {
        waitMs = retryMs.first
        yield { kind: 'connected' }
        for await (const line of splitLines(answer.body)) {
          const event = readEvent(line)
          if (resume.isNew(event)) yield { kind: 'event', event }
        }
      } finally {
        // The caller may leave before anything was read.
        answer.close()
      }
    } catch (cause) {
      if (request.signal.aborted) return
      if (!isDockerError(cause)) throw cause
      error = cause
    }
    if (request.signal.aborted) return
    yield { kind: 'lost', error }
    await sleep(waitMs, request.signal)
    waitMs = Math.min(waitMs * 2, retryMs.last)
  }
}

async function defaultSleep(ms: number, signal: AbortSignal): Promise<void> {
  // An abort only cuts the wait short; the caller looks at the signal itself.
  await sleepFor(ms, undefined, { signal }).catch(() => {})
}

/** Where to go on after a loss, and which events at that very time were seen. */
class ResumePoint {
  /** 2 µs: a double holds today's nanoseconds to 256 ns, so ask a little earlier and leave out what was seen. */
  static readonly #overlapMs = 0.002
  readonly #seenMax = 512
  #seen: string[] = []
  #lastMs: number | null = null

  get sinceMs(): number | null {
    return this.#lastMs === null ? null : this.#lastMs - ResumePoint.#overlapMs
  }

  isNew(event: EngineEvent): boolean {
    const key = `${event.timeNano} ${event.id} ${event.action}`
    if (this.#seen.includes(key)) return false
    this.#lastMs = Math.max(this.#lastMs ?? 0, event.atMs)
    this.#seen.push(key)
    // Only those near the resume point can come twice; the engine remembers 256.
    if (this.#seen.length > this.#seenMax) this.#seen = this.#seen.slice(-this.#seenMax / 2)
    return true
  }
}

function readEvent(line: string): EngineEvent {
  const fields = new Fields(parseJson(line, 'event'), 'event')
  const actor = fields.object('Actor')
  const timeNano = fields.number('timeNano')
  return {
    type: fields.string('Type'),
    action: fields.string('Action'),
    id: actor.string('ID'),
    attributes: actor.stringMap('Attributes'),
    atMs: timeNano / 1e6,
    timeNano,
  }
}
