import type { Clock } from '@nubo/base'

/** The reason of an abort by a deadline, to tell it from the caller's own abort. */
export class DeadlineError extends Error {
  constructor(timeoutMs: number) {
    super(`no answer in ${timeoutMs} ms`)
    this.name = 'DeadlineError'
  }
}

export interface Deadline {
  readonly signal: AbortSignal
  /** Starts the time anew. Does nothing once it is over or cancelled. */
  extend(timeoutMs?: number): void
  /** Stops the time until the next `extend`. */
  pause(): void
  /** Idempotent; must be called, or the timer keeps running. */
  cancel(): void
}

/** A signal that aborts with DeadlineError after `timeoutMs`, or with the caller's reason when that aborts first. */
export function startDeadline(clock: Clock, timeoutMs: number, parent?: AbortSignal): Deadline {
  const controller = new AbortController()
  let over = false
  const start = (delayMs: number) =>
    clock.after(delayMs, () => {
      over = true
      controller.abort(new DeadlineError(delayMs))
    })
  let timer = start(timeoutMs)
  return {
    signal: parent === undefined ? controller.signal : AbortSignal.any([parent, controller.signal]),
    extend: (againMs = timeoutMs) => {
      if (over) return
      timer.cancel()
      timer = start(againMs)
    },
    pause: () => timer.cancel(),
    cancel: () => {
      over = true
      timer.cancel()
    },
  }
}
