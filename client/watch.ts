import { sleep, withJitter, type Random } from '@nubo/base'
import { api, type WatchEvent, type WatchKind } from '@nubo/contracts'
import type { Deadline } from './deadline.ts'
import {
  ApiError,
  ContractError,
  isApiError,
  isPassing,
  parseErrorReply,
  UnreachableError,
} from './errors.ts'
import { SseParser } from './sse.ts'
import { exchange, requestPath, type Transport } from './transport.ts'

// Servers send a comment well within this; a longer silence means that the connection is dead without a word.
const SILENCE_MAX_MS = 60_000
const RECONNECT_MIN_MS = 100
const RECONNECT_MAX_MS = 5_000
export const OUTAGE_MAX_MS = 60_000

export interface WatchQuery {
  readonly project?: string | undefined
  /** Only these kinds; all when absent. */
  readonly kind?: WatchKind | readonly WatchKind[] | undefined
  /** Only this object, by id or name. */
  readonly id?: string | undefined
  /** Go on after this revision instead of beginning with the present objects. */
  readonly from?: number | undefined
}

export interface WatchOptions {
  readonly signal?: AbortSignal | undefined
  /** How long all servers may be away before the watch fails; default 60 s. */
  readonly outageMaxMs?: number | undefined
}

/**
 * Everything that happens to the objects asked for, in order, across lost connections and servers.
 *
 * Where the feed no longer reaches back to the last revision seen, the watch begins anew: present objects come once
 * more as `change`, and what went away meanwhile comes as `removed` right before `synced`. A consumer that applies
 * events by id therefore always ends up with the truth. (Objects that the caller knew before it gave `from` cannot be
 * reported this way.)
 *
 * Ends only by leaving the loop, by the signal (its reason is thrown), by a refusal (ApiError), or by
 * UnreachableError when no server has answered for `outageMaxMs`.
 */
export async function* watchEvents(
  transport: Transport & { random: Random },
  query: WatchQuery,
  options: WatchOptions,
): AsyncGenerator<WatchEvent, void, void> {
  const known = new KnownObjects()
  const position = new Position()
  let from = query.from
  let lostSinceMs: number | undefined
  let pauseMs = RECONNECT_MIN_MS
  for (;;) {
    let failure: unknown
    try {
      if (from === undefined) known.beginAnew()
      position.connected(from)
      for await (const event of oneConnection(transport, { ...query, from }, options.signal)) {
        lostSinceMs = undefined
        pauseMs = RECONNECT_MIN_MS
        for (const told of known.apply(event)) yield told
        from = position.after(event)
      }
    } catch (error) {
      options.signal?.throwIfAborted()
      if (isApiError(error, 'RESYNC')) {
        from = undefined
        continue
      }
      if (!isWorthAnotherTry(error)) throw error
      failure = error
    }
    const nowMs = transport.clock.monotonicMs()
    lostSinceMs ??= nowMs
    if (nowMs - lostSinceMs > (options.outageMaxMs ?? OUTAGE_MAX_MS)) {
      throw lastingFailure(failure, transport.servers.current)
    }
    await sleep(transport.clock, withJitter(transport.random, pauseMs), options.signal)
    pauseMs = Math.min(pauseMs * 2, RECONNECT_MAX_MS)
  }
}

function isWorthAnotherTry(error: unknown): boolean {
  if (error instanceof ApiError) return isPassing(error)
  return error instanceof UnreachableError || error instanceof ConnectionLost
}

class ConnectionLost extends Error {}

function lastingFailure(failure: unknown, server: string): unknown {
  if (failure instanceof ApiError || failure instanceof UnreachableError) return failure
  return new UnreachableError([{ server, text: 'the watch keeps breaking' }], failure)
}

/** The events of one connection; ends when the server closes it, throws ConnectionLost when it breaks. */
async function* oneConnection(
  transport: Transport,
  query: WatchQuery,
  signal: AbortSignal | undefined,
): AsyncGenerator<WatchEvent, void, void> {
  const path = requestPath('watch', { query })
  const { server, result } = await exchange(transport, {
    name: 'watch',
    path,
    accept: 'text/event-stream',
    signal,
    read: async (response, deadline) => ({ response, deadline }),
  })
  try {
    yield* eventsOf(result.response, result.deadline)
  } catch (error) {
    if (error instanceof ApiError || error instanceof ContractError) throw error
    transport.servers.avoid(server)
    throw new ConnectionLost('the connection of a watch broke', { cause: error })
  } finally {
    result.deadline.cancel()
  }
}

async function* eventsOf(
  response: Response,
  deadline: Deadline,
): AsyncGenerator<WatchEvent, void, void> {
  if (response.body === null) return
  const parser = new SseParser()
  const decoder = new TextDecoder()
  deadline.extend(SILENCE_MAX_MS)
  for await (const chunk of response.body) {
    for (const { event, data } of parser.push(decoder.decode(chunk, { stream: true }))) {
      // The consumer may take its time; only the server's silence counts.
      deadline.pause()
      yield parseEvent(event, data)
    }
    deadline.extend(SILENCE_MAX_MS)
  }
}

/** Throws the ApiError that an `error` event carries, and ContractError for anything else that is not an event. */
export function parseEvent(event: string, data: string): WatchEvent {
  let body: unknown
  try {
    body = JSON.parse(data)
  } catch (cause) {
    throw new ContractError('an event of the watch is not JSON', cause)
  }
  if (event === 'error') {
    const refused = parseErrorReply(body, 0)
    if (refused !== undefined) throw refused
  }
  const parsed = api.watch.reply.safeParse(body)
  if (parsed.success) return parsed.data
  throw new ContractError('an event of the watch does not follow the contract', parsed.error)
}

/**
 * From which revision a broken connection is resumed: the last one of which all events were seen. One revision may have
 * several events, so it is known to be complete when the next one begins. Until `synced`, a listing or a replay is
 * under way whose events have revisions in no order; if it breaks, it is done again.
 */
class Position {
  #complete: number | undefined
  #begun: number | undefined

  connected(from: number | undefined): void {
    this.#complete = from
    this.#begun = undefined
  }

  after(event: WatchEvent): number | undefined {
    if (event.type === 'synced') {
      this.#complete = event.revision
      this.#begun = event.revision
    } else if (this.#begun !== undefined && event.revision > this.#begun) {
      this.#complete = this.#begun
      this.#begun = event.revision
    }
    return this.#complete
  }
}

/** Which objects the consumer has been told of, so that a new beginning can also tell what is gone. */
class KnownObjects {
  readonly #told = new Map<string, WatchEvent['kind']>()
  #seenAnew: Set<string> | undefined

  beginAnew(): void {
    this.#seenAnew = new Set()
  }

  /** The event, preceded by what it implies. */
  apply(event: WatchEvent): WatchEvent[] {
    switch (event.type) {
      case 'change':
        if (event.id !== null) {
          this.#told.set(event.id, event.kind)
          this.#seenAnew?.add(event.id)
        }
        return [event]
      case 'removed':
        if (event.id !== null) this.#told.delete(event.id)
        return [event]
      case 'synced': {
        const gone = this.#goneSince(event.revision)
        this.#seenAnew = undefined
        return [...gone, event]
      }
      default:
        return [event]
    }
  }

  #goneSince(revision: number): WatchEvent[] {
    const seen = this.#seenAnew
    if (seen === undefined) return []
    const gone: WatchEvent[] = []
    for (const [id, kind] of this.#told) {
      if (seen.has(id)) continue
      this.#told.delete(id)
      gone.push({ type: 'removed', revision, kind, id, object: null })
    }
    return gone
  }
}
