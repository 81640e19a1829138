/**
 * Turns node:test's events into a short report: a heading for each suite, a line for each file, failures in full
 * where they happen and once more at the end, and last node:test's own summary, untouched.
 */
import { styleText } from 'node:util'
import { relative } from 'node:path'
import type { TestEvent } from 'node:test/reporters'
import { formatDurationMs } from '@nubo/base'
import type { SuiteName } from './suites.ts'

export interface ReportOptions {
  /** Top of the checkout; paths are shown from there. */
  top: string
  suiteOf: (path: string) => SuiteName | undefined
  colour: boolean
}

interface FileCount {
  passed: number
  failed: number
  skipped: number
}

/** Yields text to print. Consumes the events to their end. */
export async function* report(
  events: AsyncIterable<TestEvent>,
  options: ReportOptions,
): AsyncGenerator<string> {
  const paint = (style: Parameters<typeof styleText>[0], text: string): string =>
    options.colour ? styleText(style, text, { validateStream: false }) : text
  const failures: string[] = []
  const summary: string[] = []
  let suite: SuiteName | undefined
  const headingFor = (file: string): string => {
    const current = options.suiteOf(relative(options.top, file))
    if (current === suite) return ''
    suite = current
    return `\n${paint('bold', suite ?? 'other')}\n`
  }

  for await (const event of events) {
    switch (event.type) {
      case 'test:fail': {
        const file = event.data.file ?? ''
        const { error } = event.data.details
        // A suite or a file fails because something in it did; that something is reported itself.
        if (isCausedByChildren(error)) break
        const text = `${paint('red', '✖')} ${relative(options.top, file)}: ${event.data.name}\n${indent(errorText(error))}\n`
        failures.push(text)
        yield headingFor(file)
        yield text
        break
      }
      case 'test:stderr':
      case 'test:stdout':
        yield paint('gray', event.data.message)
        break
      case 'test:diagnostic':
        if (event.data.nesting === 0 && event.data.file === undefined)
          summary.push(`ℹ ${event.data.message}\n`)
        break
      case 'test:summary': {
        if (event.data.file === undefined) break
        const path = relative(options.top, event.data.file)
        yield headingFor(event.data.file)
        // Its own counts, since a test may be defined in another file (a conformance suite, say).
        const { passed, skipped, tests } = event.data.counts
        const count = { passed, skipped, failed: tests - passed - skipped }
        const mark = count.failed === 0 ? paint('green', '✔') : paint('red', '✖')
        yield `${mark} ${path}  ${countText(count)}  ${paint('gray', formatDurationMs(event.data.duration_ms))}\n`
        break
      }
      default:
    }
  }
  if (failures.length > 0) yield `\n${paint('bold', 'Failed')}\n${failures.join('')}`
  yield `\n${summary.join('')}`
}

function countText({ passed, failed, skipped }: FileCount): string {
  return [
    `${passed} passed`,
    failed > 0 ? `${failed} FAILED` : '',
    skipped > 0 ? `${skipped} skipped` : '',
  ]
    .filter((part) => part !== '')
    .join(', ')
}

function isCausedByChildren(error: unknown): boolean {
  return error instanceof Error && 'failureType' in error && error.failureType === 'subtestsFailed'
}

/** node:test wraps what a test threw; people want the inside. */
function errorText(error: unknown): string {
  const inside = error instanceof Error && error.cause instanceof Error ? error.cause : error
  if (!(inside instanceof Error)) return String(inside)
  const causes = inside.cause instanceof Error ? `\ncaused by ${errorText(inside.cause)}` : ''
  return `${inside.stack ?? inside.message}${causes}`
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '    ')
}
