import assert from 'node:assert/strict'
import { test } from 'node:test'
import { interleave, isKept, median, medianRatio, quantile, verdictTable } from './measure.ts'

test('quantiles fall between neighbours, and none have none', () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([4, 1, 3, 2]), 2.5)
  assert.equal(quantile([0, 10], 0.9), 9)
  assert.ok(Number.isNaN(median([])))
})

test('a ratio is taken round by round, so that load that hits a whole round does not count', () => {
  assert.equal(medianRatio([2, 200, 20], [1, 100, 10]), 2)
  assert.throws(() => medianRatio([1], []), RangeError)
})

test('each contender runs once per round, in turn first, after one round that does not count', async () => {
  const order: string[] = []
  let count = 0
  const contender = (name: string) => async (): Promise<number> => {
    order.push(name)
    count += 1
    return count
  }
  const found = await interleave({ a: contender('a'), b: contender('b') }, { rounds: 5 })
  assert.equal(order.join(''), 'ab' + 'ab' + 'ba' + 'ab' + 'ba' + 'ab')
  assert.deepEqual(found.a, [3, 6, 7, 10, 11])
  assert.deepEqual(found.b, [4, 5, 8, 9, 12])
  await assert.rejects(interleave({ a: contender('a') }, { rounds: 4 }), RangeError)
})

test('a promise is kept at its limit and missed beyond it, and a missing number is a missed one', () => {
  const verdict = { what: 'x', unit: 'ms', value: 10 } as const
  assert.equal(isKept({ ...verdict, goal: { atMost: 10 } }), true)
  assert.equal(isKept({ ...verdict, goal: { atMost: 9 } }), false)
  assert.equal(isKept({ ...verdict, goal: { atLeast: 10 } }), true)
  assert.equal(isKept({ ...verdict, goal: { atLeast: 11 } }), false)
  assert.equal(isKept({ ...verdict, value: Number.NaN, goal: { atMost: 9 } }), false)
})

test('the table says which promise was missed', () => {
  const table = verdictTable([
    { what: 'fast', unit: 'ms', value: 1, goal: { atMost: 2 }, rounds: [1, 1.5] },
    { what: 'slow', unit: 'ms', value: 3, goal: { atMost: 2 } },
  ])
  assert.match(table, /fast +1\.00 +ms +≤ 2 +kept +1\.00 – 1\.50 \(2\)/)
  assert.match(table, /slow +3\.00 +ms +≤ 2 +MISSED/)
})
