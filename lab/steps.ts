/** What a long piece of work tells while it goes on. */
import { explain, isPlatformError } from '@nubo/base'
import { isApiError } from '@nubo/client'
import { z } from 'zod'

const step = z.discriminatedUnion('at', [
  z.object({ at: z.literal('started'), step: z.string() }),
  z.object({ at: z.literal('done'), step: z.string(), ms: z.number() }),
  z.object({ at: z.literal('failed'), step: z.string(), ms: z.number(), reason: z.string() }),
  /** A remark that belongs to no step. */
  z.object({ at: z.literal('note'), text: z.string() }),
])
export type Step = z.infer<typeof step>

export const failure = z.object({
  code: z.string(),
  message: z.string(),
  details: z.record(z.string(), z.unknown()),
})
export type Failure = z.infer<typeof failure>

/** One line of the supervisor's answer to long work. */
export const progressLine = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('step'), step }),
  z.object({ kind: z.literal('end'), failure: failure.nullable() }),
])
export type ProgressLine = z.infer<typeof progressLine>

export type Tell = (step: Step) => void

/** Does a step and tells its beginning and its end. */
export async function doStep<Result>(
  tell: Tell,
  name: string,
  work: () => Promise<Result>,
): Promise<Result> {
  const startedMs = performance.now()
  tell({ at: 'started', step: name })
  try {
    const result = await work()
    tell({ at: 'done', step: name, ms: performance.now() - startedMs })
    return result
  } catch (error) {
    tell({ at: 'failed', step: name, ms: performance.now() - startedMs, reason: explain(error) })
    throw error
  }
}

export function failureOf(error: unknown): Failure {
  if (isPlatformError(error) || isApiError(error)) {
    return { code: error.code, message: explain(error), details: { ...error.details } }
  }
  return { code: 'INTERNAL', message: explain(error), details: {} }
}

/** Waits for all, also when one fails, so that nothing goes on behind the back; then throws the first failure. */
export async function allDone(work: readonly Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(work)
  const failed = results.find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
