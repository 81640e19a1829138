import { z } from 'zod'

export const foundReason = z.strictObject({ code: z.string().max(64), text: z.string().max(2_000) })
export type FoundReason = z.infer<typeof foundReason>

export const foundContainer = z.strictObject({
  name: z.string().max(63),
  state: z.enum(['waiting', 'starting', 'running', 'backoff', 'stopped']),
  restarts: z.int().min(0),
  exitCode: z.int().nullable(),
  health: z.enum(['none', 'starting', 'healthy', 'unhealthy']),
  reason: foundReason.nullable(),
  startedAtMs: z.int().nullable(),
})
export type FoundContainer = z.infer<typeof foundContainer>

/** What the host knows of one set. `absent` is said once, after everything of it is gone. */
export const foundSet = z.strictObject({
  id: z.uuid(),
  epoch: z.int().min(1),
  /** The wanted generation that this state answers to. */
  generation: z.int().min(0),
  state: z.enum([
    'pending',
    'pulling',
    'starting',
    'running',
    'degraded',
    'stopping',
    'stopped',
    'failed',
    'absent',
  ]),
  /** For a person: 'fetching image web, 12 of 40 MiB'. */
  progress: z.string().max(500),
  reason: foundReason.nullable(),
  containers: z.array(foundContainer).max(64),
})
export type FoundSet = z.infer<typeof foundSet>
