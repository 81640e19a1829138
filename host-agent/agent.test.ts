import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PlatformError, VirtualClock } from '@nubo/base'
import { wantedKey } from '@nubo/contracts/host'
import { makeRig, runningRig, sandboxes } from './testing/agent-rig.ts'
import {
  testContainer,
  testId,
  testImage,
  testSet,
  testSetWithPort,
  testUpdate,
} from './testing/wanted.ts'

describe('a set', () => {
  test('is made, reported with its generation and epoch, and reachable', async () => {
    const rig = await runningRig({}, { generation: 4, epoch: 2 })
    const found = rig.known()
    assert.equal(found?.generation, 4)
    assert.equal(found?.epoch, 2)
    assert.equal(found?.containers[0]?.state, 'running')
    const { ports, flows } = rig.host.switchHardware
    assert.equal(ports.get(testId('port', 1))?.state.at, 'plugged')
    assert.ok(flows.flows.length > 0)
    const spec = rig.host.setHost.sets.get(testId('set', 1))?.spec
    assert.equal(spec?.interfaces[0]?.hostInterface, ports.get(testId('port', 1))?.name)
    await rig.host.stop()
  })

  test('is removed with its port, and that is told once', async () => {
    const rig = await runningRig()
    rig.unwant([wantedKey(testSet()), `port/${testId('port', 1)}`])
    await rig.clock.advance(200)
    assert.deepEqual(sandboxes(rig), [])
    assert.equal(rig.host.switchHardware.ports.size, 0)
    const states = rig.servers.last
      .of('found')
      .flatMap(({ instances }) => instances)
      .map(({ state }) => state)
    assert.equal(states.at(-1), 'absent')
    assert.equal(states.filter((state) => state === 'absent').length, 1)
    await rig.host.stop()
  })

  test('is stopped and started in place, and restarted as another one', async () => {
    const rig = await runningRig()
    const idOf = (): string | undefined =>
      rig.host.setHost.sets.get(testId('set', 1))?.containers.get('main')?.found.containerId
    const first = idOf()
    rig.want([testSet({ portIds: [testId('port', 1)], generation: 2, run: 'stopped' })])
    await rig.untilState('stopped')
    assert.equal(rig.known()?.generation, 2)
    rig.want([testSet({ portIds: [testId('port', 1)], generation: 3 })])
    await rig.untilState('running')
    assert.equal(idOf(), first)
    assert.equal(rig.known()?.containers[0]?.restarts, 0)
    rig.want([testSet({ portIds: [testId('port', 1)], generation: 4, restartCount: 1 })])
    await rig.clock.advanceUntil(
      () => rig.known()?.generation === 4 && rig.known()?.state === 'running',
    )
    assert.notEqual(idOf(), first)
    await rig.host.stop()
  })

  test('whose command cannot be started fails at once with the reason, and is tried again', async () => {
    const rig = makeRig()
    await rig.clock.advance(10)
    const broken = testContainer({ command: ['refuse'] })
    rig.want(testSetWithPort(1, { containers: [broken] }))
    await rig.clock.advanceUntil(() => rig.known()?.state === 'failed', 500)
    assert.deepEqual(rig.known()?.reason, {
      code: 'CONTAINER_START_FAILED',
      text: 'executable file not found',
    })
    assert.equal(rig.known()?.containers[0]?.state, 'backoff')
    rig.want(testSetWithPort(1, { generation: 2, containers: [testContainer()] }))
    await rig.untilState('running')
    await rig.host.stop()
  })

  test('whose image nobody has fails with the reason, and starts when it can be had', async () => {
    const rig = makeRig()
    await rig.clock.advance(10)
    rig.host.setHost.absentImages.add(testImage.digest)
    rig.want(testSetWithPort(1))
    await rig.untilState('failed')
    assert.equal(rig.known()?.reason?.code, 'IMAGE_PULL_FAILED')
    assert.deepEqual(sandboxes(rig), [])
    rig.host.setHost.absentImages.clear()
    await rig.untilState('running')
    await rig.host.stop()
  })

  test('that crashes is restarted with growing pauses, is said to be failing, and settles', async () => {
    const rig = await runningRig()
    for (let crash = 1; crash <= 3; crash++) {
      rig.host.setDriver.endContainer(testId('set', 1), 'main', { exitCode: 9 })
      await rig.clock.advanceUntil(() => rig.known()?.containers[0]?.restarts === crash)
      assert.equal(rig.known()?.reason?.code, 'CONTAINER_EXITED')
      await rig.clock.advance(500)
    }
    await rig.untilState('running')
    assert.equal(rig.known()?.containers[0]?.restarts, 3)
    await rig.host.stop()
  })

  test('that runs out of memory says so', async () => {
    const rig = await runningRig()
    rig.host.setDriver.endContainer(testId('set', 1), 'main', { exitCode: 137, oomKilled: true })
    await rig.clock.advanceUntil(() => rig.known()?.reason?.code === 'OUT_OF_MEMORY')
    await rig.host.stop()
  })

  test('whose sandbox died is made anew', async () => {
    const rig = await runningRig()
    rig.host.setDriver.endSandbox(testId('set', 1))
    await rig.clock.advanceUntil(() => rig.known()?.containers[0]?.restarts === 1)
    await rig.untilState('running')
    assert.equal(rig.host.setHost.sets.get(testId('set', 1))?.pause, 'running')
    await rig.host.stop()
  })

  test('with a health check runs when it is healthy, and is restarted when it is not', async () => {
    let isOk = false
    const rig = makeRig({
      sets: {
        execution: () => ({ does: 'end', exitCode: isOk ? 0 : 1, prints: [] }),
      },
    })
    await rig.clock.advance(10)
    const healthCheck = {
      command: ['check'],
      intervalMs: 2_000,
      timeoutMs: 1_000,
      failuresMax: 2,
      startPeriodMs: 0,
    }
    rig.want(testSetWithPort(1, { containers: [testContainer({ healthCheck })] }))
    await rig.untilState('starting')
    await rig.clock.advance(1_000)
    assert.equal(rig.known()?.containers[0]?.health, 'starting')
    isOk = true
    await rig.untilState('running')
    isOk = false
    await rig.clock.advanceUntil(() => rig.known()?.reason?.code === 'UNHEALTHY')
    isOk = true
    await rig.untilState('running')
    assert.equal(rig.known()?.containers[0]?.restarts, 1)
    await rig.host.stop()
  })

  test('is not held up by another one whose image comes slowly, nor by one that cannot be removed', async () => {
    const gate = Promise.withResolvers<void>()
    const slow = `sha256:${'b'.repeat(64)}`
    let mayRemove = false
    const rig = makeRig({
      sets: {
        before: (call, setId) => {
          if (call === 'removeSet' && setId === testId('set', 3) && !mayRemove)
            throw new PlatformError('IN_USE', {}, { message: 'device busy' })
        },
      },
      imageTokens: {
        token: async (repository) => {
          if (repository === 'slow') await gate.promise
          return { registry: 'r', token: '' }
        },
      },
    })
    await rig.clock.advance(10)
    const image = { repository: 'slow', digest: slow }
    rig.want(testSetWithPort(2, { containers: [testContainer({ image })] }))
    rig.want(testSetWithPort(3))
    await rig.untilState('running', 3)
    rig.unwant([wantedKey(testSet({ id: testId('set', 3) }))])
    rig.want(testSetWithPort(1))
    await rig.untilState('running')
    assert.equal(rig.known(2)?.state, 'pulling')
    await rig.clock.advanceUntil(() => rig.known(3)?.reason !== null)
    assert.equal(rig.known(3)?.state, 'stopping')
    assert.match(rig.known(3)?.reason?.text ?? '', /device busy/)
    gate.resolve()
    await rig.untilState('running', 2)
    mayRemove = true
    await rig.clock.advanceUntil(() => rig.known(3) === undefined)
    await rig.host.stop()
  })

  test('whose wanted state changes while it is being made ends as the last one says', async () => {
    const gate = Promise.withResolvers<void>()
    const rig = makeRig({
      sets: { before: async (call) => (call === 'startSandbox' ? gate.promise : undefined) },
    })
    await rig.clock.advance(10)
    rig.want(testSetWithPort(1))
    await rig.clock.advance(100)
    rig.unwant([wantedKey(testSet()), `port/${testId('port', 1)}`])
    await rig.clock.advance(100)
    gate.resolve()
    await rig.clock.advanceUntil(() => rig.known() === undefined)
    assert.deepEqual(sandboxes(rig), [])
    await rig.host.stop()
  })
})

