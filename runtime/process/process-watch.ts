import { monitorEventLoopDelay } from 'node:perf_hooks'
import { every, type Clock } from '@nubo/base'

/** Each sample wakes the process: at 20 ms that was 0.4 % of a core, a third of all that a server at rest took. */
const RESOLUTION_MS = 50
const WINDOW_MS = 60_000

export interface LoopDelay {
  readonly windowMs: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

/** What a process knows of itself. */
export interface ProcessStatus {
  readonly uptimeMs: number
  readonly residentBytes: number
  readonly heapUsedBytes: number
  readonly loopDelay: { readonly now: LoopDelay; readonly before: LoopDelay | null }
}

export interface ProcessWatch {
  status(): ProcessStatus
  stop(): void
}

/** Begins to sample how late timers of this process come. */
export function watchProcess(clock: Clock): ProcessWatch {
  const startedMs = clock.monotonicMs()
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  histogram.enable()
  let windowStartedMs = startedMs
  let before: LoopDelay | null = null
  const now = (): LoopDelay => ({
    windowMs: Math.round(clock.monotonicMs() - windowStartedMs),
    p50Ms: delayMs(histogram.percentile(50)),
    p99Ms: delayMs(histogram.percentile(99)),
    maxMs: delayMs(histogram.max),
  })
  const turn = every(clock, WINDOW_MS, () => {
    before = now()
    histogram.reset()
    windowStartedMs = clock.monotonicMs()
  })
  return {
    status: () => {
      const { rss, heapUsed } = process.memoryUsage()
      return {
        uptimeMs: Math.round(clock.monotonicMs() - startedMs),
        residentBytes: rss,
        heapUsedBytes: heapUsed,
        loopDelay: { now: now(), before },
      }
    },
    stop: () => {
      turn.cancel()
      histogram.disable()
    },
  }
}

/** A sample is the time between two timers in nanoseconds; what is due of it is the resolution. */
function delayMs(sampleNs: number): number {
  return Math.max(0, Math.round((sampleNs / 1e6 - RESOLUTION_MS) * 100) / 100)
}
