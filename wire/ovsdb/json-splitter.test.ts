import assert from 'node:assert/strict'
import { test } from 'node:test'

import { OvsdbError } from './errors.ts'
import { JsonSplitter } from './json-splitter.ts'
import { below, seededRandom } from './testing/random.ts'

const limits = { messageBytesMax: 1_000, depthMax: 8 }

function split(chunks: readonly (Buffer | string)[], within = limits): unknown[] {
  const splitter = new JsonSplitter(within)
  const objects: unknown[] = []
  for (const chunk of chunks) splitter.push(Buffer.from(chunk), (object) => objects.push(object))
  return objects
}

const isProtocolError = (error: unknown): boolean =>
  error instanceof OvsdbError && error.kind === 'protocol'

const TRICKY = [
  { a: '{"}]' },
  { 'b\\"{': ['\\', '"', '\u00e9\u{1f600}', '\n'] },
  {},
  { c: { d: [[], {}] } },
]

test('objects come out the same however the stream is cut', () => {
  const bytes = Buffer.from(TRICKY.map((object) => JSON.stringify(object)).join(''))
  for (let size = 1; size <= bytes.length; size += 1) {
    const chunks: Buffer[] = []
    for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size))
    assert.deepEqual(split(chunks), TRICKY)
  }
})

test('white space between objects means nothing', () => {
  assert.deepEqual(split([' {"a":1}\r\n\t', '{"b":2} ']), [{ a: 1 }, { b: 2 }])
})

test('an unfinished object is counted and not handed over', () => {
  const splitter = new JsonSplitter(limits)
  splitter.push(Buffer.from('{}{"a":'), () => undefined)
  assert.equal(splitter.partialBytes, 5)
})

test('what is no object is refused', () => {
  for (const text of ['x', '[1]', '1', '"a"', '{}}', '{]', '{"a" 1}', '{"a":1]', 'null'])
    assert.throws(() => split([text]), isProtocolError, text)
})

test('bytes that are no UTF-8 are refused', () => {
  const bytes = Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff, 0xc3]), Buffer.from('"}')])
  assert.throws(() => split([bytes]), isProtocolError)
})

test('the limits of size and depth hold, also across chunks', () => {
  const large = `{"a":"${'x'.repeat(1_000)}"}`
  assert.throws(() => split([large]), isProtocolError)
  assert.throws(() => split(large.split('')), isProtocolError)
  assert.throws(() => split([`{"a":${'['.repeat(8)}`]), isProtocolError)
  assert.equal(split([`{"a":${'['.repeat(7)}${']'.repeat(7)}}`]).length, 1)
  assert.throws(() => split([`{"a":${'['.repeat(1_000_000)}`]), isProtocolError)
})

test('truncated and flipped input gives objects or a typed error, never anything else', () => {
  const random = seededRandom(7)
  const whole = Buffer.from(TRICKY.map((object) => JSON.stringify(object)).join(''))
  for (let round = 0; round < 3_000; round += 1) {
    const bytes = Buffer.from(whole.subarray(0, 1 + below(random, whole.length)))
    for (let flips = below(random, 4); flips > 0; flips -= 1) {
      const at = below(random, bytes.length)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << below(random, 8))
    }
    try {
      split([bytes])
    } catch (error) {
      assert.ok(isProtocolError(error), `seed 7 round ${round}: ${String(error)}`)
    }
  }
})
