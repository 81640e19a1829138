import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SetSpec } from '../set-driver.ts'
import { hasCode, until, type Stage } from './stage.ts'

/** Sandboxes: made once, found, removed without a trace. */
export function sandboxTests(stage: Stage): void {
  void test('preparing twice is preparing once, and says what the engine is', async () => {
    await stage.driver.prepare()
    assert.ok((stage.driver.version()?.version ?? '') !== '')
  })

  void test('a sandbox starts once, however often it is asked for', async () => {
    const set = stage.spec()
    const [first, second] = await Promise.all([
      stage.driver.startSandbox(set),
      stage.driver.startSandbox(set),
    ])
    assert.equal(first.pid, second.pid)
    assert.deepEqual(await stage.driver.startSandbox(set), first)
    const seen = await stage.found(set.setId)
    assert.equal(seen.pause, 'running')
    assert.equal(seen.pausePid, first.pid)
    assert.equal(seen.epoch, 1)
    assert.equal(seen.specHash, set.specHash)
    assert.ok(seen.containers.every(({ state }) => state === 'created'))
    assert.ok((await stage.driver.list()).some(({ setId }) => setId === set.setId))
    await stage.driver.removeSet(set.setId)
  })

  void test('removing leaves nothing, and can be repeated', async () => {
    const set = await stage.started()
    await Promise.all([stage.driver.removeSet(set.setId), stage.driver.removeSet(set.setId)])
    assert.equal(await stage.driver.find(set.setId), null)
    await stage.driver.removeSet(set.setId)
    await assert.rejects(stage.driver.startContainer(set, 'main'), hasCode('NOT_ALLOWED_NOW'))
    await stage.driver.startSandbox(set)
    await stage.driver.startContainer(set, 'main')
    await stage.driver.removeSet(set.setId)
  })
}

/** Sandboxes that must go, and those that must not. */
export function replacementTests(stage: Stage): void {
  void test('a sandbox that ended shows it, and a new start replaces everything', async () => {
    const set = await stage.started()
    const before = await stage.found(set.setId)
    await stage.rig.endSandbox(set.setId)
    await until('the end shows', async () => (await stage.found(set.setId)).pause === 'exited')
    await stage.driver.stopContainer(set.setId, 'main', 0)
    await assert.rejects(stage.driver.startContainer(set, 'main'), hasCode('NOT_ALLOWED_NOW'))
    const { pid } = await stage.driver.startSandbox(set)
    assert.notEqual(pid, before.pausePid)
    await stage.driver.startContainer(set, 'main')
    const after = await stage.found(set.setId)
    assert.equal(after.pause, 'running')
    assert.equal(after.containers[0]?.state, 'running')
    assert.notEqual(after.containers[0]?.containerId, before.containers[0]?.containerId)
    await stage.driver.removeSet(set.setId)
  })

  void test('a lower epoch is refused and changes nothing; a higher one replaces everything', async () => {
    const set = await stage.started({ epoch: 5 })
    const before = await stage.found(set.setId)
    await assert.rejects(
      stage.driver.startSandbox({ ...set, epoch: 4 }),
      hasCode('NOT_ALLOWED_NOW'),
    )
    await assert.rejects(
      stage.driver.startContainer({ ...set, epoch: 4 }, 'main'),
      hasCode('NOT_ALLOWED_NOW'),
    )
    assert.deepEqual(await stage.found(set.setId), before)
    await assert.rejects(
      stage.driver.startContainer({ ...set, epoch: 6 }, 'main'),
      hasCode('NOT_ALLOWED_NOW'),
    )
    await stage.driver.startSandbox({ ...set, epoch: 6 })
    const after = await stage.found(set.setId)
    assert.equal(after.epoch, 6)
    assert.notEqual(after.pausePid, before.pausePid)
    assert.ok(after.containers.every(({ state }) => state === 'created'))
    await stage.driver.removeSet(set.setId)
  })

  void test('another specification of the same epoch replaces everything', async () => {
    const set = await stage.started()
    const other = { ...set, specHash: 'other' }
    await stage.driver.startSandbox(other)
    await stage.driver.startContainer(other, 'main')
    const after = await stage.found(set.setId)
    assert.equal(after.specHash, 'other')
    await stage.driver.removeSet(set.setId)
  })
}

/** What another life of the agent or the engine finds, and what is never begun. */
export function survivalTests(stage: Stage): void {
  void test('a later life of the agent finds what runs and goes on with it', async () => {
    const set = await stage.started()
    const before = await stage.found(set.setId)
    const later = stage.rig.again()
    await later.prepare()
    assert.deepEqual(await later.find(set.setId), before)
    assert.equal((await later.startSandbox(set)).pid, before.pausePid)
    await later.startContainer(set, 'main')
    assert.deepEqual(await later.find(set.setId), before)
    await later.removeSet(set.setId)
    assert.equal(await stage.driver.find(set.setId), null)
    await assert.rejects(stage.driver.startContainer(set, 'main'), hasCode('NOT_ALLOWED_NOW'))
  })

  void test('sets outlive the engine, and are found again', async () => {
    const set = await stage.started()
    const before = await stage.found(set.setId)
    await stage.rig.killEngine()
    await assert.rejects(stage.driver.list(), hasCode('ENGINE_UNAVAILABLE'))
    await assert.rejects(stage.driver.startSandbox(set), hasCode('ENGINE_UNAVAILABLE'))
    await assert.rejects(stage.driver.startContainer(set, 'main'), hasCode('ENGINE_UNAVAILABLE'))
    await assert.rejects(
      stage.driver.stopContainer(set.setId, 'main', 0),
      hasCode('ENGINE_UNAVAILABLE'),
    )
    await assert.rejects(stage.driver.removeSet(set.setId), hasCode('ENGINE_UNAVAILABLE'))
    await stage.rig.startEngine()
    assert.deepEqual(await stage.found(set.setId), before)
    await stage.driver.startContainer(set, 'main')
    await stage.driver.stopContainer(set.setId, 'main', 0)
    await stage.driver.removeSet(set.setId)
  })

  void test('a specification that cannot be is refused before anything is made', async () => {
    for (const change of [
      { setId: '../x' },
      { hostname: 'a b' },
      { cpuMillis: 0 },
      { memoryBytes: 1 },
      { containers: [stage.container({ name: 'A' })] },
      { containers: [stage.container(), stage.container()] },
      { containers: [stage.container({ cpuMillis: 501 })] },
      { containers: [stage.container({ memoryBytes: 2 ** 40 })] },
      { containers: [stage.container({ image: { repository: 'a', digest: 'latest' } })] },
      {
        interfaces: stage.rig.interfaces(1).map((link) => ({ ...link, hostInterface: 'x\nlink' })),
      },
      { interfaces: stage.rig.interfaces(1).map((link) => ({ ...link, gateway: 'here' })) },
      { dns: ['resolver'] },
    ] satisfies Partial<SetSpec>[]) {
      const set = { ...stage.spec(), ...change }
      await assert.rejects(
        stage.driver.startSandbox(set),
        hasCode('INVALID_INPUT'),
        JSON.stringify(change),
      )
    }
    await assert.rejects(
      stage.driver.startContainer(stage.spec(), 'nobody'),
      hasCode('INVALID_INPUT'),
    )
  })
}
