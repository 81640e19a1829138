/** A command reaches QEMU exactly as it was meant, or is not sent at all. */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { QmpValueError } from './errors.ts'
import { encodeCommand, type QmpObject } from './value.ts'

function encode(given: QmpObject, bytesMax = 1_000): string {
  return encodeCommand({ name: 'cmd', id: 'i', arguments: given }, bytesMax)
}

/** For what the compiler would not let through. */
function encodeAnything(value: unknown): string {
  return encode({ value: value as null })
}

test('a command is one line', () => {
  assert.equal(encode({}), '{"execute":"cmd","id":"i"}\n')
  assert.equal(
    encode({ a: 'x\ny', b: [1, null, { c: true }], d: undefined }),
    '{"execute":"cmd","arguments":{"a":"x\\ny","b":[1,null,{"c":true}]},"id":"i"}\n',
  )
})

test('integers arrive digit by digit up to the largest that is exact', () => {
  assert.match(encode({ size: 2 ** 53 - 1 }), /"size":9007199254740991\}/)
  assert.match(encode({ size: -(2 ** 53) + 1 }), /"size":-9007199254740991\}/)
  assert.match(encode({ ratio: 0.25 }), /"ratio":0.25\}/)
  for (const size of [2 ** 53, -(2 ** 53), 1e21, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => encode({ file: { size } }), {
      name: 'QmpValueError',
      field: 'cmd.file.size',
    })
  }
})

test('what JSON would drop or change is refused, with its place', () => {
  const cycle: unknown[] = []
  cycle.push(cycle)
  for (const value of [
    () => 1,
    Symbol('s'),
    10n,
    new Date(0),
    new Map(),
    [undefined],
    cycle,
    Buffer.from('x'),
    { toJSON: () => 'other' },
  ]) {
    assert.throws(
      () => encodeAnything(value),
      (error) => {
        assert.ok(error instanceof QmpValueError)
        assert.ok(error.field.startsWith('cmd.value'), error.field)
        assert.equal(error.outcome, 'not_sent')
        return true
      },
    )
  }
})

test('text that QEMU cannot read is refused, as value, as key and as name', () => {
  for (const text of ['\ud800', 'a\udc00b', '\ufffe', '\uffff', '\ufdd0', '\u{1ffff}', 'a\0b']) {
    assert.throws(() => encode({ text }), QmpValueError)
    assert.throws(() => encode({ [text]: 1 }), QmpValueError)
    assert.throws(() => encodeCommand({ name: text, id: 'i', arguments: {} }, 99), QmpValueError)
  }
  assert.match(encode({ text: '\u{1f600}é\u007f' }), /😀é/)
})

test('size and depth are limited', () => {
  assert.throws(() => encode({ text: 'é'.repeat(500) }), /longer than 1000 bytes/)
  let deep: QmpObject = {}
  for (let level = 0; level < 65; level += 1) deep = { deep }
  assert.throws(() => encode(deep, 10_000), /nested more than 64/)
})

test('a key __proto__ is sent as a key', () => {
  const given = JSON.parse('{"__proto__":{"a":1}}') as QmpObject
  assert.match(encode(given), /"arguments":\{"__proto__":\{"a":1\}\}/)
})
