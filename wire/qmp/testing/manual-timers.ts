import type { Timers } from '../timers.ts'

interface Entry {
  readonly at: number
  readonly callback: () => void
}

/** Timers that move only when a test says so. */
export class ManualTimers implements Timers {
  #now = 0
  readonly #entries = new Set<Entry>()

  get pending(): number {
    return this.#entries.size
  }

  set(callback: () => void, delayMs: number): unknown {
    const entry = { at: this.#now + delayMs, callback }
    this.#entries.add(entry)
    return entry
  }

  clear(handle: unknown): void {
    this.#entries.delete(handle as Entry) // Only handles of `set` come here; others are not in the set.
  }

  /** Runs what falls due, in order, letting promises settle in between. */
  async advance(byMs: number): Promise<void> {
    const end = this.#now + byMs
    for (;;) {
      await settle()
      const next = [...this.#entries].sort((a, b) => a.at - b.at)[0]
      if (next === undefined || next.at > end) break
      this.#now = next.at
      this.#entries.delete(next)
      next.callback()
    }
    this.#now = end
    await settle()
  }
}

/** Lets streams and promises do what they can do without time passing. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}
