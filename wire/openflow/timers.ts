/** What this package needs of a clock; tests and simulations give their own. */
export interface Timers {
  /** Calls back once after that many milliseconds; returns what cancels it, which may be called more than once. */
  readonly after: (delayMs: number, callback: () => void) => () => void
}

export const systemTimers: Timers = {
  after(delayMs, callback) {
    const handle = setTimeout(callback, delayMs)
    return () => clearTimeout(handle)
  },
}