test('many sets at once all come, a bounded number at a time', async () => {
  let starting = 0
  let most = 0
  const clock = new VirtualClock()
  const rig = makeRig({
    clock,
    sets: {
      before: async (call) => {
        if (call !== 'startSandbox' && call !== 'startContainer') return
        starting += 1
        most = Math.max(most, starting)
        await new Promise<void>((resolve) => clock.after(100, resolve))
        starting -= 1
      },
    },
  })
  await clock.advance(10)
  rig.servers.last.want(
    testUpdate(1, Array.from({ length: 40 }, (_, at) => testSetWithPort(at + 1)).flat()),
  )
  const isFirstReady = (): boolean =>
    [...rig.servers.last.found.values()].some(({ state }) => state === 'running')
  await clock.advanceUntil(isFirstReady)
  // The first are finished before the last are begun.
  assert.ok(rig.host.setHost.sets.size < 40)
  await clock.advanceUntil(() => {
    const { found } = rig.servers.last
    return found.size === 40 && [...found.values()].every(({ state }) => state === 'running')
  })
  assert.equal(most, 4)
  await rig.host.stop()
})

describe('mixed versions of the contract', () => {
  for (const [who, options, newest] of [
    ['an agent of version 1 and servers of version 2', { contract: 1 }, 2],
    ['an agent of version 2 and servers of version 1', {}, 1],
  ] as const) {
    test(`${who} run a set together`, async () => {
      const rig = makeRig(options)
      rig.servers.contract = newest
      await rig.clock.advance(10)
      rig.want(testSetWithPort(1, { recovery: 'elsewhere' }))
      await rig.untilState('running')
      await rig.clock.advance(60_000)
      assert.equal(rig.known()?.state, 'running')
      assert.equal(rig.servers.accepted.length, 1)
      assert.deepEqual(rig.servers.last.of('hello')[0]?.contracts, [1])
      await rig.host.stop()
    })
  }

  test('after the upgrade of its server an agent speaks the newer version', async () => {
    const rig = makeRig()
    rig.servers.contract = 1
    await rig.clock.advance(10)
    rig.servers.contract = 2
    rig.servers.last.close()
    await rig.clock.advance(1_000)
    assert.deepEqual(rig.servers.last.of('hello')[0]?.contracts, [2, 1])
    await rig.host.stop()
  })
})
