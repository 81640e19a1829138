import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PlatformError } from '@nubo/base'
import { errorText, ProgressPrinter, table } from './terminal.ts'

function paper(isTTY: boolean) {
  const texts: string[] = []
  return { isTTY, columns: 40, write: (text: string) => texts.push(text), texts }
}

describe('ProgressPrinter', () => {
  it('prints to a file one line for each step that ended, with time and reason, and nothing else', () => {
    const output = paper(false)
    const printer = new ProgressPrinter(output, false)
    printer.tell({ at: 'started', step: 'database' })
    printer.tell({ at: 'done', step: 'database', ms: 1_234 })
    printer.tell({ at: 'failed', step: 'servers', ms: 5, reason: 'the port is taken' })
    printer.tell({ at: 'note', text: 'Removed something.' })
    printer.end()
    assert.match(
      output.texts.join(''),
      /^ {2}✔ database +1\.2 s\n {2}✖ servers +5 ms\n {4}the port is taken\n {2}Removed something\.\n$/,
    )
  })

  it('shows on a terminal what is under way, within its width, and takes it away at the end', () => {
    const output = paper(true)
    const printer = new ProgressPrinter(output, true)
    printer.tell({ at: 'started', step: 'a step with a rather long name' })
    printer.tell({ at: 'started', step: 'another one' })
    const line = output.texts.at(-1) ?? ''
    assert.match(line, /… a step with a rather long name 0 s/)
    assert.ok(line.length < 40)
    printer.end()
    assert.equal(output.texts.at(-1), '\r\u001B[K')
  })
})

describe('table', () => {
  it('aligns columns and leaves no blanks at the ends of lines', () => {
    assert.equal(
      table(
        ['NAME', 'STATE'],
        [
          ['a-long-name', 'on'],
          ['b', ''],
        ],
      ),
      '  NAME         STATE\n  a-long-name  on\n  b\n',
    )
  })
})

describe('errorText', () => {
  it('says what went wrong and what to do next, and shows the insides only of a defect', () => {
    const expected = new PlatformError(
      'PORT_TAKEN',
      { next: 'stop it' },
      { message: 'Port 1 is taken.' },
    )
    assert.equal(errorText(expected), 'nubo: Port 1 is taken.\n  next: stop it\n')
    assert.match(errorText(new TypeError('x is undefined')), /^nubo: x is undefined\n.*at /s)
  })
})
