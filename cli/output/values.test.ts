import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SAMPLE_TIME_MS, testClock } from '@nubo/client/testing'
import { age, cutToWidth, fromNow, parseDuration } from './values.ts'

test('ages are rounded down and never negative', () => {
  const clock = { ...testClock(), nowMs: () => SAMPLE_TIME_MS }
  const ages: [number, string][] = [
    [-5_000, '0 s'],
    [45_999, '45 s'],
    [119_000, '119 s'],
    [120_000, '2 min'],
    [3 * 60_000 + 59_000, '3 min'],
    [119 * 60_000, '119 min'],
    [5 * 3_600_000, '5 h'],
    [12 * 86_400_000, '12 d'],
  ]
  for (const [ms, text] of ages) assert.equal(age(clock, SAMPLE_TIME_MS - ms), text)
  assert.equal(fromNow(clock, SAMPLE_TIME_MS + 900_000), 'in 15 min')
  assert.equal(fromNow(clock, SAMPLE_TIME_MS - 900_000), '15 min ago')
})

test('durations', () => {
  const good = {
    '30s': 30_000,
    '10m': 600_000,
    '10min': 600_000,
    '2h': 7_200_000,
    '1d': 86_400_000,
  }
  for (const [text, ms] of Object.entries(good)) assert.equal(parseDuration(text), ms)
  for (const text of ['', '5', 'm', '-5m', '1.5h', '5 weeks', '99999999999s']) {
    assert.equal(parseDuration(text), undefined, text)
  }
})

test('cutting keeps whole characters and leaves room for the dots', () => {
  assert.equal(cutToWidth('abcdef', 6), 'abcdef')
  assert.equal(cutToWidth('abcdef', 5), 'abcd…')
  assert.equal(cutToWidth('ab cdef', 4), 'ab…')
  assert.equal(cutToWidth('容器組', 5), '容器…')
})
