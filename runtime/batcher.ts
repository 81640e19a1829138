import { sleep, type Clock } from '@nubo/base'

export interface BatcherOptions<Item> {
  /** Of one batch; what is more waits for the next. */
  readonly itemsMax: number
  /** All or nothing: when it rejects, nothing of the batch may have happened. */
  readonly run: (items: readonly Item[]) => Promise<void>
  /** Whether a batch that failed with this error is tried in halves, and these so again, until each bad item has its own answer. */
  readonly isWorthSplitting: (error: unknown) => boolean
  /** A batch ends before an item whose key one of its items has. */
  readonly keyOf?: (item: Item) => string
  /** A batch of more than one is followed by a pause, so that the next one has more company. No pause if absent. */
  readonly pause?: Pause
}

/** A batch of N items is followed by N times `perItemMs`, at most `mostMs`. */
export interface Pause {
  readonly clock: Clock
  readonly perItemMs: number
  readonly mostMs: number
}

interface Waiting<Item> {
  readonly item: Item
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * Does work together that comes at the same time: one batch is under way, and what comes meanwhile is the next. So
 * the busier it is, the larger batches are, and whoever comes alone waits for nobody. In order of arrival.
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
      const batch = this.#take()
      await this.#runBatch(batch)
      await this.#pauseAfter(batch.length)
    }
    this.#isRunning = false
  }

  #take(): Waiting<Item>[] {
    const { itemsMax, keyOf } = this.#options
    if (keyOf === undefined) return this.#waiting.splice(0, itemsMax)
    const keys = new Set<string>()
    let end = 0
    for (const { item } of this.#waiting) {
      const key = keyOf(item)
      if (end === itemsMax || keys.has(key)) break
      keys.add(key)
      end++
    }
    return this.#waiting.splice(0, end)
  }

  async #pauseAfter(items: number): Promise<void> {
    const { pause } = this.#options
    if (pause === undefined || items < 2) return
    await sleep(pause.clock, Math.min(pause.mostMs, items * pause.perItemMs))
  }

  async #runBatch(batch: readonly Waiting<Item>[]): Promise<void> {
    try {
      await this.#options.run(batch.map(({ item }) => item))
      for (const { resolve } of batch) resolve()
    } catch (error) {
      if (batch.length > 1 && this.#options.isWorthSplitting(error)) {
        const middle = Math.ceil(batch.length / 2)
        await this.#runBatch(batch.slice(0, middle))
        await this.#runBatch(batch.slice(middle))
        return
      }
      for (const { reject } of batch) reject(error)
    }
  }
}
