import type { ServerResponse } from 'node:http'
import { every, type Clock } from '@nubo/base'
import type { Encoded } from './encoded.ts'
import { drained } from './lines.ts'

/** Comments keep proxies and readers from giving up on a quiet stream. */
const KEEP_ALIVE_PERIOD_MS = 15_000

/** Events that come together are written together. */
export type EventBatch = readonly Encoded<unknown>[]

/**
 * The same stream after its first batch has come, so that a refusal which stands at its beginning is still an error
 * reply. Throws what the stream throws before its first batch.
 */
export async function begun(
  batches: AsyncIterable<EventBatch>,
): Promise<AsyncIterable<EventBatch>> {
  const iterator = batches[Symbol.asyncIterator]()
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
  batches: AsyncIterable<EventBatch>,
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
    for await (const batch of batches) {
      if (deps.signal.aborted) break
      if (batch.length === 0) continue
      const text = batch.map((event) => `data: ${event.text}\n\n`).join('')
      if (!response.write(text)) await drained(response, deps)
    }
    response.end()
  } catch {
    response.destroy()
  } finally {
    keepAlive.cancel()
  }
}
