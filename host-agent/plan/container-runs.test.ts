import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { exited, foundContainer, foundSet } from '../testing/found.ts'
import { plan, reportOf, steps, Story } from '../testing/story.ts'
import { testContainer, testSet } from '../testing/wanted.ts'
import { afterProbe, beginProbe } from './health.ts'
import { afterStartFailed } from './observe.ts'
import { containerMemory } from './set-memory.ts'

const refused = { code: 'CONTAINER_START_FAILED', text: 'no such file: /bin/nothing' }

describe('a container that ends', () => {
  test('is started again after a pause that doubles up to its maximum, and counted', () => {
    const wanted = testSet({
      containers: [testContainer({ restart: { policy: 'always', backoffMaxMs: 350 } })],
    })
    const story = new Story({ wanted })
    let nowMs = 0
    const pauses: number[] = []
    for (let run = 1; run <= 4; run++) {
      const startedAtMs = run * 1_000
      story.at(nowMs, foundSet([foundContainer({ startedAtMs })]))
      const ended = foundSet([exited(1, { startedAtMs })])
      const result = story.at(nowMs, ended)
      assert.deepEqual(result.actions, [])
      assert.equal(reportOf(result).containers[0]?.state, 'backoff')
      assert.equal(reportOf(result).containers[0]?.restarts, run)
      assert.equal(reportOf(result).reason?.code, 'CONTAINER_EXITED')
      // Looked at again, the same end counts once.
      assert.equal(reportOf(story.at(nowMs, ended)).containers[0]?.restarts, run)
      pauses.push((result.wakeAtMs ?? 0) - nowMs)
      nowMs = result.wakeAtMs ?? 0
      assert.deepEqual(steps(story.at(nowMs, ended)), ['start-container main'])
    }
    assert.deepEqual(pauses, [100, 200, 350, 350])
  })

  test('makes its set degraded, and failed when it does so again and again', () => {
    const story = new Story()
    const states: string[] = []
    for (let run = 1; run <= 3; run++) {
      const ended = foundSet([exited(127, { startedAtMs: run })])
      states.push(reportOf(story.at(run * 1_000, ended)).state)
    }
    assert.deepEqual(states, ['degraded', 'degraded', 'failed'])
  })

  test('after a long run is a first failure again', () => {
    const story = new Story()
    story.at(0, foundSet([exited(1, { startedAtMs: 1 })]))
    story.at(1, foundSet([exited(1, { startedAtMs: 2 })]))
    const long = exited(1, { startedAtMs: 3, finishedAtMs: 60_003 })
    const result = story.at(100_000, foundSet([long]))
    assert.equal(result.wakeAtMs, 100_100)
    assert.equal(reportOf(result).containers[0]?.restarts, 3)
  })

  test('counts as running again only when it has run for a while', () => {
    const story = new Story()
    story.at(0, foundSet([exited(1, { startedAtMs: 1 })]))
    const again = foundSet([foundContainer({ startedAtMs: 2 })])
    const fresh = story.at(200, again)
    assert.equal(reportOf(fresh).state, 'degraded')
    assert.equal(reportOf(fresh).containers[0]?.state, 'starting')
    assert.equal(fresh.wakeAtMs, 1_200)
    const settled = reportOf(story.at(1_200, again))
    assert.equal(settled.state, 'running')
    assert.equal(settled.containers[0]?.reason, null)
    assert.equal(settled.containers[0]?.restarts, 1)
  })

  test('by the memory limit says so', () => {
    const result = plan({ found: foundSet([exited(137, { oomKilled: true })]) })
    assert.equal(reportOf(result).reason?.code, 'OUT_OF_MEMORY')
  })

  test('stays ended where its restart rule says so', () => {
    const never = (code: number) => {
      const wanted = testSet({
        containers: [testContainer({ restart: { policy: 'never', backoffMaxMs: 1_000 } })],
      })
      return plan({ wanted, found: foundSet([exited(code)]) })
    }
    assert.deepEqual(never(0).actions, [])
    assert.equal(reportOf(never(0)).state, 'stopped')
    assert.equal(reportOf(never(3)).state, 'failed')
    assert.equal(reportOf(never(3)).containers[0]?.exitCode, 3)
    const onFailure = (code: number) => {
      const wanted = testSet({
        containers: [testContainer({ restart: { policy: 'on-failure', backoffMaxMs: 1_000 } })],
      })
      return plan({ wanted, found: foundSet([exited(code)]) })
    }
    assert.equal(onFailure(0).wakeAtMs, null)
    assert.equal(onFailure(1).wakeAtMs, 10_100)
  })

  test('that the engine refuses to start fails its set at once, and is tried again', () => {
    const story = new Story()
    story.at(0, foundSet([]))
    story.memory = afterStartFailed(story.memory, testContainer(), refused, 0)
    const result = story.at(1, foundSet([foundContainer({ state: 'created' })]))
    assert.deepEqual(result.actions, [])
    assert.equal(reportOf(result).state, 'failed')
    assert.deepEqual(reportOf(result).reason, refused)
    assert.equal(result.wakeAtMs, 100)
    assert.deepEqual(steps(story.at(100, foundSet([foundContainer({ state: 'created' })]))), [
      'start-container main',
    ])
  })
})

