import type { Clock, Timer } from '@nubo/base'

interface Waiting {
  readonly atMs: number
  readonly order: number
  readonly fire: () => void
}

/** A clock that stands still until `advance`. Timers of one moment fire in the order they were made. */
export class VirtualClock implements Clock {
  readonly #startMs: number
  readonly #waiting = new Set<Waiting>()
  #elapsedMs = 0
  #order = 0

  constructor(startMs = 1_700_000_000_000) {
    this.#startMs = startMs
  }

  nowMs(): number {
    return this.#startMs + this.#elapsedMs
  }

  monotonicMs(): number {
    return this.#elapsedMs
  }

  after(delayMs: number, fire: () => void): Timer {
    const waiting = {
      atMs: this.#elapsedMs + Math.max(0, delayMs),
      order: this.#order++,
      fire,
    }
    this.#waiting.add(waiting)
    return { cancel: () => void this.#waiting.delete(waiting) }
  }

  /** Lets `byMs` pass, firing what is due in order; promises settle between two timers. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.#elapsedMs + byMs
    await settle()
    for (let next = this.#next(untilMs); next !== undefined; next = this.#next(untilMs)) {
      this.#waiting.delete(next)
      this.#elapsedMs = Math.max(this.#elapsedMs, next.atMs)
      next.fire()
      await settle()
    }
    this.#elapsedMs = untilMs
    await settle()
  }

  /** Advances in small steps until `condition` holds; throws after `limitMs` of virtual time. */
  async advanceUntil(condition: () => boolean, limitMs = 60_000): Promise<void> {
    await settle()
    for (let passedMs = 0; !condition(); passedMs += 5) {
      if (passedMs > limitMs) throw new Error(`condition not met within ${limitMs} virtual ms`)
      await this.advance(5)
    }
  }

  #next(untilMs: number): Waiting | undefined {
    let next: Waiting | undefined
    for (const waiting of this.#waiting) {
      if (waiting.atMs > untilMs) continue
      if (
        next === undefined ||
        waiting.atMs < next.atMs ||
        (waiting.atMs === next.atMs && waiting.order < next.order)
      )
        next = waiting
    }
    return next
  }
}

// Chains of promises end within a few turns of the event loop; none of them does real I/O under a virtual clock.
async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}
