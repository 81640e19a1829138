import assert from 'node:assert/strict'
import { test } from 'node:test'
import { emptySetMemory, withContainer } from '../plan/set-memory.ts'
import { MemoryDisk, type DiskChange } from '../wanted/disk.ts'
import { SetMemories } from './set-memories.ts'

class CountingDisk extends MemoryDisk {
  writes = 0

  override write(changes: readonly DiskChange[]): void {
    this.writes += 1
    super.write(changes)
  }
}

test('restarts and what is done are remembered over a restart of the agent, and nothing else is written', () => {
  const disk = new CountingDisk()
  const memories = new SetMemories(disk)
  const fresh = { ...emptySetMemory, incarnation: '1 hash' }
  memories.keep('s', fresh)
  memories.keep('s', withContainer(fresh, 'main', { failuresInRow: 1 }))
  assert.equal(disk.writes, 0)
  const counted = withContainer(fresh, 'main', { restarts: 2, failuresInRow: 1, notBeforeMs: 7 })
  memories.keep('s', counted)
  memories.keep('s', withContainer(counted, 'main', { notBeforeMs: 9 }))
  assert.equal(disk.writes, 1)
  const recalled = new SetMemories(disk).recall('s')
  assert.equal(recalled.incarnation, '1 hash')
  assert.equal(recalled.containers.get('main')?.restarts, 2)
  assert.equal(recalled.containers.get('main')?.notBeforeMs, 0)
  memories.forget('s')
  assert.deepEqual(new SetMemories(disk).recall('s'), emptySetMemory)
})

test('a record that cannot be read is no memory', () => {
  const disk = new MemoryDisk()
  disk.write([
    { type: 'put', kind: 'set-memory', key: 'a', value: '{' },
    { type: 'put', kind: 'set-memory', key: 'b', value: '{"version":9}' },
  ])
  const memories = new SetMemories(disk)
  assert.deepEqual(memories.recall('a'), emptySetMemory)
  assert.deepEqual(memories.recall('b'), emptySetMemory)
})
