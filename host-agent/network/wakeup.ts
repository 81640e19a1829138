import type { Clock } from '@nubo/base'

/** Lets one loop wait until somebody wakes it. A wake that comes while nobody waits is kept for the next wait. */
export class Wakeup {
  readonly #clock: Clock
  #isAwake = false
  #resolve: (() => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  wake(): void {
    this.#isAwake = true
    this.#resolve?.()
  }

  /** Resolves when woken, after `maxMs`, or when `signal` aborts. One waiter at a time. */
  async wait(options: { maxMs: number; signal: AbortSignal }): Promise<void> {
    if (!this.#isAwake && !options.signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#resolve = resolve
      const timer = Number.isFinite(options.maxMs)
        ? this.#clock.after(options.maxMs, resolve)
        : undefined
      const onAbort = (): void => resolve()
      options.signal.addEventListener('abort', onAbort, { once: true })
      await promise
      options.signal.removeEventListener('abort', onAbort)
      timer?.cancel()
      this.#resolve = undefined
    }
    this.#isAwake = false
  }
}
