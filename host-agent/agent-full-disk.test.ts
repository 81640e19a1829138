import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PlatformError } from '@nubo/base'
import { runningRig, sandboxes } from './testing/agent-rig.ts'
import { testId, testSetWithPort } from './testing/wanted.ts'
import { MemoryDisk } from './wanted/disk.ts'

/** A disk that can be full. */
class SmallDisk extends MemoryDisk {
  isFull = false

  override write(changes: Parameters<MemoryDisk['write']>[0]): void {
    if (this.isFull) throw new PlatformError('HOST_DISK_FULL')
    super.write(changes)
  }
}

describe('a full disk of the agent', () => {
  test('keeps a new set from starting, is told as the reason, and leaves what runs alone', async () => {
    const disk = new SmallDisk()
    const rig = await runningRig({ disk })
    const before = rig.host.setHost.sets.get(testId('set', 1))
    disk.isFull = true
    rig.want(testSetWithPort(2))
    rig.want(testSetWithPort(3))
    await rig.clock.advanceUntil(() => rig.known(2)?.reason?.code === 'HOST_DISK_FULL')
    assert.equal(rig.known(2)?.state, 'pending')
    await rig.clock.advance(30_000)
    assert.equal(rig.known(2)?.reason?.code, 'HOST_DISK_FULL')
    assert.equal(rig.known(1)?.state, 'running')
    assert.ok(rig.servers.accepted.length < 15, `${rig.servers.accepted.length} sessions`)
    // Of two that wait, one is given up meanwhile.
    rig.unwant([`set/${testId('set', 3)}`, `port/${testId('port', 3)}`])
    disk.isFull = false
    await rig.untilState('running', 2)
    await rig.clock.advance(10_000)
    assert.equal(rig.known(3), undefined)
    assert.equal(rig.host.setHost.sets.get(testId('set', 1)), before)
    assert.deepEqual(sandboxes(rig), [testId('set', 1), testId('set', 2)])
    await rig.host.stop()
  })
})
