import type { Clock } from '@nubo/base'

/** Lets one loop wait until somebody wakes it. A wake that comes while nobody waits is kept for the next wait. */
export class Wakeup {
  readonly #clock: Clock
  #isAwake = false
  #resolve: (() => void) | undefined
  #signal: AbortSignal | undefined
  readonly #onAbort = (): void => this.#resolve?.()

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
      this.#listenTo(options.signal)
      const timer = Number.isFinite(options.maxMs)
        ? this.#clock.after(options.maxMs, resolve)
        : undefined
      await promise
      timer?.cancel()
      this.#resolve = undefined
    }
    this.#isAwake = false
  }

  /** Lets go of the signal: nobody waits any more. Idempotent. */
  close(): void {
    this.#listenTo(undefined)
  }

  /** Once for all waits with one signal: to begin and end that costs more than the rest of a wait. */
  #listenTo(signal: AbortSignal | undefined): void {
    if (signal === this.#signal) return
    this.#signal?.removeEventListener('abort', this.#onAbort)
    signal?.addEventListener('abort', this.#onAbort)
    this.#signal = signal
  }
}
