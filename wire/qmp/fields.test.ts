/** Fields are read by type, a wrong one is an error with its place, and integers are exact or refused. */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { QmpReturnError } from './errors.ts'
import { Fields, readInteger, readList } from './fields.ts'

test('fields are read by type', () => {
  const fields = new Fields(
    { s: 'x', n: -5, size: 3, b: true, l: [{ s: 'y' }], t: ['a'], o: { s: 'z' }, f: 1.5 },
    'thing',
  )
  assert.equal(fields.string('s'), 'x')
  assert.equal(fields.integer('n'), -5)
  assert.equal(fields.size('size'), 3)
  assert.equal(fields.counter('f'), 1.5)
  assert.equal(fields.boolean('b'), true)
  assert.deepEqual(
    fields.list('l', (item) => item.string('s')),
    ['y'],
  )
  assert.deepEqual(fields.strings('t'), ['a'])
  assert.equal(fields.object('o').string('s'), 'z')
  assert.equal(fields.oneOf('s', ['x', 'y']), 'x')
  assert.equal(fields.oneOf('s', ['y']), 'other')
  for (const absent of [
    fields.optionalString('no'),
    fields.optionalInteger('no'),
    fields.optionalSize('no'),
    fields.optionalCounter('no'),
    fields.optionalBoolean('no'),
    fields.optionalObject('no'),
  ]) {
    assert.equal(absent, null)
  }
})

test('a wrong type names the field', () => {
  const fields = new Fields({ s: 1, n: 'x', f: 1.5, neg: -1, nul: null, l: [1], o: [] }, 'thing')
  for (const [read, field] of [
    [() => fields.string('s'), 'thing.s'],
    [() => fields.string('absent'), 'thing.absent'],
    [() => fields.optionalString('nul'), 'thing.nul'],
    [() => fields.integer('n'), 'thing.n'],
    [() => fields.integer('f'), 'thing.f'],
    [() => fields.size('neg'), 'thing.neg'],
    [() => fields.counter('neg'), 'thing.neg'],
    [() => fields.boolean('n'), 'thing.n'],
    [() => fields.strings('l'), 'thing.l'],
    [() => fields.strings('n'), 'thing.n'],
    [() => fields.list('l', () => 1), 'thing.l[0]'],
    [() => fields.list('n', () => 1), 'thing.n'],
    [() => fields.object('o'), 'thing.o'],
    [() => fields.string('constructor'), 'thing.constructor'],
    [() => fields.object('__proto__'), 'thing.__proto__'],
    [() => readList({}, 'list', () => 1), 'list'],
    [() => new Fields(null, 'nothing'), 'nothing'],
  ] as const) {
    assert.throws(read, (error) => {
      assert.ok(error instanceof QmpReturnError)
      assert.equal(error.field, field)
      assert.equal(error.outcome, 'done')
      return true
    })
  }
})

test('an integer that lost digits is refused, a counter is rounded', () => {
  // 2^53 + 1 and 2^64 - 1, as QEMU would print them.
  for (const text of ['9007199254740992', '9007199254740993', '18446744073709551615', '1e400']) {
    const fields = new Fields(JSON.parse(`{"v":${text}}`), 'image')
    assert.throws(() => fields.integer('v'), { name: 'QmpReturnError', field: 'image.v' })
    assert.throws(() => fields.size('v'), /beyond 2\^53 - 1/)
  }
  assert.equal(readInteger(9_007_199_254_740_991, 'v'), 2 ** 53 - 1)
  assert.equal(new Fields({ v: 2 ** 60 + 1 }, 'stats').counter('v'), 2 ** 60)
  assert.throws(() => new Fields(JSON.parse('{"v":1e400}'), 'stats').counter('v'), QmpReturnError)
})
