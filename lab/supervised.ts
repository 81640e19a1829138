/**
 * One program that shall run: started, watched, and started again when it ends unasked. The pause before the n-th
 * restart doubles, so that a program that cannot live does not eat the machine, and starts anew after a quiet while.
 */
import { PlatformError, type Clock, type Random, type Timer, withJitter } from '@nubo/base'
import type { ProgramExit } from '@nubo/runtime'

const BACKOFF_FIRST_MS = 200
const BACKOFF_MAX_MS = 10_000
const QUIET_MS = 30_000

/** What a start gives back; RunningProgram has this shape. */
export interface Running {
  readonly pid: number
  readonly exited: Promise<ProgramExit>
  stop(options?: { graceMs?: number }): Promise<unknown>
}

export interface SupervisedOptions {
  name: string
  start: () => Running | Promise<Running>
  /**
   * Returns when the program serves, throws when it does not within its own deadline. Also the place for what must
   * be done anew after each start. The signal is raised when the program ends meanwhile.
   */
  ready?: (signal: AbortSignal) => Promise<void>
  clock: Clock
  random: Random
  log: { warn(message: string, fields?: Record<string, unknown>): void }
  /** The last lines it wrote, for the reason of a failure. */
  lastWords?: () => string
}

export type SupervisedState =
  | { at: 'off' }
  | { at: 'starting' | 'running'; sinceMs: number; pid?: number }
  /** It ended; the next start is at `nextMs`. */
  | { at: 'waiting'; sinceMs: number; nextMs: number; reason: string }

export class SupervisedProgram {
  readonly name: string
  readonly #options: SupervisedOptions
  #state: SupervisedState = { at: 'off' }
  #running: Running | undefined
  #timer: Timer | undefined
  #failuresInRow = 0
  #restarts = 0
  /** Raised by each turnOff; what belongs to an earlier turn does nothing any more. */
  #turn = 0

  constructor(options: SupervisedOptions) {
    this.name = options.name
    this.#options = options
  }

  get state(): SupervisedState {
    return this.#state
  }

  get restarts(): number {
    return this.#restarts
  }

  get pid(): number | undefined {
    return this.#running?.pid
  }

  /** Starts it and returns when it is ready. If that fails it is off, and SETUP_FAILED tells why. Idempotent. */
  async turnOn(): Promise<void> {
    if (this.#state.at !== 'off') return
    const turn = ++this.#turn
    this.#failuresInRow = 0
    this.#restarts = 0
    try {
      await this.#startOnce(turn)
    } catch (cause) {
      await this.turnOff({ graceMs: 500 })
      throw cause
    }
  }

  /** Ends it for good (SIGTERM, SIGKILL after the grace) and returns when it is gone. Idempotent. */
  async turnOff(options: { graceMs?: number } = {}): Promise<void> {
    this.#turn++
    this.#timer?.cancel()
    this.#state = { at: 'off' }
    const running = this.#running
    this.#running = undefined
    await running?.stop(options)
  }

  async #startOnce(turn: number): Promise<void> {
    const { clock, name } = this.#options
    this.#state = { at: 'starting', sinceMs: clock.nowMs() }
    const running = await this.#options.start()
    if (turn !== this.#turn) {
      await running.stop({ graceMs: 500 })
      return
    }
    this.#running = running
    this.#state = { at: 'starting', sinceMs: clock.nowMs(), pid: running.pid }
    const ended = new AbortController()
    let exit: ProgramExit | undefined
    void running.exited.then((how) => {
      exit = how
      ended.abort(new Error(`${name} ended (${exitText(how)})`))
    })
    try {
      await this.#options.ready?.(ended.signal)
    } catch (cause) {
      if (turn !== this.#turn) return
      const failure = this.#failure(
        exit === undefined ? 'does not become ready' : `ended at once (${exitText(exit)})`,
        exit === undefined ? cause : undefined,
      )
      this.#running = undefined
      await running.stop({ graceMs: 500 })
      throw failure
    }
    if (turn !== this.#turn) return
    const readyAtMs = clock.monotonicMs()
    this.#state = { at: 'running', sinceMs: clock.nowMs(), pid: running.pid }
    void running.exited.then((how) => {
      if (turn !== this.#turn) return
      this.#running = undefined
      if (clock.monotonicMs() - readyAtMs >= QUIET_MS) this.#failuresInRow = 0
      this.#restartLater(turn, this.#withLastWords(`ended (${exitText(how)})`))
    })
  }

  #restartLater(turn: number, reason: string): void {
    const { clock, random, log, name } = this.#options
    const pauseMs = withJitter(
      random,
      Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** this.#failuresInRow),
    )
    this.#failuresInRow++
    const nowMs = clock.nowMs()
    this.#state = { at: 'waiting', sinceMs: nowMs, nextMs: nowMs + pauseMs, reason }
    log.warn('program ended, will be started again', {
      program: name,
      reason,
      pauseMs: Math.round(pauseMs),
    })
    this.#timer = clock.after(pauseMs, () => {
      if (turn !== this.#turn) return
      this.#restarts++
      this.#startOnce(turn).catch((error: unknown) => {
        if (turn !== this.#turn) return
        log.warn('program could not be started again', { program: name, error })
        this.#restartLater(turn, error instanceof Error ? error.message : String(error))
      })
    })
  }

  #withLastWords(what: string): string {
    const words = this.#options.lastWords?.() ?? ''
    return words === '' ? what : `${what}; its last words: ${words}`
  }

  #failure(what: string, cause: unknown): PlatformError {
    return new PlatformError(
      'SETUP_FAILED',
      { program: this.name },
      { message: this.#withLastWords(`${this.name} ${what}`), cause },
    )
  }
}

function exitText(exit: ProgramExit): string {
  return exit.signal === null ? `exit code ${exit.code ?? 'unknown'}` : exit.signal
}
