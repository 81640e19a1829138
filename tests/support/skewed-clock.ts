import type { Clock } from '@nubo/base'
import { systemClock } from '@nubo/runtime'

/**
 * The system's clock with a calendar that tests can move forward, so that what is kept for minutes or days ends now.
 * Timers and the monotonic clock stay real.
 */
export class SkewedClock implements Clock {
  #aheadMs = 0

  nowMs(): number {
    return systemClock.nowMs() + this.#aheadMs
  }

  monotonicMs(): number {
    return systemClock.monotonicMs()
  }

  after(delayMs: number, fire: () => void) {
    return systemClock.after(delayMs, fire)
  }

  moveMs(byMs: number): void {
    this.#aheadMs += byMs
  }
}
