import { every, type Clock, type Timer } from '@nubo/base'
import type { Log } from './process/log.ts'

export interface Reconciler {
  /** Something may have changed: run soon. Cheap; calls while a pass runs lead to one more pass. */
  wake(): void
  /** Resolves when no pass runs any more. */
  stop(): Promise<void>
}

/**
 * Runs a pass when woken and on a timer. The pass takes no hint and reads everything, so a lost wake is only a delay.
 * It may return true to be run again at once. A pass that throws is logged and tried again on the timer.
 */
export function startReconciler(options: {
  name: string
  periodMs: number
  clock: Clock
  log: Log
  pass: () => Promise<boolean | void>
}): Reconciler {
  let running: Promise<void> | undefined
  let again = false
  let stopped = false

  async function loop(): Promise<void> {
    try {
      do {
        again = false
        await pass()
      } while (again && !stopped)
    } finally {
      // In the same step as the last look at `again`: a wake after it must start anew.
      running = undefined
    }
  }
  async function pass(): Promise<void> {
    try {
      if ((await options.pass()) === true) again = true
    } catch (error) {
      options.log.warn('a reconciler failed; it runs again on its timer', {
        reconciler: options.name,
        error,
      })
    }
  }
  function run(): Promise<void> {
    if (stopped) return Promise.resolve()
    if (running !== undefined) {
      again = true
      return running
    }
    running = loop()
    return running
  }
  const timer: Timer = every(options.clock, options.periodMs, run)
  void run()
  return {
    wake: () => void run(),
    stop: async () => {
      stopped = true
      timer.cancel()
      await running
    },
  }
}
