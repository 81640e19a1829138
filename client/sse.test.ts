import assert from 'node:assert/strict'
import { test } from 'node:test'
import { integerBelow, seededRandom } from '@nubo/base'
import { ApiError, ContractError } from './errors.ts'
import { SSE_EVENT_CHARS_MAX, SseParser, type ServerSentEvent } from './sse.ts'
import { parseEvent } from './watch.ts'

function parseAll(pieces: string[]): ServerSentEvent[] {
  const parser = new SseParser()
  return pieces.flatMap((piece) => parser.push(piece))
}

test('fields, comments, several data lines and all three line ends', () => {
  const text =
    '\uFEFF: hello\n\nid: 1\nevent: change\ndata: a\ndata:b\n\n' +
    'data: c\r\nignored: x\r\n\r\ndata\rid: 2\r\revent: only\n\n'
  assert.deepEqual(parseAll([text]), [
    { event: 'change', data: 'a\nb', id: '1' },
    { event: '', data: 'c', id: '1' },
    { event: '', data: '', id: '2' },
  ])
})

test('any cutting of the text gives the same events', () => {
  const text =
    ': c\r\n\r\nid: 1\r\nevent: change\r\ndata: {"a":1}\r\n\r\ndata: x\n\ndata: y\r\rdata: z\n\n'
  const whole = parseAll([text])
  assert.equal(whole.length, 4)
  assert.deepEqual(parseAll(text.split('')), whole)
  const random = seededRandom(7)
  for (let round = 0; round < 300; round++) {
    const pieces: string[] = []
    for (let at = 0; at < text.length;) {
      const length = 1 + integerBelow(random, 9)
      pieces.push(text.slice(at, at + length))
      at += length
    }
    assert.deepEqual(parseAll(pieces), whole)
  }
})

test('an event without end is refused at the limit', () => {
  const parser = new SseParser()
  const line = `data: ${'x'.repeat(65_536)}\n`
  assert.throws(() => {
    for (let i = 0; i <= SSE_EVENT_CHARS_MAX / 65_536; i++) parser.push(line)
  }, ContractError)
  assert.throws(() => new SseParser().push('x'.repeat(SSE_EVENT_CHARS_MAX + 1)), ContractError)
})

test('fuzz: flipped and cut events give an event, a refusal or a contract error, nothing else', () => {
  const event = { type: 'change', revision: 3, kind: 'set', id: 'x', object: { name: 'web' } }
  const text = `id: 3\nevent: change\ndata: ${JSON.stringify(event)}\n\n`
  const random = seededRandom(11)
  let events = 0
  for (let round = 0; round < 3_000; round++) {
    const chars = text.split('')
    for (let flips = integerBelow(random, 4); flips >= 0; flips--) {
      chars[integerBelow(random, chars.length)] = String.fromCharCode(integerBelow(random, 256))
    }
    const cut = chars
      .join('')
      .slice(0, integerBelow(random, 3) === 0 ? integerBelow(random, 90) : 200)
    try {
      for (const { event: kind, data } of new SseParser().push(`${cut}\n\n`)) {
        parseEvent(kind, data)
        events++
      }
    } catch (error) {
      assert.ok(error instanceof ContractError || error instanceof ApiError, String(error))
    }
  }
  assert.ok(events > 100)
})

test('an error event is thrown as what it says', () => {
  const refusal = { code: 'RESYNC', message: 'too far back', details: {}, requestId: 'r' }
  assert.throws(
    () => parseEvent('error', JSON.stringify(refusal)),
    (error) => error instanceof ApiError && error.code === 'RESYNC',
  )
})
