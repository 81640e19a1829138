import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { every, type Clock } from '@nubo/base'

/** Comments keep proxies and readers from giving up on a quiet stream. */
const KEEP_ALIVE_PERIOD_MS = 15_000

/**
 * The same stream after its first event has come, so that a refusal which stands at its beginning is still an error
 * reply. Throws what the stream throws before its first event.
 */
export async function begun(events: AsyncIterable<unknown>): Promise<AsyncIterable<unknown>> {
  const iterator = events[Symbol.asyncIterator]()
  const first = await iterator.next()
  return (async function* () {
    try {
      for (let next = first; next.done !== true; next = await iterator.next()) yield next.value
    } finally {
      await iterator.return?.()
    }
  })()
}

/**
 * Writes server-sent events (WHATWG HTML, section 9.2), one JSON object each, at the pace of the reader. One that takes
 * nothing for `stalledReaderMs` is cut off: resuming from its revision is cheaper than buffering.
 */
export async function writeEvents(
  response: ServerResponse,
  events: AsyncIterable<unknown>,
  deps: { clock: Clock; signal: AbortSignal; stalledReaderMs: number },
): Promise<void> {
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    connection: 'keep-alive',
  })
  response.flushHeaders()
  const keepAlive = every(
    deps.clock,
    KEEP_ALIVE_PERIOD_MS,
    () => void response.write(': alive\n\n'),
  )
  try {
    for await (const event of events) {
      if (deps.signal.aborted) break
      if (!response.write(`data: ${JSON.stringify(event)}\n\n`)) {
        const stalled = new AbortController()
        const timer = deps.clock.after(deps.stalledReaderMs, () => stalled.abort())
        await once(response, 'drain', {
          signal: AbortSignal.any([stalled.signal, deps.signal]),
        }).finally(() => timer.cancel())
      }
    }
    response.end()
  } catch {
    response.destroy()
  } finally {
    keepAlive.cancel()
  }
}
