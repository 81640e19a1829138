import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Clock, Random } from '@nubo/base'

/** The real clock. Timers do not keep the process alive by themselves only if `unref` is asked for by their owner. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, fire) => {
    const timer = setTimeout(fire, Math.max(0, delayMs))
    return { cancel: () => clearTimeout(timer) }
  },
}

/** A wall clock that moved so much against the monotonic one has jumped, or the machine has slept. */
const JUMP_MIN_MS = 50

/**
 * The system clock with a `monotonicMs` that counts from the boot, also while the machine sleeps (CLOCK_BOOTTIME), so that
 * what one process wrote another can read, and that the sleep of a host does not make its lease longer. Node has no such
 * clock: it is the monotonic one, and /proc/uptime tells how long the machine has slept. That file is read again when the
 * wall clock shows that it may have.
 */
export function createBootClock(): Clock {
  const sinceBootMs = (): number => Number(process.hrtime.bigint()) / 1e6
  let sleptMs = 0
  let wallAheadMs = Number.NaN
  return {
    ...systemClock,
    monotonicMs: () => {
      const nowMs = sinceBootMs()
      const aheadMs = Date.now() - nowMs
      if (!(Math.abs(aheadMs - wallAheadMs) < JUMP_MIN_MS)) {
        // In steps of 10 ms; that much early at most.
        const uptimeMs = Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0]) * 1_000
        sleptMs = Math.max(sleptMs, uptimeMs + 10 - nowMs)
        wallAheadMs = aheadMs
      }
      return nowMs + sleptMs
    },
  }
}

/** The system's randomness; fit for secrets. */
export const systemRandom: Random = {
  bytes: (count) => randomBytes(count),
  fraction: () => randomBytes(4).readUInt32BE() / 2 ** 32,
}
