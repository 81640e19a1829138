import assert from 'node:assert/strict'
import { test } from 'node:test'

import { numberOf, optionalNumberOf, textMapOf, textOf, textsOf, uuidsOf } from './columns.ts'
import { OvsdbError } from './errors.ts'
import { NO_TRANSACTION, Replica, type RowChange } from './replica.ts'
import { parseSchema } from './schema.ts'
import { SCHEMA_REPLY } from './testing/schema.ts'
import { toUuid } from './value.ts'

const A = toUuid('00000000-0000-4000-8000-00000000000a')
const B = toUuid('00000000-0000-4000-8000-00000000000b')
const TABLES = { Thing: ['name', 'size', 'speed', 'tags', 'labels', 'parts'], Part: ['name'] }

interface Watched {
  replica: Replica
  batches: (readonly RowChange[])[]
}

function filled(): Watched {
  const replica = new Replica(TABLES)
  const batches: (readonly RowChange[])[] = []
  replica.adopt(parseSchema(SCHEMA_REPLY))
  replica.begin(
    {
      Thing: {
        [A]: { initial: { name: 'a', speed: 5, tags: ['set', ['x', 'y']] } },
        [B]: { initial: { name: 'b', labels: ['map', [['k', 'v']]] } },
      },
      Part: { [A]: { initial: {} } },
    },
    true,
    'txn-1',
  )
  replica.onChange((changes) => batches.push(changes))
  return { replica, batches }
}

const outOfStep = (error: unknown): boolean =>
  error instanceof OvsdbError && error.kind === 'protocol'

test('the first reply fills the tables, with defaults for what it leaves out', () => {
  const { replica } = filled()
  const row = replica.table('Thing').get(A)
  assert.ok(row)
  assert.equal(textOf(row, 'name'), 'a')
  assert.equal(numberOf(row, 'size'), 0)
  assert.equal(optionalNumberOf(row, 'speed'), 5)
  assert.deepEqual(textsOf(row, 'tags'), new Set(['x', 'y']))
  assert.deepEqual(textMapOf(row, 'labels'), new Map())
  assert.deepEqual(uuidsOf(row, 'parts'), new Set())
  assert.equal(replica.lastTransaction, 'txn-1')
})

test('reading a column as another type, or one that is not replicated, is a typed error', () => {
  const row = filled().replica.table('Thing').get(A)
  assert.ok(row)
  const isValueError = { kind: 'value' }
  assert.throws(() => textOf(row, 'size'), isValueError)
  assert.throws(() => numberOf(row, 'name'), isValueError)
  assert.throws(() => optionalNumberOf(row, 'tags'), isValueError)
  assert.throws(() => textsOf(row, 'labels'), isValueError)
  assert.throws(() => textMapOf(row, 'tags'), isValueError)
  assert.throws(() => textOf(row, 'ratio'), isValueError)
  assert.throws(() => new Replica(TABLES).table('Other'), isValueError)
})

test('an update is one batch with old and new rows', () => {
  const { replica, batches } = filled()
  const oldA = replica.table('Thing').get(A)
  const oldB = replica.table('Thing').get(B)
  replica.update(
    {
      Thing: {
        [A]: { modify: { speed: ['set', []], tags: ['set', ['y', 'z']] } },
        [B]: { delete: null },
      },
      Part: { [B]: { insert: { name: 'p' } } },
    },
    'txn-2',
  )
  const newA = replica.table('Thing').get(A)
  assert.ok(newA)
  assert.deepEqual(textsOf(newA, 'tags'), new Set(['x', 'z']))
  assert.equal(optionalNumberOf(newA, 'speed'), undefined)
  assert.equal(textOf(newA, 'name'), 'a')
  assert.deepEqual(batches, [
    [
      { table: 'Thing', uuid: A, old: oldA, new: newA },
      { table: 'Thing', uuid: B, old: oldB, new: undefined },
      { table: 'Part', uuid: B, old: undefined, new: { name: 'p' } },
    ],
  ])
  assert.ok(oldA)
  assert.deepEqual(textsOf(oldA, 'tags'), new Set(['x', 'y']), 'the old row is untouched')
})

