// Proves that sizes and cores are read as people write them, and nothing else is taken.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newId, isUuid } from './ids.ts'
import { seededRandom } from './random.ts'
import {
  formatBytes,
  formatCpuMillis,
  formatDurationMs,
  parseBytes,
  parseCpuMillis,
} from './units.ts'
import { VirtualClock } from './virtual-clock.ts'

test('sizes', () => {
  assert.equal(parseBytes('64MiB'), 64 * 2 ** 20)
  assert.equal(parseBytes('1.5GB'), 1_500_000_000)
  assert.equal(parseBytes('512'), 512)
  for (const text of ['', '-1', 'MiB', '1 parsec', '1e9', '9999999999TiB'])
    assert.equal(parseBytes(text), undefined, text)
  assert.equal(formatBytes(64 * 2 ** 20), '64 MiB')
  assert.equal(formatBytes(1_000), '1000 B')
})

test('cores', () => {
  assert.equal(parseCpuMillis('0.5'), 500)
  assert.equal(formatCpuMillis(1_500), '1.5')
  for (const text of ['', '-1', 'half', '0.0001'])
    assert.equal(parseCpuMillis(text), undefined, text)
})

test('durations', () => {
  assert.deepEqual([350, 12_345, 600_000, 7_200_000, 172_800_000].map(formatDurationMs), [
    '350 ms',
    '12.3 s',
    '10 min',
    '2 h',
    '2 d',
  ])
})

test('ids are UUIDv7 and carry their time', () => {
  const id = newId<'set'>(new VirtualClock({ startMs: 0x0123456789ab }), seededRandom(3))
  assert.ok(isUuid(id))
  assert.equal(id.slice(0, 15), '01234567-89ab-7')
})
