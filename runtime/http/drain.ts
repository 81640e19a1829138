import { sleep, type Clock } from '@nubo/base'
import type { FastifyInstance } from 'fastify'

/**
 * Ends connections such that callers rarely lose an answer: streams of events at once, as their readers resume elsewhere;
 * the others after their next answer, and those that are idle when the time is over. Returns what says that it has begun.
 */
export function drained(
  app: FastifyInstance,
  { clock, drainMs, lastAnswersMs }: { clock: Clock; drainMs: number; lastAnswersMs: number },
): AbortSignal {
  const closing = new AbortController()
  app.addHook('onSend', async (_request, reply) => {
    if (closing.signal.aborted) void reply.header('connection', 'close')
  })
  app.addHook('preClose', async () => {
    closing.abort(new Error('this server stops'))
    if (drainMs === 0 || !app.server.listening) return
    await sleep(clock, drainMs)
    const cut = clock.after(lastAnswersMs, () => app.server.closeAllConnections())
    app.server.once('close', () => cut.cancel())
  })
  return closing.signal
}
