import type { Clock, Timer } from './clock.ts'

interface Waiting {
  readonly atMs: number
  readonly order: number
  fire: (() => void) | undefined
}

/**
 * A clock that moves only when told to. Timers of one moment fire in the order they were made. After each timer
 * `settle` lets promises run before the next one fires; without it, four turns of the event loop are enough for code
 * that does no real I/O.
 */
export class VirtualClock implements Clock {
  readonly #startMs: number
  readonly #settle: () => Promise<void>
  #heap: Waiting[] = []
  #elapsedMs = 0
  #order = 0

  constructor(options: { startMs?: number; settle?: () => Promise<void> } = {}) {
    this.#startMs = options.startMs ?? 1_700_000_000_000
    this.#settle = options.settle ?? settleTurns
  }

  nowMs(): number {
    return Math.floor(this.#startMs + this.#elapsedMs)
  }

  monotonicMs(): number {
    return this.#elapsedMs
  }

  after(delayMs: number, fire: () => void): Timer {
    const waiting: Waiting = {
      atMs: this.#elapsedMs + Math.max(0, delayMs),
      order: this.#order++,
      fire,
    }
    push(this.#heap, waiting)
    return {
      cancel: () => {
        waiting.fire = undefined
      },
    }
  }

  /** Lets `byMs` pass, firing what is due in order. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.#elapsedMs + byMs
    await this.#settle()
    while (await this.#fireNext(untilMs)) await this.#settle()
    this.#elapsedMs = untilMs
    await this.#settle()
  }

  /** Fires timers until `condition` holds; throws after `limitMs` of virtual time, or when no timer is left. */
  async advanceUntil(condition: () => boolean, limitMs = 60_000): Promise<void> {
    const untilMs = this.#elapsedMs + limitMs
    await this.#settle()
    while (!condition()) {
      if (!(await this.#fireNext(untilMs)))
        throw new Error(`the condition was not met within ${limitMs} virtual ms`)
      await this.#settle()
    }
  }

  #fireNext(untilMs: number): Promise<boolean> {
    for (;;) {
      const next = this.#heap[0]
      if (next === undefined || next.atMs > untilMs) return Promise.resolve(false)
      pop(this.#heap)
      if (next.fire === undefined) continue
      this.#elapsedMs = Math.max(this.#elapsedMs, next.atMs)
      next.fire()
      return Promise.resolve(true)
    }
  }
}

async function settleTurns(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}

function isBefore(a: Waiting, b: Waiting): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}

function push(heap: Waiting[], item: Waiting): void {
  heap.push(item)
  let at = heap.length - 1
  while (at > 0) {
    const parent = (at - 1) >> 1
    const above = heap[parent]
    if (above === undefined || !isBefore(item, above)) break
    heap[at] = above
    heap[parent] = item
    at = parent
  }
}

function pop(heap: Waiting[]): void {
  const last = heap.pop()
  if (last === undefined || heap.length === 0) return
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    const left = heap[child]
    const right = heap[child + 1]
    if (left === undefined) break
    if (right !== undefined && isBefore(right, left)) child++
    const below = heap[child]
    if (below === undefined || !isBefore(below, last)) break
    heap[at] = below
    at = child
  }
  heap[at] = last
}
