/** Lines come out whole however the stream is cut, within their limit, and in time that grows with the bytes alone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { QmpProtocolError } from './errors.ts'
import { LineSplitter } from './line-splitter.ts'
import { below, seededRandom } from './testing/random.ts'

function split(chunks: readonly (Buffer | string)[], lineBytesMax = 100): string[] {
  const splitter = new LineSplitter(lineBytesMax)
  const lines: string[] = []
  for (const chunk of chunks) splitter.push(Buffer.from(chunk), (line) => lines.push(String(line)))
  return lines
}

const LINES = ['{"a":1}', '', '{"é":"😀"}', 'x'.repeat(100), '\r', 'end']

test('lines come out the same however the stream is cut', () => {
  const bytes = Buffer.from(LINES.map((line) => `${line}\r\n`).join(''))
  for (let size = 1; size <= bytes.length; size += 1) {
    const chunks: Buffer[] = []
    for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size))
    assert.deepEqual(split(chunks, 101), LINES, `chunks of ${size}`)
  }
})

test('LF alone ends a line as well', () => {
  assert.deepEqual(split(['a\nb\r\n\n']), ['a', 'b', ''])
})

test('a line that has not ended is counted and not handed over', () => {
  const splitter = new LineSplitter(100)
  splitter.push(Buffer.from('a\nbcd'), () => undefined)
  assert.equal(splitter.partialBytes, 3)
})

test('the limit holds for lines with and without an end, whole and in pieces', () => {
  for (const chunks of [
    ['x'.repeat(101)],
    [`${'x'.repeat(101)}\n`],
    'x'.repeat(101).split(''),
    ['a\n', 'x'.repeat(50), 'x'.repeat(51)],
  ]) {
    assert.throws(() => split(chunks), QmpProtocolError)
  }
  assert.deepEqual(split([`${'x'.repeat(100)}\n`]), ['x'.repeat(100)])
})

test('a large line that arrives byte by byte is put together without copying it again and again', () => {
  // With a copy per chunk this would move 2^21 * 2^20 bytes and never come to an end.
  const bytes = 2 ** 21
  const splitter = new LineSplitter(bytes)
  const byte = Buffer.from('x')
  for (let count = 0; count < bytes; count += 1) splitter.push(byte, () => assert.fail())
  let length = 0
  splitter.push(Buffer.from('\nnext\n'), (line) => (length ||= line.length))
  assert.equal(length, bytes)
})

test('random lines in random chunks come back', () => {
  const random = seededRandom(5)
  for (let round = 0; round < 300; round += 1) {
    const lines = Array.from({ length: below(random, 20) }, () => 'y'.repeat(below(random, 9_000)))
    const bytes = Buffer.from(lines.map((line) => `${line}\r\n`).join(''))
    const chunks: Buffer[] = []
    for (let at = 0; at < bytes.length;) {
      const next = at + 1 + below(random, 12_000)
      chunks.push(bytes.subarray(at, next))
      at = next
    }
    assert.deepEqual(split(chunks, 9_001), lines, `seed 5 round ${round}`)
  }
})
