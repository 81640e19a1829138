import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { VmSpec } from '../vm-driver.ts'
import { hasCode, type Stage } from './stage.ts'

/** VMs start once, run, and are removed without a trace. */
export function startTests(stage: Stage): void {
  void test('preparing twice is preparing once, and says what the host can do', async () => {
    const host = await stage.driver.prepare()
    assert.deepEqual(stage.driver.host(), host)
    assert.ok(host.version !== '')
    assert.ok(['kvm', 'tcg'].includes(host.accelerator))
  })

  void test('a VM starts once, however often it is asked for', async () => {
    const vm = stage.spec()
    assert.equal(await stage.driver.find(vm.vmId), null)
    await Promise.all([stage.driver.start(vm), stage.driver.start(vm)])
    await stage.boots(vm, 1)
    const found = await stage.found(vm)
    const { epoch, specHash } = vm
    assert.deepEqual(found, {
      vmId: vm.vmId,
      epoch,
      specHash,
      state: 'running',
      accelerator: stage.driver.host()?.accelerator,
      isAnswering: true,
      startedAtMs: found.startedAtMs,
      end: null,
    })
    assert.ok((found.startedAtMs ?? 0) > 0)
    await stage.driver.start(vm)
    assert.deepEqual(await stage.found(vm), found)
    assert.deepEqual(
      (await stage.driver.list()).filter(({ vmId }) => vmId === vm.vmId),
      [found],
    )
    await stage.remove(vm)
  })

  void test('removing leaves nothing, whatever it is, and can be repeated', async () => {
    const vm = await stage.started()
    assert.notDeepEqual(await stage.rig.traces(vm), [])
    await Promise.all([stage.driver.remove(vm.vmId), stage.driver.remove(vm.vmId)])
    await stage.remove(vm)
    assert.ok((await stage.driver.list()).every(({ vmId }) => vmId !== vm.vmId))
    // A new one of the same name begins anew.
    await stage.driver.start(vm)
    await stage.boots(vm, 1)
    await stage.driver.kill(vm.vmId)
    await stage.remove(vm)
  })

  void test('an image that is nowhere cannot be fetched, and nothing starts from it', async () => {
    const { absentImage, auth } = stage.rig
    await assert.rejects(stage.driver.ensureImage(absentImage, auth), hasCode('IMAGE_PULL_FAILED'))
    const vm = stage.spec({ image: absentImage })
    await assert.rejects(stage.driver.start(vm), hasCode('IMAGE_PULL_FAILED'))
    await stage.remove(vm)
  })

  void test('a specification that cannot be is refused before anything is made', async () => {
    const vm = stage.spec()
    const [link] = stage.rig.interfaces(1)
    assert.ok(link !== undefined)
    for (const change of [
      { cpus: 0 },
      { memoryBytes: 1 },
      { rootDisk: null },
      { rootDisk: { sizeBytes: stage.rig.imageBytes / 2 } },
      { interfaces: [{ ...link, hostInterface: 'x\nlink' }] },
    ] satisfies Partial<VmSpec>[])
      await assert.rejects(
        stage.driver.start({ ...vm, ...change }),
        hasCode('INVALID_INPUT'),
        JSON.stringify(change),
      )
    assert.equal(await stage.driver.find(vm.vmId), null)
    assert.deepEqual(await stage.rig.traces(vm), [])
    for (const call of ['find', 'kill', 'remove', 'shutDown', 'pause', 'serial'] as const)
      await assert.rejects(stage.driver[call]('../x'), hasCode('INVALID_INPUT'), call)
  })

  void test('what is not there is off, and cannot be held', async () => {
    const { vmId } = stage.spec()
    await stage.driver.shutDown(vmId)
    await stage.driver.kill(vmId)
    await stage.driver.remove(vmId)
    for (const call of ['pause', 'resume', 'serial'] as const)
      await assert.rejects(stage.driver[call](vmId), hasCode('NOT_FOUND'), call)
  })
}

