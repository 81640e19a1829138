import type { Clock } from '@nubo/base'
import { SAMPLE_TIME_MS } from './samples.ts'

/** Real timers, but a calendar that starts at SAMPLE_TIME_MS, so that ages in tests do not depend on the day. */
export function testClock(): Clock {
  const startedMs = performance.now()
  return {
    nowMs: () => SAMPLE_TIME_MS + Math.round(performance.now() - startedMs),
    monotonicMs: () => performance.now(),
    after: (delayMs, fire) => {
      const timer = setTimeout(fire, delayMs)
      return { cancel: () => clearTimeout(timer) }
    },
  }
}
