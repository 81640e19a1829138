import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fields, parseJson, readList, readTime } from './fields.ts'
import { formatTime } from './logs.ts'

test('fields are read by type, and null counts as absent', () => {
  const fields = new Fields(
    { s: 'x', n: 1.5, b: true, l: ['a'], m: { k: 'v' }, o: { s: 'y' }, z: null },
    'thing',
  )
  assert.equal(fields.string('s'), 'x')
  assert.equal(fields.number('n'), 1.5)
  assert.equal(fields.boolean('b'), true)
  assert.deepEqual(fields.strings('l'), ['a'])
  assert.equal(fields.stringMap('m')['k'], 'v')
  assert.equal(fields.object('o').string('s'), 'y')
  assert.equal(fields.optionalString('z'), null)
  assert.equal(fields.optionalNumber('absent'), null)
  assert.deepEqual(fields.strings('z'), [])
})

test('a wrong type is a protocol error that names the field', () => {
  const fields = new Fields({ s: 1, n: 'x', l: [1], m: { k: 1 }, o: [] }, 'thing')
  for (const [read, name] of [
    [() => fields.string('s'), 'thing.s'],
    [() => fields.string('absent'), 'thing.absent'],
    [() => fields.number('n'), 'thing.n'],
    [() => fields.boolean('n'), 'thing.n'],
    [() => fields.strings('l'), 'thing.l'],
    [() => fields.strings('n'), 'thing.n'],
    [() => fields.stringMap('m'), 'thing.m'],
    [() => fields.stringMap('l'), 'thing.l'],
    [() => fields.object('o'), 'thing.o'],
    [() => fields.object('absent').string('deep'), 'thing.absent.deep'],
  ] as const) {
    assert.throws(read, (error: Error) => {
      assert.ok(error.message.startsWith(name), error.message)
      return true
    })
  }
})

test('names that JavaScript knows are not fields', () => {
  assert.throws(() => new Fields({}, 'thing').string('constructor'), { kind: 'protocol' })
  const map = new Fields(JSON.parse('{"m":{"__proto__":"x"}}'), 'thing').stringMap('m')
  assert.equal(map['__proto__'], 'x')
  assert.equal(Object.getPrototypeOf(map), null)
})

test('a list answer must be a list; null is an empty one', () => {
  assert.deepEqual(
    readList(null, 'images', (fields) => fields.string('Id')),
    [],
  )
  assert.deepEqual(
    readList([{ Id: 'a' }], 'images', (fields) => fields.string('Id')),
    ['a'],
  )
  assert.throws(() => readList({}, 'images', () => 1), { kind: 'protocol' })
  assert.throws(() => readList([1], 'images', () => 1), {
    message: 'images[0]: expected an object',
  })
})

test('JSON that is none is a protocol error', () => {
  assert.throws(() => parseJson('<html>', '/info'), { kind: 'protocol' })
})

test('times keep their fraction, and the zero time is none', () => {
  assert.equal(readTime('0001-01-01T00:00:00Z', 't'), null)
  assert.equal(readTime('2026-01-02T03:04:05Z', 't'), Date.UTC(2026, 0, 2, 3, 4, 5))
  assert.equal(readTime('2026-01-02T03:04:05.25Z', 't'), Date.UTC(2026, 0, 2, 3, 4, 5, 250))
  assert.equal(readTime('2026-01-02T03:04:05.5+01:00', 't'), Date.UTC(2026, 0, 2, 2, 4, 5, 500))
  const fine = readTime('1970-01-01T00:00:00.123456789Z', 't') ?? 0
  assert.ok(Math.abs(fine - 123.456789) < 1e-9)
  assert.throws(() => readTime('yesterday', 't'), { kind: 'protocol' })
})

test('times are sent in seconds with nine decimals', () => {
  assert.equal(formatTime(0), '0.000000000')
  assert.equal(formatTime(1_500), '1.500000000')
  assert.equal(formatTime(123.456789), '0.123456789')
  assert.equal(formatTime(1_999.9999999), '1.999999999')
})
