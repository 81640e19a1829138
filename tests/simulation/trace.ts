import { createHash } from 'node:crypto'
import type { VirtualClock } from '@nubo/base'

/**
 * Everything observable that happened in a run, in order: two runs of one plan must be equal byte for byte. Only a
 * fingerprint is kept unless the lines are asked for.
 */
export class Trace {
  readonly #clock: VirtualClock
  readonly #hash = createHash('sha256')
  readonly lines: string[] | undefined
  #count = 0

  constructor(clock: VirtualClock, keepLines: boolean) {
    this.#clock = clock
    this.lines = keepLines ? [] : undefined
  }

  get count(): number {
    return this.#count
  }

  add(who: string, what: string): void {
    const line = `${this.#clock.monotonicMs().toFixed(3)} ${who} ${what}\n`
    this.#count += 1
    this.#hash.update(line)
    this.lines?.push(line)
  }

  /** Ends the fingerprint. */
  digest(): string {
    return this.#hash.digest('hex')
  }
}
