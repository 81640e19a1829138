import { QmpValueError } from './errors.ts'
import type { Timers } from './timers.ts'

/** A longer delay would make the timer of Node fire at once (it counts in 31 bits). */
const TIMEOUT_MS_MAX = 2 ** 31 - 1

export interface DeadlineOptions {
  readonly timers: Timers
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
}

/**
 * Calls `onExpiry` once: when the time is over, or when the signal fires. The result takes both back; whoever settles
 * earlier must call it, or the timer and the listener stay. A signal that has fired already is the caller's to check.
 * Throws `QmpValueError` for a time that is none.
 */
export function startDeadline(
  { timers, timeoutMs, signal }: DeadlineOptions,
  onExpiry: (by: 'timeout' | 'aborted') => void,
): () => void {
  if (!(timeoutMs > 0 && timeoutMs <= TIMEOUT_MS_MAX)) {
    throw new QmpValueError('timeoutMs', `${timeoutMs} is not between 0 and ${TIMEOUT_MS_MAX}`)
  }
  const release = (): void => {
    timers.clear(timer)
    signal?.removeEventListener('abort', onAbort)
  }
  const expire = (by: 'timeout' | 'aborted'): void => {
    release()
    onExpiry(by)
  }
  const onAbort = (): void => expire('aborted')
  const timer = timers.set(() => expire('timeout'), timeoutMs)
  signal?.addEventListener('abort', onAbort, { once: true })
  return release
}
