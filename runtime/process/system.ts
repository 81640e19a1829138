import { randomBytes } from 'node:crypto'
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

/** The system's randomness; fit for secrets. */
export const systemRandom: Random = {
  bytes: (count) => randomBytes(count),
  fraction: () => randomBytes(4).readUInt32BE() / 2 ** 32,
}
