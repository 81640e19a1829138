// Proves that ordered rows are what sorting all of them would give, after any changes, from anywhere, both ways.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { integerBelow, pick, seededRandom } from '@nubo/base'
import { Collection } from './collection.ts'
import { OrderedRows } from './ordered-rows.ts'

interface Thing {
  readonly id: string
  readonly group: string | null
  readonly tags: readonly string[]
}

const idOf = (n: number): string => String(n).padStart(6, '0')

test('after random changes the order is that of a sort, forwards, backwards, and from any id', () => {
  const random = seededRandom(7)
  for (const [ids, changes] of [
    [40, 400],
    [3_000, 6_000],
  ] as const) {
    const rows = new OrderedRows<{ id: string; version: number }>()
    const model = new Map<string, { id: string; version: number }>()
    for (let version = 0; version < changes; version++) {
      const id = idOf(integerBelow(random, ids))
      if (integerBelow(random, 3) === 0) {
        rows.remove(id)
        model.delete(id)
      } else {
        rows.put({ id, version })
        model.set(id, { id, version })
      }
      if (version % (changes / 20) !== 0) continue
      const sorted = [...model.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1))
      assert.equal(rows.size, sorted.length)
      assert.deepEqual(rows.toArray(), sorted)
      // Also ids that are gone, below all and above all.
      for (const after of [undefined, '', idOf(integerBelow(random, ids)), idOf(ids), 'x']) {
        assert.deepEqual(
          [...rows.in({ after })],
          sorted.filter((row) => after === undefined || row.id > after),
        )
        assert.deepEqual(
          [...rows.in({ after, newestFirst: true })],
          sorted.filter((row) => after === undefined || row.id < after).toReversed(),
        )
      }
    }
  }
})

test('every index of a collection finds what a scan finds, whatever rows come, change and go', () => {
  const random = seededRandom(11)
  const things = new Collection<Thing, 'group' | 'tag'>({
    group: (row) => row.group,
    tag: (row) => row.tags,
  })
  const model = new Map<string, Thing>()
  const groups = ['a', 'b', null]
  const any = <Value>(values: readonly Value[]): Value => {
    // proof: no list here is empty
    return pick(random, values) as Value
  }
  for (let step = 0; step < 3_000; step++) {
    const id = idOf(integerBelow(random, 120))
    const before = model.get(id)
    if (integerBelow(random, 3) === 0) {
      assert.equal(things.remove(id), before)
      model.delete(id)
    } else {
      const tags = Array.from({ length: integerBelow(random, 3) }, () => any(['x', 'y']))
      const row = { id, group: any(groups), tags }
      assert.equal(things.put(row), before)
      model.set(id, row)
    }
    const sorted = [...model.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1))
    assert.deepEqual([...things.in({})], sorted)
    for (const key of ['a', 'b', 'x']) {
      const inGroup = sorted.filter(({ group }) => group === key)
      const tagged = sorted.filter(({ tags }) => tags.includes(key))
      assert.deepEqual(things.by('group', key), inGroup)
      assert.deepEqual([...things.byIn('tag', key, { newestFirst: true })], tagged.toReversed())
      assert.equal(things.countBy('group', key), inGroup.length)
      assert.equal(things.countBy('tag', key), tagged.length)
    }
  }
  assert.deepEqual(things.by('group', null), [], 'what has no key is not found by it')
})
