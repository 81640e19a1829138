/**
 * Time as a parameter. Production passes the system clock (runtime/), tests and the simulator a virtual one,
 * so that everything that waits runs under one seed.
 */
export interface Timer {
  /** Idempotent. */
  cancel(): void
}

export interface Clock {
  /** Milliseconds since the Unix epoch; may jump. For records only. */
  nowMs(): number
  /** Milliseconds since an arbitrary start; never goes back. For deadlines, leases and rates. */
  monotonicMs(): number
  /** Runs `fire` once, not before `delayMs`. */
  after(delayMs: number, fire: () => void): Timer
}

/** Resolves after `delayMs`, or rejects with the signal's reason. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason)
    const onAbort = (): void => {
      timer.cancel()
      reject(signal?.reason)
    }
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/** Calls `fire` every `periodMs` after the previous call ended; overlapping calls cannot happen. */
export function every(clock: Clock, periodMs: number, fire: () => Promise<void> | void): Timer {
  let cancelled = false
  let timer = clock.after(periodMs, tick)
  function tick(): void {
    void Promise.resolve(fire()).finally(() => {
      if (!cancelled) timer = clock.after(periodMs, tick)
    })
  }
  return {
    cancel: () => {
      cancelled = true
      timer.cancel()
    },
  }
}