test('a one-element difference of a set comes as the bare atom', () => {
  const { replica } = filled()
  replica.update({ Thing: { [A]: { modify: { tags: 'x' } } } }, 'txn-2')
  const row = replica.table('Thing').get(A)
  assert.ok(row)
  assert.deepEqual(textsOf(row, 'tags'), new Set(['y']))
})

test('a complete reply after a reconnect is told as the difference to what was known', () => {
  const { replica, batches } = filled()
  const keptA = replica.table('Thing').get(A)
  replica.begin(
    {
      Thing: { [A]: { initial: { name: 'a', speed: 5, tags: ['set', ['y', 'x']] } } },
      Part: { [A]: { initial: { name: 'new' } }, [B]: { initial: {} } },
    },
    true,
    'txn-9',
  )
  assert.equal(replica.table('Thing').get(A), keptA, 'an equal row is not replaced')
  assert.deepEqual(
    batches.flat().map(({ table, uuid, old, new: next }) => [table, uuid, !!old, !!next]),
    [
      ['Thing', B, true, false],
      ['Part', A, true, true],
      ['Part', B, false, true],
    ],
  )
})

test('a resumed reply adds to what was known', () => {
  const { replica, batches } = filled()
  replica.begin({ Thing: { [B]: { modify: { size: 3 } } } }, false, 'txn-3')
  assert.equal(replica.table('Thing').size, 2)
  assert.equal(batches.length, 1)
  assert.equal(replica.lastTransaction, 'txn-3')
  replica.begin({}, false, 'txn-3')
  assert.equal(batches.length, 1, 'nothing new is no batch')
})

test('an update that does not fit throws and changes nothing', () => {
  const bad: readonly unknown[] = [
    null,
    [],
    { Other: { [A]: { insert: {} } } },
    { Thing: { nonsense: { insert: {} } } },
    { Thing: { [toUuid('00000000-0000-4000-8000-0000000000ff')]: { modify: { size: 1 } } } },
    { Thing: { [toUuid('00000000-0000-4000-8000-0000000000ff')]: { delete: null } } },
    { Thing: { [A]: { insert: {} } } },
    { Thing: { [A]: { modify: { ratio: 1 } } } },
    { Thing: { [A]: { modify: { size: 'x' } } } },
    { Thing: { [A]: { modify: 5 } } },
    { Thing: { [B]: { delete: null }, [A]: { modify: { __proto__: 1, constructor: 2 } } } },
  ]
  for (const updates of bad) {
    const { replica, batches } = filled()
    assert.throws(() => replica.update(updates, 'txn-2'), outOfStep, JSON.stringify(updates))
    assert.equal(replica.table('Thing').size, 2)
    assert.equal(replica.lastTransaction, 'txn-1')
    assert.equal(batches.length, 0)
  }
})

test('a schema without a wanted column is refused; one with another type starts anew', () => {
  const { replica } = filled()
  assert.throws(() => replica.adopt({ name: 'x', version: undefined, tables: new Map() }), {
    kind: 'value',
    details: 'Thing.name',
  })
  assert.equal(replica.lastTransaction, 'txn-1')
  const changed = structuredClone(SCHEMA_REPLY)
  changed.tables.Part.columns.name.type = 'integer'
  replica.adopt(parseSchema(changed))
  assert.equal(replica.lastTransaction, NO_TRANSACTION)
})

test('a listener that throws is not mistaken for a defect of the server', () => {
  const { replica } = filled()
  replica.onChange(() => {
    throw new OvsdbError('value', { error: 'mine' })
  })
  assert.throws(
    () => replica.update({ Part: { [A]: { modify: { name: 'n' } } } }, 'txn-2'),
    (error) => !(error instanceof OvsdbError),
  )
})

test('a listener that was ended hears nothing more', () => {
  const { replica } = filled()
  let heard = 0
  const end = replica.onChange(() => (heard += 1))
  replica.update({ Part: { [A]: { modify: { name: 'n' } } } }, 'txn-2')
  end()
  replica.update({ Part: { [A]: { modify: { name: 'm' } } } }, 'txn-3')
  assert.equal(heard, 1)
})
