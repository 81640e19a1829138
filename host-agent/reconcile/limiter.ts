/** Lets at most `max` pieces of work run at once; the rest waits, urgent ones first, each kind in its order. */
export class Limiter {
  readonly #max: number
  readonly #urgent: (() => void)[] = []
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(max: number) {
    this.#max = max
  }

  /** Who waits is as many as there are sets or images of the host; the contract bounds both. */
  async run<Result>(
    work: () => Promise<Result>,
    options: { readonly isUrgent?: boolean } = {},
  ): Promise<Result> {
    const queue = options.isUrgent === true ? this.#urgent : this.#waiting
    if (this.#running >= this.#max) await new Promise<void>((resolve) => queue.push(resolve))
    else this.#running += 1
    try {
      return await work()
    } finally {
      const next = this.#urgent.shift() ?? this.#waiting.shift()
      // The place is handed on, so that nobody can slip in between.
      if (next === undefined) this.#running -= 1
      else next()
    }
  }
}