/** Whose disk it is, and what may replace what. */
export function replacementTests(stage: Stage): void {
  void test('a disk is kept from run to run, also for another specification', async () => {
    const vm = await stage.started()
    const other = stage.spec({ ...vm, cpus: 2, specHash: 'other' })
    await assert.rejects(stage.driver.start(other), hasCode('NOT_ALLOWED_NOW'))
    assert.equal((await stage.found(vm)).specHash, vm.specHash)
    await stage.driver.kill(vm.vmId)
    await stage.driver.start(other)
    assert.equal((await stage.found(vm)).specHash, 'other')
    await stage.boots(vm, 2)
    await stage.driver.kill(vm.vmId)
    const larger = { ...other, rootDisk: { sizeBytes: stage.rig.imageBytes * 2 } }
    await stage.driver.start(larger)
    await stage.boots(vm, 3)
    await stage.remove(vm)
  })

  void test('a lower epoch is refused and changes nothing; a higher one begins anew', async () => {
    const vm = await stage.started({ epoch: 5 })
    const before = await stage.found(vm)
    await assert.rejects(stage.driver.start({ ...vm, epoch: 4 }), hasCode('NOT_ALLOWED_NOW'))
    await assert.rejects(stage.driver.start({ ...vm, epoch: 6 }), hasCode('NOT_ALLOWED_NOW'))
    assert.deepEqual(await stage.found(vm), before)
    await stage.driver.kill(vm.vmId)
    await assert.rejects(stage.driver.start({ ...vm, epoch: 4 }), hasCode('NOT_ALLOWED_NOW'))
    await stage.driver.start({ ...vm, epoch: 6 })
    assert.equal((await stage.found(vm)).epoch, 6)
    await stage.boots(vm, 1)
    await stage.remove(vm)
  })
}

/** How runs end, and how they are held. */
export function endTests(stage: Stage): void {
  void test('an obedient guest switches itself off, and says so by its end', async () => {
    const vm = await stage.started()
    const events = stage.listen()
    await stage.driver.shutDown(vm.vmId)
    await events.sees({ type: 'ended', vmId: vm.vmId })
    const found = await stage.untilState(vm, 'stopped')
    const { accelerator, startedAtMs, end } = found
    assert.deepEqual([accelerator, startedAtMs, end], [null, null, 'shut-down'])
    await stage.driver.shutDown(vm.vmId)
    await stage.driver.kill(vm.vmId)
    assert.deepEqual(await stage.found(vm), found)
    await stage.driver.start(vm)
    assert.equal((await stage.found(vm)).end, null)
    await stage.boots(vm, 2)
    events.close()
    await stage.remove(vm)
  })

  void test('a stubborn guest runs on until it is killed', async () => {
    const vm = await stage.started({ image: stage.rig.stubbornImage })
    await stage.driver.shutDown(vm.vmId)
    const port = await stage.console(vm)
    port.stream.write('still in it')
    await port.until('still in it')
    assert.equal((await stage.found(vm)).state, 'running')
    await stage.driver.kill(vm.vmId)
    await port.ended
    await stage.driver.kill(vm.vmId)
    const { state, end } = await stage.found(vm)
    assert.deepEqual([state, end], ['stopped', 'killed'])
    await stage.remove(vm)
  })

  void test('a crash is told, and the disk is still there', async () => {
    const vm = await stage.started()
    const events = stage.listen()
    await stage.rig.crash(vm.vmId)
    await events.sees({ type: 'ended', vmId: vm.vmId })
    assert.equal((await stage.untilState(vm, 'stopped')).end, 'crashed')
    await stage.driver.start(vm)
    await stage.boots(vm, 2)
    events.close()
    await stage.remove(vm)
  })

  void test('a panic is found; only a kill ends it', async () => {
    const vm = await stage.started()
    const events = stage.listen()
    await stage.type(vm, 'p')
    await events.sees({ type: 'changed', vmId: vm.vmId })
    assert.equal((await stage.untilState(vm, 'panicked')).end, null)
    for (const call of ['pause', 'resume'] as const)
      await assert.rejects(stage.driver[call](vm.vmId), hasCode('NOT_ALLOWED_NOW'), call)
    await stage.driver.start(vm)
    assert.equal((await stage.found(vm)).state, 'panicked')
    await stage.driver.kill(vm.vmId)
    events.close()
    await stage.remove(vm)
  })

  void test('a guest that is held does nothing until it is let go', async () => {
    const vm = await stage.started()
    await stage.driver.pause(vm.vmId)
    await stage.driver.pause(vm.vmId)
    assert.equal((await stage.found(vm)).state, 'paused')
    await stage.driver.start(vm)
    assert.equal((await stage.found(vm)).state, 'paused')
    const port = await stage.console(vm)
    port.stream.write('hm')
    await stage.driver.resume(vm.vmId)
    await stage.driver.resume(vm.vmId)
    assert.equal((await stage.found(vm)).state, 'running')
    await port.until('hm')
    await stage.driver.kill(vm.vmId)
    for (const call of ['pause', 'resume', 'serial'] as const)
      await assert.rejects(stage.driver[call](vm.vmId), hasCode('NOT_ALLOWED_NOW'), call)
    await stage.remove(vm)
  })
}
