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

/** A limiter of whose places one key can have only a part: work that lasts makes its own kind wait, and nobody else. */
export class SharedLimiter {
  readonly #all: Limiter
  readonly #maxPerKey: number
  readonly #shares = new Map<string, { readonly limiter: Limiter; users: number }>()

  constructor(options: { readonly max: number; readonly maxPerKey: number }) {
    this.#all = new Limiter(options.max)
    this.#maxPerKey = options.maxPerKey
  }

  async run<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const share = this.#shares.get(key) ?? { limiter: new Limiter(this.#maxPerKey), users: 0 }
    this.#shares.set(key, share)
    share.users += 1
    try {
      return await share.limiter.run(() => this.#all.run(work))
    } finally {
      share.users -= 1
      if (share.users === 0) this.#shares.delete(key)
    }
  }
}
