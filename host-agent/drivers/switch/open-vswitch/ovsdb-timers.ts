import type { Clock, Timer } from '@nubo/base'
import type { Timers } from '@nubo/wire-ovsdb'

/** The clock in the form that wire/ovsdb takes. */
export function timersOf(clock: Clock): Timers {
  const running = new WeakMap<object, Timer>()
  return {
    set: (callback, delayMs) => {
      const timer = clock.after(delayMs, callback)
      running.set(timer, timer)
      return timer
    },
    clear: (handle) => {
      if (handle instanceof Object) running.get(handle)?.cancel()
    },
  }
}
