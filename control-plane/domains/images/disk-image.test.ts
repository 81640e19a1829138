import assert from 'node:assert/strict'
import { test } from 'node:test'
import { neededFor } from './disk-image.ts'

const TEBI = 2 ** 40

test('a full disk needs itself and its tables', () => {
  const disk = { virtualBytes: TEBI, storedBytes: TEBI, tableBytes: 2 ** 27 }
  assert.equal(neededFor(disk), TEBI + 2 ** 27)
})

test('an empty one needs next to nothing, however large it is', () => {
  const disk = { virtualBytes: 64 * TEBI, storedBytes: 0, tableBytes: 2 ** 33 }
  assert.equal(neededFor(disk), 2 ** 20)
})

test('what is stored far apart needs a table each', () => {
  const disk = { virtualBytes: 64 * TEBI, storedBytes: 10 * 65_536, tableBytes: 2 ** 33 }
  assert.equal(neededFor(disk), 20 * 65_536 + 2 ** 20)
})
