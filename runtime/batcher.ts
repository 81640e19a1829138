export interface BatcherOptions<Item> {
  /** Of one batch; what is more waits for the next. */
  readonly itemsMax: number
  /** All or nothing: when it rejects, nothing of the batch may have happened. */
  readonly run: (items: readonly Item[]) => Promise<void>
  /** Whether the items of a batch that failed with this error are tried one by one, so that each gets its own answer. */
  readonly isWorthSplitting: (error: unknown) => boolean
}

interface Waiting<Item> {
  readonly item: Item
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * Does work together that comes at the same time: one batch is under way, and what comes meanwhile is the next. So
 * nobody waits for company, and the busier it is, the larger batches are. In order of arrival.
 */
export class Batcher<Item> {
  readonly #options: BatcherOptions<Item>
  #waiting: Waiting<Item>[] = []
  #isRunning = false

  constructor(options: BatcherOptions<Item>) {
    this.#options = options
  }

  /** Resolves when it is done; rejects with the error of its batch, or with its own where that was split. */
  add(item: Item): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.push({ item, resolve, reject })
    if (!this.#isRunning) void this.#run()
    return promise
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#options.itemsMax)
      await this.#runBatch(batch)
    }
    this.#isRunning = false
  }

  async #runBatch(batch: readonly Waiting<Item>[]): Promise<void> {
    try {
      await this.#options.run(batch.map(({ item }) => item))
      for (const { resolve } of batch) resolve()
    } catch (error) {
      const isSplit = batch.length > 1 && this.#options.isWorthSplitting(error)
      for (const one of batch) {
        if (isSplit) await this.#runBatch([one])
        else one.reject(error)
      }
    }
  }
}
