import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PlatformError } from '@nubo/base'
import { silentLog } from '@nubo/runtime/process'
import { emptySetMemory, withContainer } from '../plan/set-memory.ts'
import { MemoryDisk, type DiskChange } from '../wanted/disk.ts'
import { SetMemories } from './set-memories.ts'

class CountingDisk extends MemoryDisk {
  writes = 0
  isFull = false

  override write(changes: readonly DiskChange[]): void {
    if (this.isFull) throw new PlatformError('HOST_DISK_FULL', {})
    this.writes += 1
    super.write(changes)
  }
}

test('restarts and what is done are remembered over a restart of the agent, and nothing else is written', () => {
  const disk = new CountingDisk()
  const memories = new SetMemories({ disk, log: silentLog })
  const fresh = { ...emptySetMemory, incarnation: '1 hash' }
  memories.keep('s', fresh)
  memories.keep('s', withContainer(fresh, 'main', { failuresInRow: 1 }))
  assert.equal(disk.writes, 0)
  const counted = withContainer(fresh, 'main', { restarts: 2, failuresInRow: 1, notBeforeMs: 7 })
  memories.keep('s', counted)
  memories.keep('s', withContainer(counted, 'main', { notBeforeMs: 9 }))
  assert.equal(disk.writes, 1)
  const recalled = new SetMemories({ disk, log: silentLog }).recall('s')
  assert.equal(recalled.incarnation, '1 hash')
  assert.equal(recalled.containers.get('main')?.restarts, 2)
  assert.equal(recalled.containers.get('main')?.notBeforeMs, 0)
  memories.forget('s')
  assert.deepEqual(new SetMemories({ disk, log: silentLog }).recall('s'), emptySetMemory)
})

test('a record that cannot be read is no memory', () => {
  const disk = new MemoryDisk()
  disk.write([
    { type: 'put', kind: 'set-memory', key: 'a', value: '{' },
    { type: 'put', kind: 'set-memory', key: 'b', value: '{"version":9}' },
  ])
  const memories = new SetMemories({ disk, log: silentLog })
  assert.deepEqual(memories.recall('a'), emptySetMemory)
  assert.deepEqual(memories.recall('b'), emptySetMemory)
})

test('a full disk costs only what is remembered over a restart, until there is room again', () => {
  const disk = new CountingDisk()
  const memories = new SetMemories({ disk, log: silentLog })
  const fresh = { ...emptySetMemory, incarnation: '1 hash' }
  const counted = withContainer(fresh, 'main', { restarts: 2 })
  const restarts = (): number | undefined =>
    new SetMemories({ disk, log: silentLog }).recall('s').containers.get('main')?.restarts
  disk.isFull = true
  memories.keep('s', counted)
  assert.equal(restarts(), undefined)
  disk.isFull = false
  memories.keep('s', counted)
  assert.equal(restarts(), 2)
  disk.isFull = true
  memories.forget('s')
  assert.deepEqual(memories.recall('s'), emptySetMemory)
})
