import { DockerError } from './errors.ts'

/** A timeout and a caller's signal as one AbortSignal that remembers which of them fired. */
export class Deadline {
  readonly signal: AbortSignal
  readonly #controller = new AbortController()
  readonly #caller: AbortSignal | undefined
  readonly #timeoutMs: number
  #timer: NodeJS.Timeout | null
  #expired: 'timeout' | 'aborted' | null = null

  constructor(timeoutMs: number, caller: AbortSignal | undefined) {
    this.signal = this.#controller.signal
    this.#caller = caller
    this.#timeoutMs = timeoutMs
    this.#timer = setTimeout(() => this.#expire('timeout'), timeoutMs)
    if (caller?.aborted === true) this.#expire('aborted')
    else caller?.addEventListener('abort', this.#onCallerAbort, { once: true })
  }

  get expired(): 'timeout' | 'aborted' | null {
    return this.#expired
  }

  /** From now on only the caller's signal counts. */
  stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  /** Calls `action` when the deadline expires, at once if it has. */
  onExpiry(action: () => void): void {
    if (this.#expired !== null) action()
    else this.signal.addEventListener('abort', action, { once: true })
  }

  /** To be called when the work is over, or the timer and the listener stay. Idempotent. */
  release(): void {
    this.stopTimer()
    this.#caller?.removeEventListener('abort', this.#onCallerAbort)
  }

  /** The error of an expired deadline. */
  failure(what: string): DockerError {
    if (this.#expired === 'timeout') {
      return new DockerError('timeout', `${what}: no answer within ${this.#timeoutMs} ms`)
    }
    return new DockerError('aborted', `${what}: cancelled by the caller`)
  }

  readonly #onCallerAbort = (): void => this.#expire('aborted')

  #expire(reason: 'timeout' | 'aborted'): void {
    if (this.#expired !== null) return
    this.#expired = reason
    this.release()
    this.#controller.abort()
  }
}
