/** Bytes that may be sent before the receiver has said that it took some. */
export class Credit {
  #availableBytes: number
  #waiting: (() => void) | undefined
  #isOver = false

  constructor(bytes: number) {
    this.#availableBytes = bytes
  }

  /** The receiver has taken so many bytes. */
  add(bytes: number): void {
    this.#availableBytes += bytes
    this.#waiting?.()
  }

  /** Nobody will take any more; waiters are let go. */
  end(): void {
    this.#isOver = true
    this.#waiting?.()
  }

  /** Takes up to `wantedBytes`, waiting while there is none. 0 once it is over. One waiter at a time. */
  async take(wantedBytes: number): Promise<number> {
    while (this.#availableBytes <= 0 && !this.#isOver) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#waiting = resolve
      await promise
      this.#waiting = undefined
    }
    if (this.#isOver) return 0
    const bytes = Math.min(wantedBytes, this.#availableBytes)
    this.#availableBytes -= bytes
    return bytes
  }
}
