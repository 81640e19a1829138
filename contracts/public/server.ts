import { z } from 'zod'
import { timeMs } from './common.ts'
import { defineRoute } from './route.ts'

/** How late the process came to its work, sampled every few milliseconds, over a window of time. */
export const loopDelay = z
  .object({ windowMs: z.int(), p50Ms: z.number(), p99Ms: z.number(), maxMs: z.number() })
  .meta({ id: 'LoopDelay' })

/** One server process as it is now. */
export const serverStatus = z
  .object({
    name: z.string(),
    region: z.string(),
    version: z.string(),
    atMs: timeMs,
    uptimeMs: z.int(),
    /** What it knows of the record. */
    revision: z.int(),
    /** Whether it does what only one server of the region does. */
    isLeading: z.boolean(),
    hostsConnected: z.int(),
    memory: z.object({ residentBytes: z.int(), heapUsedBytes: z.int() }),
    eventLoop: z.object({
      /** Of the present window, which is a minute at most. */
      now: loopDelay,
      /** Of the window before it. */
      before: loopDelay.nullable(),
    }),
  })
  .meta({ id: 'ServerStatus' })
export type ServerStatus = z.infer<typeof serverStatus>

export const serverRoutes = {
  serverShow: defineRoute({
    method: 'GET',
    path: '/v1/server',
    summary: 'Shows how the very server that answers is doing.',
    access: 'operator',
    reply: serverStatus,
    status: 200,
  }),
}
