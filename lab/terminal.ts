/** Output of machine verbs: progress with times, tables, errors with the next thing to do. */
import { styleText } from 'node:util'
import { formatDurationMs, isPlatformError } from '@nubo/base'
import { failureOf, type Step } from './steps.ts'

const REFRESH_MS = 200
const WIDTH_DEFAULT = 100

export interface Output {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

export type Style = Parameters<typeof styleText>[0]

/** Colours only for a terminal, and not where they are unwanted (NO_COLOR). */
export function painter(output: Output, noColour: boolean): (style: Style, text: string) => string {
  return (style, text) =>
    output.isTTY === true && !noColour ? styleText(style, text, { validateStream: false }) : text
}

/** Prints each step when it ends; on a terminal also, in the last line, what is under way and for how long. */
export class ProgressPrinter {
  readonly #output: Output
  readonly #paint: (style: Style, text: string) => string
  readonly #running = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined

  constructor(output: Output, noColour: boolean) {
    this.#output = output
    this.#paint = painter(output, noColour)
  }

  tell = (step: Step): void => {
    this.#clearLine()
    switch (step.at) {
      case 'started':
        this.#running.set(step.step, performance.now())
        break
      case 'done':
      case 'failed': {
        this.#running.delete(step.step)
        const mark = step.at === 'done' ? this.#paint('green', '✔') : this.#paint('red', '✖')
        this.#output.write(
          `  ${mark} ${step.step.padEnd(40)} ${this.#paint('gray', formatDurationMs(step.ms))}\n`,
        )
        if (step.at === 'failed') this.#output.write(`    ${step.reason}\n`)
        break
      }
      case 'note':
        this.#output.write(`  ${step.text}\n`)
        break
    }
    this.#drawLine()
    if (this.#output.isTTY === true && this.#timer === undefined) {
      this.#timer = setInterval(() => {
        this.#clearLine()
        this.#drawLine()
      }, REFRESH_MS)
      this.#timer.unref()
    }
  }

  end(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#clearLine()
    this.#running.clear()
  }

  #clearLine(): void {
    if (this.#output.isTTY === true) this.#output.write('\r\u001B[K')
  }

  #drawLine(): void {
    if (this.#output.isTTY !== true || this.#running.size === 0) return
    const now = performance.now()
    const text = [...this.#running]
      .map(([step, since]) => `${step} ${Math.round((now - since) / 1_000)} s`)
      .join(' · ')
    this.#output.write(
      this.#paint('gray', `  … ${text}`.slice(0, (this.#output.columns ?? WIDTH_DEFAULT) - 1)),
    )
  }
}

/** Columns as wide as their longest cell; numbers are not aligned, for there are few. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  )
  const line = (cells: readonly string[]): string =>
    `  ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd()
  return [head, ...rows].map((cells) => `${line(cells)}\n`).join('')
}

/** What went wrong and what to do next, for a person. Only a defect shows where in the program it happened. */
export function errorText(error: unknown): string {
  const { message, details } = failureOf(error)
  const next = typeof details['next'] === 'string' ? `  next: ${details['next']}\n` : ''
  const isDefect =
    error instanceof Error && !isPlatformError(error) && !expectedOfClient.has(error.name)
  return `nubo: ${message}\n${next}${isDefect ? `${error.stack ?? ''}\n` : ''}`
}

const expectedOfClient = new Set([
  'ApiError',
  'UnreachableError',
  'OutcomeUnknownError',
  'StreamError',
])