describe('a health check', () => {
  const check = {
    command: ['true'],
    intervalMs: 5_000,
    timeoutMs: 1_000,
    failuresMax: 2,
    startPeriodMs: 0,
  }
  const wanted = testSet({ containers: [testContainer({ healthCheck: check })] })
  const found = foundSet([foundContainer()])

  function probe(story: Story, isOk: boolean | null, nowMs: number): void {
    story.memory = afterProbe({
      memory: beginProbe(story.memory, 'main'),
      name: 'main',
      check,
      runKey: containerMemory(story.memory, 'main').run?.key ?? '',
      isOk,
      nowMs,
    })
  }

  test('that keeps failing restarts the container, once per interval counted', () => {
    const story = new Story({ wanted })
    story.started()
    assert.equal(reportOf(story.at(0, found)).state, 'starting')
    for (let nowMs = 100; nowMs < 5_000; nowMs += 500) probe(story, false, nowMs)
    assert.deepEqual(steps(story.at(5_100, found)), ['probe main'])
    probe(story, false, 5_000)
    assert.equal(reportOf(story.at(5_001, found)).containers[0]?.health, 'starting')
    probe(story, false, 10_000)
    const broken = story.at(10_001, found)
    assert.deepEqual(steps(broken), ['stop-container main'])
    assert.equal(reportOf(broken).containers[0]?.health, 'unhealthy')
    const ended = story.at(10_100, foundSet([exited(137)]))
    assert.equal(reportOf(ended).reason?.code, 'UNHEALTHY')
    assert.equal(reportOf(ended).containers[0]?.restarts, 1)
    assert.deepEqual(steps(story.at(10_200, foundSet([exited(137)]))), ['start-container main'])
  })

  test('makes a set run with its first success', () => {
    const story = new Story({ wanted })
    story.started()
    story.at(0, found)
    probe(story, true, 100)
    const result = story.at(101, found)
    assert.equal(reportOf(result).state, 'running')
    assert.equal(reportOf(result).containers[0]?.health, 'healthy')
    assert.equal(result.wakeAtMs, 5_100)
  })

  test('of a container that ran before the agent did begins as healthy: a restart of the agent shows nowhere', () => {
    assert.equal(reportOf(plan({ wanted, found })).state, 'running')
  })

  test('that could not be made, or answers about an earlier run, says nothing', () => {
    const story = new Story({ wanted })
    story.started()
    story.at(0, found)
    probe(story, null, 20_000)
    assert.equal(containerMemory(story.memory, 'main').health.failures, 0)
    const before = story.memory
    const after = afterProbe({
      memory: before,
      name: 'main',
      check,
      runKey: 'another run',
      isOk: true,
      nowMs: 30_000,
    })
    assert.equal(after, before)
  })

  test('does not count in the start period', () => {
    const slow = { ...check, startPeriodMs: 60_000 }
    const story = new Story({ wanted })
    story.started()
    story.at(0, found)
    const { run } = containerMemory(story.memory, 'main')
    const at = (nowMs: number) =>
      afterProbe({
        memory: story.memory,
        name: 'main',
        check: slow,
        runKey: run?.key ?? '',
        isOk: false,
        nowMs,
      })
    assert.equal(containerMemory(at(59_999), 'main').health.failures, 0)
    assert.equal(containerMemory(at(60_000), 'main').health.failures, 1)
  })
})
