import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { shareOf } from './capacity.ts'

describe('shareOf', () => {
  const machine = { cores: 2, memoryBytes: 24 * 2 ** 30, diskFreeBytes: 90 * 2 ** 30 }

  it('divides memory and disk among the hosts and leaves room for the cloud itself', () => {
    const { capacity } = shareOf(machine, 3)
    assert.equal(capacity.memoryBytes, 7.5 * 2 ** 30)
    assert.equal(capacity.diskBytes, 15 * 2 ** 30)
    assert.equal(capacity.cpuMillis, 2_000)
  })

  it('never tells a host less than its reserve', () => {
    const { capacity, reserve } = shareOf({ ...machine, memoryBytes: 2 ** 30 }, 50)
    assert.ok(capacity.memoryBytes > reserve.memoryBytes)
  })
})
