import type { Clock } from '@nubo/base'

/** A neighbour that looks for us sends a few; the servers ask a few neighbours. */
const PER_WINDOW_MAX = 32
const WINDOW_MS = 1_000
/** More addresses than this in one window are not of neighbours; those that come later are dropped. */
const SOURCES_MAX = 1_024

/** Bounds what one address, and all together, can make this host look at. */
export class SourceLimit {
  readonly #clock: Clock
  readonly #counts = new Map<string, number>()
  #windowSinceMs = -Infinity

  constructor(clock: Clock) {
    this.#clock = clock
  }

  admits(source: string): boolean {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#windowSinceMs >= WINDOW_MS) {
      this.#windowSinceMs = nowMs
      this.#counts.clear()
    }
    const count = this.#counts.get(source) ?? 0
    if (count >= PER_WINDOW_MAX || (count === 0 && this.#counts.size >= SOURCES_MAX)) return false
    this.#counts.set(source, count + 1)
    return true
  }
}
