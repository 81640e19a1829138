import { every, formatDurationMs, type Timer } from '@nubo/base'
import type { Surroundings } from '../surroundings.ts'
import { cutToWidth, plainText } from './values.ts'

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const FRAME_MS = 100
const CLEAR_LINE = '\r\x1b[2K'

/** What is going on, on stderr: one living line on a terminal, else a line whenever the text changes. */
export interface Progress {
  update(text: string): void
  /** A line that stays. */
  note(text: string): void
  /** Removes the living line. Idempotent; must be called. */
  end(): void
}

export function startProgress({ stderr, clock }: Surroundings): Progress {
  return stderr.isTTY === true ? new LivingLine(stderr, clock) : new PlainLines(stderr)
}

class PlainLines implements Progress {
  readonly #stderr: Surroundings['stderr']
  #text = ''

  constructor(stderr: Surroundings['stderr']) {
    this.#stderr = stderr
  }
  update(text: string): void {
    if (text === this.#text) return
    this.#text = text
    this.note(text)
  }
  note(text: string): void {
    this.#stderr.write(`${plainText(text)}\n`)
  }
  end(): void {
    this.#text = ''
  }
}

class LivingLine implements Progress {
  readonly #stderr: Surroundings['stderr']
  readonly #clock: Surroundings['clock']
  readonly #startedMs: number
  #timer: Timer | undefined
  #text = ''
  #frame = 0

  constructor(stderr: Surroundings['stderr'], clock: Surroundings['clock']) {
    this.#stderr = stderr
    this.#clock = clock
    this.#startedMs = clock.monotonicMs()
  }
  update(text: string): void {
    this.#text = plainText(text)
    this.#timer ??= every(this.#clock, FRAME_MS, () => this.#draw())
    this.#draw()
  }
  note(text: string): void {
    this.#stderr.write(`${CLEAR_LINE}${plainText(text)}\n`)
    if (this.#timer !== undefined) this.#draw()
  }
  end(): void {
    if (this.#timer === undefined) return
    this.#timer.cancel()
    this.#timer = undefined
    this.#stderr.write(CLEAR_LINE)
  }
  #draw(): void {
    this.#frame = (this.#frame + 1) % FRAMES.length
    const passed = formatDurationMs(this.#clock.monotonicMs() - this.#startedMs)
    const line = `${FRAMES[this.#frame] ?? ''} ${this.#text}  ${passed}`
    // One column stays free, or some terminals would wrap.
    this.#stderr.write(CLEAR_LINE + cutToWidth(line, (this.#stderr.columns ?? 80) - 1))
  }
}
