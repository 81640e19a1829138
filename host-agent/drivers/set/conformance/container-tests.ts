import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RegistryToken } from '../set-driver.ts'
import { hasCode, type Stage } from './stage.ts'

/** Containers: started, ended, refused. */
export function containerTests(stage: Stage): void {
  void test('a container starts, and starting a running one changes nothing', async () => {
    const set = await stage.started()
    const running = await stage.foundContainer(set.setId)
    assert.equal(running.state, 'running')
    assert.ok(running.startedAtMs !== null)
    assert.deepEqual([running.exitCode, running.finishedAtMs, running.error], [null, null, null])
    assert.equal(running.oomKilled, false)
    await stage.driver.startContainer(set, 'main')
    assert.deepEqual(await stage.foundContainer(set.setId), running)
    await stage.driver.removeSet(set.setId)
  })

  void test('containers of one set start side by side', async () => {
    const set = stage.spec({
      containers: ['a', 'b', 'c'].map((one) => stage.container({ name: one })),
    })
    await stage.driver.startSandbox(set)
    await Promise.all(
      set.containers.map(async (one) => await stage.driver.startContainer(set, one.name)),
    )
    const { containers } = await stage.found(set.setId)
    assert.deepEqual(
      containers.map((one) => [one.name, one.state]),
      [
        ['a', 'running'],
        ['b', 'running'],
        ['c', 'running'],
      ],
    )
    await stage.driver.removeSet(set.setId)
  })

  void test('a container that ends says how, and starts again as the same', async () => {
    const set = await stage.started({
      containers: [stage.container({ command: stage.rig.commands.exit(3) })],
    })
    const ended = await stage.untilState(set.setId, 'exited')
    assert.equal(ended.exitCode, 3)
    assert.equal(ended.oomKilled, false)
    assert.ok((ended.finishedAtMs ?? 0) >= (ended.startedAtMs ?? Infinity))
    await stage.driver.startContainer(set, 'main')
    const again = await stage.untilState(set.setId, 'exited')
    assert.equal(again.containerId, ended.containerId)
    await stage.driver.removeSet(set.setId)
  })

  void test('stopping ends a container; stopping it again, or one that never was, is fine', async () => {
    const set = await stage.started()
    await stage.driver.stopContainer(set.setId, 'main', 0)
    assert.equal((await stage.foundContainer(set.setId)).state, 'exited')
    await stage.driver.stopContainer(set.setId, 'main', 0)
    await stage.driver.stopContainer(set.setId, 'nobody', 0)
    await stage.driver.startContainer(set, 'main')
    assert.equal((await stage.foundContainer(set.setId)).state, 'running')
    await stage.driver.removeSet(set.setId)
  })
}

/** Containers that cannot start, and images that are not there. */
export function refusalTests(stage: Stage): void {
  void test('without its sandbox no container starts', async () => {
    const set = stage.spec()
    await assert.rejects(stage.driver.startContainer(set, 'main'), hasCode('NOT_ALLOWED_NOW'))
    assert.equal(await stage.driver.find(set.setId), null)
  })

  void test('an image that nobody has, and a container without its image, say so', async () => {
    await assert.rejects(
      stage.driver.ensureImage(stage.rig.absentImage, stage.rig.auth),
      hasCode('IMAGE_PULL_FAILED'),
    )
    const set = stage.spec({ containers: [stage.container({ image: stage.rig.absentImage })] })
    await stage.driver.startSandbox(set)
    await assert.rejects(stage.driver.startContainer(set, 'main'), hasCode('IMAGE_PULL_FAILED'))
    assert.equal((await stage.found(set.setId)).pause, 'running')
    await stage.driver.removeSet(set.setId)
  })

  void test('an image that is there is not fetched again', async () => {
    let asked = 0
    const auth = async (): Promise<RegistryToken> => {
      asked += 1
      return await stage.rig.auth()
    }
    await Promise.all([
      stage.driver.ensureImage(stage.rig.image, auth),
      stage.driver.ensureImage(stage.rig.image, auth),
    ])
    assert.equal(asked, 0)
  })

  void test('a command that cannot be run is refused with its reason, and shows as ended', async () => {
    const set = stage.spec({
      containers: [stage.container({ command: stage.rig.commands.refused })],
    })
    await stage.driver.startSandbox(set)
    await assert.rejects(
      stage.driver.startContainer(set, 'main'),
      hasCode('CONTAINER_START_FAILED'),
    )
    const refused = await stage.foundContainer(set.setId)
    assert.equal(refused.state, 'exited')
    assert.notEqual(refused.exitCode, 0)
    assert.match(refused.error ?? '', /not found/)
    await stage.driver.removeSet(set.setId)
  })
}
