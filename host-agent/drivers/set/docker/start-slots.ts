import { PlatformError } from '@nubo/base'

/** More waiting starts than a host can have sets for: the caller has lost count. */
const WAITING_MAX = 4_096

/**
 * Lets a few containers start at once. dockerd starts 8 or 9 a second whatever it is asked for; beyond a handful in
 * parallel each single start only takes longer. Waiting starts go in the order they came.
 */
export class StartSlots {
  readonly #max: number
  readonly #waiting: (() => void)[] = []
  #taken = 0

  constructor(max: number) {
    this.#max = max
  }

  /** Runs `start` when a slot is free. TOO_MANY_REQUESTS if thousands wait already. */
  async run<T>(start: () => Promise<T>): Promise<T> {
    if (this.#taken < this.#max) this.#taken += 1
    else await this.#wait()
    try {
      return await start()
    } finally {
      const next = this.#waiting.shift()
      // The slot is handed on, so that nobody slips in between.
      if (next === undefined) this.#taken -= 1
      else next()
    }
  }

  async #wait(): Promise<void> {
    if (this.#waiting.length >= WAITING_MAX) {
      throw new PlatformError('TOO_MANY_REQUESTS', { limit: 'waiting starts', max: WAITING_MAX })
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push(resolve)
    await promise
  }
}
