import { PlatformError } from '@nubo/base'

/** A number of things that may be under way at once. */
export class Slots {
  readonly #what: string
  readonly #max: number
  #taken = 0

  /** `what` there are too many of, for the error: 'requests'. */
  constructor(what: string, max: number) {
    this.#what = what
    this.#max = max
  }

  /** Returns a function that gives the slot back; idempotent. Throws TOO_MANY_REQUESTS when all are taken. */
  take(): () => void {
    if (this.#taken >= this.#max) {
      throw new PlatformError(
        'TOO_MANY_REQUESTS',
        { limit: `${this.#max} ${this.#what} at once`, next: 'try again, with fewer at once' },
        { message: `Too many ${this.#what} at once; try again later.` },
      )
    }
    this.#taken++
    let isTaken = true
    return () => {
      if (isTaken) this.#taken--
      isTaken = false
    }
  }
}
