/** The timers this package needs; a test or a simulator passes its own. */
export interface Timers {
  /** Calls `callback` once after `delayMs`; the result is only good for `clear`. */
  set(callback: () => void, delayMs: number): unknown
  clear(handle: unknown): void
}

/** Timers of the running process. */
export const systemTimers: Timers = {
  set: (callback, delayMs) => setTimeout(callback, delayMs),
  clear: (handle) => {
    if (handle instanceof Object) clearTimeout(handle as NodeJS.Timeout) // only handles made by `set` above come here
  },
}
