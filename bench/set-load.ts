/** A steady stream of creates and removes of sets, and how long each create took until its set ran. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from '@nubo/client'
import type { Operation } from '@nubo/contracts'
import { IMAGE, networkOf } from './simulated-stage.ts'

const TICK_MS = 20
const ENDED_TIMEOUT_MS = 30_000
const CALLS_AT_ONCE_MAX = 256
const MEBI = 2 ** 20

export interface LoadOptions {
  /** Used in turn. */
  readonly tenants: readonly Client[]
  /** Operations are watched through it. */
  readonly watcher: Client
  readonly setsPerSecond: number
  /** So many sets are kept; each further one removes the oldest. */
  readonly levelSets: number
  /** At the same rate before what counts, until there are `levelSets`. */
  readonly warmMs: number
  /** What counts begins. */
  readonly onWarm?: () => void
  readonly durationMs: number
  /** Sets are called PREFIX-1, PREFIX-2, … */
  readonly prefix: string
  readonly signal: AbortSignal
}

/** Of an operation. */
interface End {
  readonly isDone: boolean
  readonly text: string
  readonly atMs: number
}

export interface LoadOutcome {
  /** Acknowledged create → running, in order of their end; of creates that were due once it was warm, as the next. */
  readonly latenciesMs: readonly number[]
  /** Call → acknowledged. */
  readonly callsMs: readonly number[]
  readonly failures: readonly string[]
  readonly removed: number
  readonly elapsedMs: number
}

/** Resolves when every operation has ended. */
export async function runLoad(options: LoadOptions): Promise<LoadOutcome> {
  return new SetLoad(options).run()
}

class SetLoad {
  readonly #options: LoadOptions
  readonly #latenciesMs: number[] = []
  readonly #callsMs: number[] = []
  readonly #failures: string[] = []
  /** Ids of operations → when they were acknowledged; or when they ended, if the watch was faster than the answer. */
  readonly #open = new Map<string, number>()
  readonly #early = new Map<string, End>()
  readonly #running: string[] = []
  readonly #creating = new Map<string, { name: string; counts: boolean }>()
  #calls = 0
  #removed = 0

  constructor(options: LoadOptions) {
    this.#options = options
  }

  async run(): Promise<LoadOutcome> {
    const { durationMs, warmMs, setsPerSecond, signal } = this.#options
    const watching = new AbortController()
    const watched = this.#watch(AbortSignal.any([signal, watching.signal]))
    const startedMs = performance.now()
    let made = 0
    let warmAtMs: number | undefined
    for (;;) {
      signal.throwIfAborted()
      const elapsedMs = performance.now() - startedMs
      if (elapsedMs >= warmMs && warmAtMs === undefined) {
        warmAtMs = performance.now()
        this.#options.onWarm?.()
      }
      if (elapsedMs >= warmMs + durationMs) break
      const due = Math.floor((elapsedMs / 1_000) * setsPerSecond)
      // A generator that waits for the system hides how slow it is: what is due goes out, up to a bound.
      while (made < due && this.#calls < CALLS_AT_ONCE_MAX)
        void this.#create(made++, warmAtMs !== undefined)
      while (
        this.#running.length + this.#creating.size > this.#options.levelSets &&
        this.#calls < CALLS_AT_ONCE_MAX
      ) {
        const oldest = this.#running.shift()
        if (oldest === undefined) break
        void this.#remove(oldest)
      }
      await sleep(TICK_MS)
    }
    const elapsedMs = performance.now() - (warmAtMs ?? startedMs)
    const deadlineMs = performance.now() + ENDED_TIMEOUT_MS
    while ((this.#open.size > 0 || this.#calls > 0) && performance.now() < deadlineMs)
      await sleep(TICK_MS)
    if (this.#open.size > 0) this.#failures.push(`${this.#open.size} operations did not end`)
    watching.abort()
    await watched
    return {
      latenciesMs: this.#latenciesMs,
      callsMs: this.#callsMs,
      failures: this.#failures,
      removed: this.#removed,
      elapsedMs,
    }
  }

  async #create(number: number, counts: boolean): Promise<void> {
    const { tenants, prefix } = this.#options
    const tenant = tenants[number % tenants.length]
    const name = `${prefix}-${number}`
    const calledMs = performance.now()
    await this.#call(async () => {
      const made = await tenant?.setCreate({
        body: {
          name,
          ...networkOf(number),
          cpuMillis: 100,
          memoryBytes: 64 * MEBI,
          containers: [{ name: 'main', image: IMAGE, command: ['sleep', '1000000'] }],
        },
      })
      if (made === undefined) return
      const nowMs = performance.now()
      if (counts) this.#callsMs.push(nowMs - calledMs)
      this.#creating.set(made.id, { name, counts })
      this.#acknowledged(made.id, nowMs)
    })
  }

  async #remove(name: string): Promise<void> {
    const { tenants } = this.#options
    const tenant = tenants[this.#removed++ % tenants.length]
    await this.#call(async () => {
      const made = await tenant?.setRemove({ params: { id: name } })
      if (made !== undefined && made.endedAtMs === null)
        this.#acknowledged(made.id, performance.now())
    })
  }

  async #call(work: () => Promise<void>): Promise<void> {
    this.#calls++
    try {
      await work()
    } catch (error) {
      this.#failures.push(String(error))
    } finally {
      this.#calls--
    }
  }

  #acknowledged(id: string, atMs: number): void {
    this.#open.set(id, atMs)
    const early = this.#early.get(id)
    if (early !== undefined) this.#ended(id, { ...early, atMs: Math.max(atMs, early.atMs) })
    this.#early.delete(id)
  }

  #ended(id: string, end: End): void {
    const acknowledgedMs = this.#open.get(id)
    if (acknowledgedMs === undefined) {
      this.#early.set(id, end)
      return
    }
    this.#open.delete(id)
    if (!end.isDone) this.#failures.push(end.text)
    const creating = this.#creating.get(id)
    if (creating === undefined) return
    this.#creating.delete(id)
    this.#running.push(creating.name)
    if (creating.counts) this.#latenciesMs.push(end.atMs - acknowledgedMs)
  }

  async #watch(signal: AbortSignal): Promise<void> {
    try {
      for await (const event of this.#options.watcher.watch({ kind: 'operation' }, { signal })) {
        // proof: asked for operations only. Not validated, since the bench shares its cores with what it measures.
        const operation = event.object as Operation | null
        if (operation === null || operation.endedAtMs === null) continue
        const { id, kind, state, reason } = operation
        const text = `${kind} ended ${state}: ${reason?.text ?? 'no reason'}`
        this.#ended(id, { isDone: state === 'done', text, atMs: performance.now() })
      }
    } catch (error) {
      if (!signal.aborted) this.#failures.push(`the watch ended: ${String(error)}`)
    }
  }
}
