import { PlatformError, type Clock } from '@nubo/base'

/** Rejects with DEADLINE_EXCEEDED if `work` has not ended after `timeoutMs`. The work itself may still end later. */
export async function withDeadline<Result>(options: {
  readonly clock: Clock
  readonly timeoutMs: number
  readonly what: string
  readonly work: Promise<Result>
}): Promise<Result> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = options.clock.after(options.timeoutMs, () =>
    reject(
      new PlatformError('DEADLINE_EXCEEDED', { what: options.what, limitMs: options.timeoutMs }),
    ),
  )
  try {
    return await Promise.race([options.work, late])
  } finally {
    timer.cancel()
  }
}
