import assert from 'node:assert/strict'
import { test } from 'node:test'

import { OvsdbError } from './errors.ts'
import {
  applyDifference,
  decodeValue,
  defaultValue,
  encodeTyped,
  isScalar,
  parseSchema,
  type AtomKind,
  type ColumnType,
} from './schema.ts'
import { below, seededRandom } from './testing/random.ts'
import { SCHEMA_REPLY } from './testing/schema.ts'
import { isUuid, sameValue, toUuid, type Atom, type Value } from './value.ts'

const KINDS: readonly AtomKind[] = ['integer', 'real', 'boolean', 'string', 'uuid']

type Random = () => number

function pick<T>(random: Random, items: readonly T[]): T {
  const item = items[below(random, items.length)]
  if (item === undefined) throw new Error('nothing to pick from')
  return item
}

function someType(random: Random): ColumnType {
  const key = pick(random, KINDS)
  const shape = below(random, 5)
  if (shape === 0) return { key, value: undefined, min: 1, max: 1 }
  if (shape === 1) return { key, value: undefined, min: 0, max: 1 }
  if (shape === 2) return { key, value: undefined, min: 0, max: Infinity }
  return { key, value: pick(random, KINDS), min: 0, max: shape === 3 ? 1 : 20 }
}

function someAtom(random: Random, kind: AtomKind): Atom {
  switch (kind) {
    case 'integer':
      return below(random, 2 ** 40) - 2 ** 39
    case 'real':
      return random() * 1_000 - 500
    case 'boolean':
      return random() < 0.5
    case 'string':
      // 'set', 'uuid' and the like must not be taken for the markers of the wire form.
      return pick(random, ['', 'set', 'map', 'uuid', 'named-uuid', '{"', 'é😀', '\u0000', 'x'])
    case 'uuid':
      return toUuid(
        `00000000-0000-4000-8000-${below(random, 2 ** 40)
          .toString(16)
          .padStart(12, '0')}`,
      )
  }
}

function someValue(random: Random, type: ColumnType): Value {
  if (isScalar(type)) return someAtom(random, type.key)
  const count = below(random, Math.min(type.max, 5) + 1)
  const keys = Array.from({ length: count }, () => someAtom(random, type.key))
  const { value } = type
  if (value === undefined) return new Set(keys)
  return new Map(keys.map((key) => [key, someAtom(random, value)]))
}

/** The difference as ovsdb-server(7) 4.1.14 defines it, made here from both values. */
function difference(type: ColumnType, old: Value, next: Value): Value {
  if (type.max <= 1) return next
  if (old instanceof Set && next instanceof Set) {
    const one = [...old].filter((item) => !next.has(item))
    return new Set([...one, ...[...next].filter((item) => !old.has(item))])
  }
  assert.ok(old instanceof Map && next instanceof Map)
  const pairs = new Map<Atom, Atom>()
  for (const [key, item] of old) if (!next.has(key)) pairs.set(key, item)
  for (const [key, item] of next) if (old.get(key) !== item) pairs.set(key, item)
  return pairs
}

test('every value survives the way to the wire and back', () => {
  const random = seededRandom(1)
  for (let round = 0; round < 3_000; round += 1) {
    const type = someType(random)
    const value = someValue(random, type)
    const wire: unknown = JSON.parse(JSON.stringify(encodeTyped(type, value)))
    const back = decodeValue(type, wire)
    assert.ok(sameValue(back, value), `seed 1 round ${round}: ${JSON.stringify(wire)}`)
  }
})

test('old value and difference give the new value', () => {
  const random = seededRandom(2)
  for (let round = 0; round < 3_000; round += 1) {
    const type = someType(random)
    const old = someValue(random, type)
    const next = someValue(random, type)
    const found = applyDifference(type, old, difference(type, old, next))
    assert.ok(sameValue(found, next), `seed 2 round ${round}`)
  }
})

test('a schema is read with scalar, optional, set and map columns', () => {
  const columns = parseSchema(SCHEMA_REPLY).tables.get('Thing')
  assert.deepEqual(columns?.get('name'), { key: 'string', value: undefined, min: 1, max: 1 })
  assert.deepEqual(columns?.get('speed'), { key: 'integer', value: undefined, min: 0, max: 1 })
  assert.deepEqual(columns?.get('queues'), { key: 'integer', value: 'uuid', min: 0, max: Infinity })
  assert.deepEqual(columns?.get('_uuid'), { key: 'uuid', value: undefined, min: 1, max: 1 })
})

test('columns that an insert leaves out have the default of their type', () => {
  const columns = parseSchema(SCHEMA_REPLY).tables.get('Thing')
  const defaultOf = (name: string): Value => {
    const type = columns?.get(name)
    assert.ok(type)
    return defaultValue(type)
  }
  assert.equal(defaultOf('name'), '')
  assert.equal(defaultOf('size'), 0)
  assert.equal(defaultOf('on'), false)
  assert.ok(isUuid(defaultOf('owner')))
  assert.deepEqual(defaultOf('speed'), new Set())
  assert.deepEqual(defaultOf('labels'), new Map())
})

test('values of another type than the column are refused', () => {
  const integer: ColumnType = { key: 'integer', value: undefined, min: 1, max: 1 }
  const uuids: ColumnType = { key: 'uuid', value: undefined, min: 0, max: Infinity }
  const map: ColumnType = { key: 'string', value: 'string', min: 0, max: Infinity }
  const bad: readonly [ColumnType, unknown][] = [
    [integer, 'x'],
    [integer, 1.5],
    [integer, null],
    [integer, ['set', [1]]],
    [uuids, ['uuid', 'zz']],
    [uuids, ['set', ['x']]],
    [uuids, ['set']],
    [uuids, 'x'],
    [map, ['map', [['a']]]],
    [map, ['set', []]],
    [map, ['map', [['a', 1]]]],
    [map, {}],
  ]
  for (const [type, json] of bad) {
    assert.throws(
      () => decodeValue(type, json),
      (error) => error instanceof OvsdbError && error.kind === 'protocol',
      JSON.stringify(json),
    )
  }
})

test('what is no schema is refused', () => {
  const bad: readonly unknown[] = [
    null,
    [],
    {},
    { name: 'x' },
    { name: 'x', tables: { T: {} } },
    { name: 'x', tables: { T: { columns: { c: { type: 'what' } } } } },
    { name: 'x', tables: { T: { columns: { c: { type: { key: 'string', max: 'many' } } } } } },
  ]
  for (const json of bad) {
    assert.throws(() => parseSchema(json), OvsdbError, JSON.stringify(json))
  }
})
