import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '@nubo/base'
import { LINES_TYPE, REVISION_HEADER } from '@nubo/contracts'
import type { WholeList } from './encoded.ts'

/** Encoding holds everybody else up for about this long; then they have their turn. */
const SLICE_MS = 2
/** The clock is looked at so often. */
const SLICE_ITEMS = 32
/** A chunk is written at this length: large enough that writing costs nothing, small enough to wait in memory. */
const CHUNK_CHARACTERS = 131_072

/** Whether the text of an Accept header asks for lines, and does so before JSON. */
export function asksForLines(accept: string | undefined): boolean {
  if (accept === undefined || !accept.includes(LINES_TYPE)) return false
  const json = accept.indexOf('application/json')
  return json < 0 || accept.indexOf(LINES_TYPE) < json
}

export interface LinesDeps {
  readonly clock: Clock
  /** Aborts when the reader goes away. */
  readonly signal: AbortSignal
  /** A reader that takes nothing for this long is cut off. */
  readonly stalledReaderMs: number
  /** And one that has not taken all of it by then. */
  readonly totalMs: number
}

/**
 * Writes a list as lines of JSON, at the pace of the reader and never more than a slice of work at a time. A connection
 * that ends without the end of the body has not told everything: the reader sees a broken transfer.
 */
export async function writeLines(
  response: ServerResponse,
  list: WholeList<unknown>,
  deps: LinesDeps,
): Promise<void> {
  const late = new AbortController()
  const timer = deps.clock.after(deps.totalMs, () => late.abort())
  const signal = AbortSignal.any([deps.signal, late.signal])
  try {
    response.writeHead(200, {
      'content-type': `${LINES_TYPE}; charset=utf-8`,
      'cache-control': 'no-store',
      [REVISION_HEADER]: String(list.revision),
    })
    for (const chunk of chunksOf(list, deps.clock)) {
      signal.throwIfAborted()
      if (chunk !== '' && !response.write(chunk)) await drained(response, { ...deps, signal })
      // Also after a drain: a reader that keeps up is told so within the same turn, list after list.
      await nextTurn()
    }
    signal.throwIfAborted()
    response.end()
  } catch {
    response.destroy()
  } finally {
    timer.cancel()
    list.close()
  }
}

/** Lines in chunks; an empty one where a slice of work is over before a chunk is full. */
function* chunksOf(list: WholeList<unknown>, clock: Clock): Generator<string, undefined> {
  let chunk = ''
  let items = 0
  let startMs = clock.monotonicMs()
  for (const { text } of list.items) {
    chunk += `${text}\n`
    if (chunk.length >= CHUNK_CHARACTERS) {
      yield chunk
      chunk = ''
      startMs = clock.monotonicMs()
    } else if (++items % SLICE_ITEMS === 0 && clock.monotonicMs() - startMs >= SLICE_MS) {
      yield ''
      startMs = clock.monotonicMs()
    }
  }
  if (chunk !== '') yield chunk
}

/** Resolves once the reader has taken what was written; rejects if it stalls or the signal aborts. */
export async function drained(
  response: ServerResponse,
  deps: Pick<LinesDeps, 'clock' | 'signal' | 'stalledReaderMs'>,
): Promise<void> {
  const stalled = new AbortController()
  const timer = deps.clock.after(deps.stalledReaderMs, () => stalled.abort())
  await once(response, 'drain', {
    signal: AbortSignal.any([stalled.signal, deps.signal]),
  }).finally(() => timer.cancel())
}
