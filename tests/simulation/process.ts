import type { Clock, Timer, VirtualClock } from '@nubo/base'
import type { Trace } from './trace.ts'

/** The clock of one machine: how far its wall clock is off, and how much faster than true time it runs. Outlives processes. */
export interface MachineClock {
  offsetMs: number
  /** 1 is true time; crystals are off by up to 1e-4. */
  readonly rate: number
}

/** Resolves never: what a process that died was waiting for. */
export function never<Value>(): Promise<Value> {
  return new Promise<Value>(() => undefined)
}

/**
 * One life of one simulated process. It can die at any point where it touches the world, and be stopped for a while as
 * SIGSTOP does. JavaScript that runs cannot be ended from outside, so its hands are cut off instead: timers of a dead process do not
 * fire, what it sends goes nowhere, and whatever it waits for never comes.
 */
export class SimulatedProcess {
  readonly name: string
  readonly clock: Clock
  readonly #base: VirtualClock
  readonly #trace: Trace
  readonly #machine: MachineClock
  readonly #onDeath = new Set<() => void>()
  #isAlive = true
  #pausedUntilMs = 0
  #held: (() => void)[] = []
  #pointsLeft: number | undefined
  #whenKilled: (() => void) | undefined

  constructor(about: { name: string; base: VirtualClock; trace: Trace; machine: MachineClock }) {
    this.name = about.name
    this.#base = about.base
    this.#trace = about.trace
    this.#machine = about.machine
    this.clock = {
      nowMs: () =>
        Math.floor(
          this.#base.nowMs() +
            this.#base.monotonicMs() * (this.#machine.rate - 1) +
            this.#machine.offsetMs,
        ),
      monotonicMs: () => this.#base.monotonicMs() * this.#machine.rate,
      after: (delayMs, fire) => this.#after(delayMs, fire),
    }
  }

  get isAlive(): boolean {
    return this.#isAlive
  }

  get isPaused(): boolean {
    return this.#isAlive && this.#base.monotonicMs() < this.#pausedUntilMs
  }

  /** Runs `work` in this process: now, or when it goes on after a pause, in order; never if it is dead by then. */
  enter(work: () => void): void {
    if (!this.#isAlive) return
    if (this.isPaused || this.#held.length > 0) this.#held.push(work)
    else work()
  }

  /** Resolves at once, or after the pause; never in a dead process. */
  gate(): Promise<void> {
    if (!this.#isAlive) return never()
    if (!this.isPaused && this.#held.length === 0) return Promise.resolve()
    return new Promise((resolve) => this.enter(resolve))
  }

  /** A point at which the process may be killed. Returns whether it is alive after it. */
  point(what: string): boolean {
    if (!this.#isAlive) return false
    if (this.#pointsLeft === undefined || this.#pointsLeft-- > 0) return true
    this.#pointsLeft = undefined
    this.#trace.add(this.name, `dies at ${what}`)
    this.#whenKilled?.()
    return this.#isAlive
  }

  /** `kill` is called at the point that comes after `points` others. */
  armKill(points: number, kill: () => void): void {
    this.#pointsLeft = points
    this.#whenKilled = kill
  }

  disarm(): void {
    this.#pointsLeft = undefined
  }

  /** Its timers and messages wait; then they come all at once. */
  pause(forMs: number): void {
    if (!this.#isAlive) return
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, this.#base.monotonicMs() + forMs)
    this.#base.after(this.#pausedUntilMs - this.#base.monotonicMs(), () => this.#resume())
  }

  resume(): void {
    this.#pausedUntilMs = 0
    this.#resume()
  }

  die(): void {
    if (!this.#isAlive) return
    this.#isAlive = false
    this.#held = []
    for (const listener of this.#onDeath) listener()
    this.#onDeath.clear()
  }

  /** Returns a function that forgets the listener. */
  onDeath(listener: () => void): () => void {
    this.#onDeath.add(listener)
    return () => this.#onDeath.delete(listener)
  }

  #resume(): void {
    if (!this.#isAlive || this.isPaused) return
    // One after the other, with time for promises in between, as an event loop that wakes up does.
    const next = this.#held.shift()
    if (next === undefined) return
    this.#base.after(0, () => {
      if (this.#isAlive) next()
      this.#resume()
    })
  }

  #after(delayMs: number, fire: () => void): Timer {
    if (!this.#isAlive) return { cancel: () => undefined }
    let isCancelled = false
    const timer = this.#base.after(delayMs / this.#machine.rate, () =>
      this.enter(() => void (isCancelled || fire())),
    )
    return {
      cancel: () => {
        isCancelled = true
        timer.cancel()
      },
    }
  }
}
