import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { exited, foundContainer, foundSet } from '../testing/found.ts'
import { plan, reportOf, steps, Story } from '../testing/story.ts'
import { testContainer, testImage, testSet } from '../testing/wanted.ts'
import { afterProbe, beginProbe } from './health.ts'
import { afterRemove, afterSetback } from './observe.ts'
import { containerMemory, emptySetMemory } from './set-memory.ts'

const away = { code: 'ENGINE_UNAVAILABLE', text: 'The container engine does not answer.' }
const refused = { code: 'CONTAINER_START_FAILED', text: 'no such file: /bin/nothing' }

describe('a set that shall run', () => {
  test('gets its image first, then its sandbox, then its ports and containers together', () => {
    const story = new Story({ ports: { areAttached: false, areReady: false, trouble: null } })
    const first = story.at(0, null, { image: () => ({ at: 'unknown' }) })
    assert.deepEqual(first.actions, [{ do: 'ensure-image', image: testImage }])
    assert.equal(reportOf(first).state, 'starting')
    const pulling = story.at(1, null, { image: () => ({ at: 'pulling', progress: '3 of 9 MiB' }) })
    assert.deepEqual(pulling.actions, [])
    assert.equal(reportOf(pulling).state, 'pulling')
    assert.equal(reportOf(pulling).progress, '3 of 9 MiB')
    assert.deepEqual(steps(story.at(2, null)), ['start-sandbox'])
    assert.deepEqual(steps(story.at(3, foundSet([]))), ['attach-ports', 'start-container main'])
    story.started()
    const up = foundSet([foundContainer()])
    assert.equal(reportOf(story.at(4, up)).state, 'starting')
    const ready = story.at(5, up, { ports: { areAttached: true, areReady: true, trouble: null } })
    assert.deepEqual(ready.actions, [])
    assert.equal(ready.wakeAtMs, null)
    assert.equal(reportOf(ready).state, 'running')
    assert.equal(reportOf(ready).containers[0]?.state, 'running')
  })

  test('waits with a reason while its network is not known', () => {
    const result = plan({ spec: null, missing: 'The network of port p is not known here.' })
    assert.deepEqual(result.actions, [])
    assert.equal(reportOf(result).state, 'pending')
    assert.deepEqual(reportOf(result).reason, {
      code: 'NOT_FOUND',
      text: 'The network of port p is not known here.',
    })
  })

  test('says why an image cannot be fetched, and tries again in its time', () => {
    const image = () =>
      ({ at: 'failed', reason: { code: 'IMAGE_PULL_FAILED', text: 'no' }, retryAtMs: 500 }) as const
    const early = plan({ image, nowMs: 100 })
    assert.deepEqual(early.actions, [])
    assert.equal(early.wakeAtMs, 500)
    assert.equal(reportOf(early).state, 'failed')
    assert.equal(reportOf(early).reason?.code, 'IMAGE_PULL_FAILED')
    assert.deepEqual(steps(plan({ image, nowMs: 500 })), ['ensure-image'])
  })

  test('an image that is needed by nothing any more does not fail a set that runs', () => {
    const image = () =>
      ({ at: 'failed', reason: { code: 'IMAGE_PULL_FAILED', text: 'no' }, retryAtMs: 500 }) as const
    assert.equal(reportOf(plan({ image, found: foundSet([foundContainer()]) })).state, 'running')
  })

  test('a sandbox that cannot be made fails the set, and is tried again in its time', () => {
    const memory = afterSetback(emptySetMemory, refused, 1_000)
    const early = plan({ memory, nowMs: 1_100 })
    assert.deepEqual(early.actions, [])
    assert.equal(early.wakeAtMs, 1_500)
    assert.equal(reportOf(early).state, 'failed')
    assert.deepEqual(reportOf(early).reason, refused)
    const again = plan({ memory, nowMs: 1_500 })
    assert.deepEqual(steps(again), ['start-sandbox'])
    assert.equal(again.memory.setback?.failures, 1)
    // Once it is there, nothing of the failure is left.
    const after = plan({ memory, found: foundSet([foundContainer()]), nowMs: 1_500 })
    assert.equal(after.memory.setback, null)
    assert.equal(reportOf(after).state, 'running')
  })

  test('is degraded while the switch does not forward for it', () => {
    const ports = { areAttached: true, areReady: false, trouble: away }
    const found = foundSet([foundContainer()])
    const story = new Story()
    assert.equal(reportOf(story.at(0, found)).state, 'running')
    const cut = reportOf(story.at(1, found, { ports }))
    assert.equal(cut.state, 'degraded')
    assert.deepEqual(cut.reason, away)
    assert.equal(reportOf(story.at(2, found)).state, 'running')
    // One that has never run is starting, with the reason.
    const fresh = reportOf(plan({ found, ports }))
    assert.equal(fresh.state, 'starting')
    assert.deepEqual(fresh.reason, away)
  })
})

describe('containers of several indices', () => {
  const check = {
    command: ['true'],
    intervalMs: 10_000,
    timeoutMs: 1_000,
    failuresMax: 3,
    startPeriodMs: 0,
  }
  const wanted = testSet({
    containers: [
      testContainer({ name: 'web', index: 2 }),
      testContainer({ name: 'db', index: 1, healthCheck: check }),
      testContainer({ name: 'init', index: 0, restart: { policy: 'never', backoffMaxMs: 1_000 } }),
      testContainer({ name: 'log', index: 1 }),
    ],
  })
  const init = exited(0, { name: 'init', containerId: 'i' })
  const db = foundContainer({ name: 'db', containerId: 'd' })
  const log = foundContainer({ name: 'log', containerId: 'l' })
  const web = foundContainer({ name: 'web', containerId: 'w' })

  test('start in order, equal ones together, the next when the lower ones run and are healthy', () => {
    const story = new Story({ wanted })
    assert.deepEqual(steps(story.at(0, foundSet([]))), ['start-container init'])
    const running = foundContainer({ name: 'init', containerId: 'i' })
    // Running counts; one that runs for ever must not hold the others up.
    assert.deepEqual(steps(story.at(1, foundSet([running]))), [
      'start-container db',
      'start-container log',
    ])
    story.started('db')
    story.started('log')
    const waiting = story.at(2, foundSet([init, db, log]))
    assert.deepEqual(steps(waiting), [])
    assert.equal(reportOf(waiting).state, 'starting')
    assert.equal(reportOf(waiting).progress, 'waiting for the health of db')
    assert.equal(reportOf(waiting).containers.find(({ name }) => name === 'init')?.state, 'stopped')
    const probing = story.at(waiting.wakeAtMs ?? 0, foundSet([init, db, log]))
    assert.deepEqual(steps(probing), ['probe db'])
    story.memory = afterProbe({
      memory: beginProbe(story.memory, 'db'),
      name: 'db',
      check,
      runKey: containerMemory(story.memory, 'db').run?.key ?? '',
      isOk: true,
      nowMs: story.nowMs,
    })
    assert.deepEqual(steps(story.at(200, foundSet([init, db, log]))), ['start-container web'])
    assert.equal(reportOf(story.at(201, foundSet([init, db, log, web]))).state, 'running')
  })

  test('stop in the opposite order', () => {
    const stopped = { ...wanted, run: 'stopped' as const, generation: 2 }
    const story = new Story({ wanted: stopped })
    assert.deepEqual(steps(story.at(0, foundSet([init, db, log, web]))), ['stop-container web'])
    const later = { name: 'web', containerId: 'w' }
    assert.deepEqual(steps(story.at(1, foundSet([init, db, log, exited(0, later)]))), [
      'stop-container db',
      'stop-container log',
    ])
  })

  test('a lower one that ends later does not stop the higher ones', () => {
    const story = new Story({ wanted })
    story.at(0, foundSet([init, db, log, web]))
    const ended = exited(1, { name: 'log', containerId: 'l' })
    const result = story.at(1, foundSet([init, db, ended, web]))
    assert.deepEqual(result.actions, [])
    assert.equal(reportOf(result).state, 'degraded')
    assert.deepEqual(steps(story.at(200, foundSet([init, db, ended, web]))), [
      'start-container log',
      'probe db',
    ])
  })
})

describe('a set that is made anew', () => {
  test('when its pause has died: nothing can be stopped in good order, and the containers count a restart', () => {
    const story = new Story()
    story.at(0, foundSet([foundContainer()]))
    const dead = foundSet([exited(137)], { pause: 'exited', pausePid: null })
    const result = story.at(1, dead)
    assert.deepEqual(steps(result), ['remove'])
    assert.equal(reportOf(result).state, 'starting')
    story.memory = afterRemove(story.memory)
    assert.deepEqual(steps(story.at(2, null)), ['start-sandbox'])
    assert.deepEqual(steps(story.at(3, foundSet([]))), ['start-container main'])
    story.started()
    const up = story.at(4, foundSet([foundContainer({ containerId: 'c2', startedAtMs: 9 })]))
    assert.equal(reportOf(up).state, 'running')
    assert.equal(reportOf(up).containers[0]?.restarts, 1)
  })

  test('when the host was rebooted: at once, and without counting a restart', () => {
    const story = new Story()
    const dead = foundSet([exited(255)], { pause: 'exited', pausePid: null })
    assert.deepEqual(steps(story.at(0, dead)), ['remove'])
    story.memory = afterRemove(story.memory)
    assert.deepEqual(steps(story.at(1, foundSet([]))), ['start-container main'])
    assert.equal(reportOf(story.at(2, foundSet([]))).containers[0]?.restarts, 0)
  })

  test('when it was specified anew, or placed anew: stopped first', () => {
    const found = foundSet([foundContainer()])
    assert.deepEqual(steps(plan({ found, spec: { hash: 'other' } })), ['stop-container main'])
    assert.deepEqual(steps(plan({ found, wanted: testSet({ epoch: 2 }) })), ['stop-container main'])
    const ended = foundSet([exited(0)])
    assert.deepEqual(steps(plan({ found: ended, spec: { hash: 'other' } })), ['remove'])
  })

  test('only once its images are here: what runs goes on while they come, or cannot', () => {
    const story = new Story({ spec: { hash: 'other' }, wanted: testSet({ generation: 2 }) })
    const up = foundSet([foundContainer()])
    const fetch = story.at(0, up, { image: () => ({ at: 'unknown' }) })
    assert.deepEqual(fetch.actions, [{ do: 'ensure-image', image: testImage }])
    const pulling = story.at(1, up, { image: () => ({ at: 'pulling', progress: '3 of 9 MiB' }) })
    assert.deepEqual(pulling.actions, [])
    assert.deepEqual(
      [reportOf(pulling).state, reportOf(pulling).progress, reportOf(pulling).generation],
      ['pulling', '3 of 9 MiB; what ran before the change runs on', 2],
    )
    assert.equal(reportOf(pulling).containers[0]?.state, 'running')
    const image = () =>
      ({ at: 'failed', reason: { code: 'IMAGE_PULL_FAILED', text: 'no' }, retryAtMs: 500 }) as const
    const failed = story.at(2, up, { image })
    assert.deepEqual(failed.actions, [])
    assert.equal(failed.wakeAtMs, 500)
    assert.equal(reportOf(failed).state, 'degraded')
    assert.deepEqual(reportOf(failed).reason, {
      code: 'IMAGE_PULL_FAILED',
      text: 'no (what ran before the change runs on)',
    })
    assert.deepEqual(steps(story.at(500, up, { image })), ['ensure-image'])
    assert.deepEqual(steps(story.at(501, up)), ['stop-container main'])
    // Wanted as it was before: nothing is done to what runs.
    const back = new Story()
    assert.deepEqual(steps(back.at(0, up, { image })), [])
    assert.equal(reportOf(back.at(1, up, { image })).state, 'running')
  })

  test('at once where nothing is lost by it: an earlier placement, or one of which nothing runs', () => {
    const image = () => ({ at: 'unknown' }) as const
    const stale = plan({
      found: foundSet([foundContainer()]),
      wanted: testSet({ epoch: 2 }),
      image,
    })
    assert.deepEqual(steps(stale), ['stop-container main'])
    const ended = plan({ found: foundSet([exited(1)]), spec: { hash: 'other' }, image })
    assert.deepEqual(steps(ended), ['remove'])
  })

  test('never for an older placement than the host runs', () => {
    const result = plan({ found: foundSet([foundContainer()], { epoch: 2 }) })
    assert.deepEqual(result.actions, [])
    assert.equal(reportOf(result).reason?.code, 'NOT_ALLOWED_NOW')
  })
})

describe('a set that shall not run', () => {
  test('is stopped, keeps its sandbox, and starts at once when it shall run again', () => {
    const stopped = testSet({ run: 'stopped', generation: 2 })
    const story = new Story()
    story.at(0, foundSet([foundContainer()]))
    const stopping = story.at(1, foundSet([foundContainer()]), { wanted: stopped })
    assert.deepEqual(stopping.actions, [{ do: 'stop-container', name: 'main', timeoutMs: 1_000 }])
    assert.equal(reportOf(stopping).state, 'stopping')
    assert.equal(reportOf(stopping).generation, 2)
    const done = story.at(2, foundSet([exited(143)]), { wanted: stopped })
    assert.deepEqual(done.actions, [])
    assert.equal(reportOf(done).state, 'stopped')
    assert.equal(reportOf(done).containers[0]?.state, 'stopped')
    assert.equal(reportOf(done).containers[0]?.reason, null)
    const again = story.at(3, foundSet([exited(143)]), { wanted: testSet({ generation: 3 }) })
    assert.deepEqual(steps(again), ['start-container main'])
    assert.equal(reportOf(again).containers[0]?.restarts, 0)
  })

  test('and was never started is stopped without doing anything', () => {
    const result = plan({ wanted: testSet({ run: 'stopped' }) })
    assert.deepEqual(result.actions, [])
    assert.equal(reportOf(result).state, 'stopped')
  })

  test('because nobody has confirmed it waits with a reason, and ends what runs when the lease ends', () => {
    const wanted = testSet({ recovery: 'elsewhere' })
    const held = plan({ wanted, permission: 'unconfirmed' })
    assert.deepEqual(held.actions, [])
    assert.equal(reportOf(held).state, 'pending')
    assert.equal(reportOf(held).reason?.code, 'NOT_ALLOWED_NOW')
    const cut = plan({ wanted, permission: 'lease-ended', found: foundSet([foundContainer()]) })
    assert.deepEqual(steps(cut), ['stop-container main'])
  })
})

describe('a set that is not wanted', () => {
  test('is stopped, removed, and reported as absent once', () => {
    const story = new Story()
    story.at(0, foundSet([foundContainer()]))
    const gone = { wanted: null, spec: null }
    const stopping = story.at(1, foundSet([foundContainer()]), { ...gone, lastWanted: testSet() })
    assert.deepEqual(stopping.actions, [
      { do: 'stop-container', name: 'main', timeoutMs: testContainer().stopTimeoutMs },
    ])
    assert.equal(reportOf(stopping).state, 'stopping')
    assert.deepEqual(steps(story.at(2, foundSet([exited(143)]), gone)), ['remove'])
    const absent = story.at(3, null, gone)
    assert.deepEqual(absent.actions, [])
    assert.equal(reportOf(absent).state, 'absent')
    assert.deepEqual(reportOf(absent).containers, [])
    assert.equal(story.at(4, null, { ...gone, reported: null }).report, null)
  })

  test('and was never here is not spoken of', () => {
    const result = plan({ wanted: null })
    assert.deepEqual(result.actions, [])
    assert.equal(result.report, null)
  })

  test('and cannot be removed says why and is tried again', () => {
    const memory = afterSetback(emptySetMemory, refused, 1_000)
    const found = foundSet([])
    const early = plan({ wanted: null, memory, found, nowMs: 1_001 })
    assert.deepEqual(early.actions, [])
    assert.equal(early.wakeAtMs, 1_500)
    assert.deepEqual(reportOf(early).reason, refused)
    assert.deepEqual(steps(plan({ wanted: null, memory, found, nowMs: 1_500 })), ['remove'])
  })
})

describe('while the container engine is away', () => {
  test('a set that runs is said to go on, with the reason; nothing is done', () => {
    const story = new Story()
    const found = foundSet([foundContainer()])
    story.at(0, found)
    const result = story.at(1, found, { engineTrouble: away })
    assert.deepEqual(result.actions, [])
    assert.equal(reportOf(result).state, 'running')
    assert.deepEqual(reportOf(result).reason, away)
    assert.equal(reportOf(story.at(2, found)).reason, null)
  })

  test('a set that was never seen is pending with the reason', () => {
    const result = plan({ engineTrouble: away })
    assert.equal(reportOf(result).state, 'pending')
    assert.deepEqual(reportOf(result).reason, away)
  })

  test('an unwanted set is not called gone', () => {
    const result = plan({ wanted: null, engineTrouble: away })
    assert.equal(reportOf(result).state, 'stopping')
  })
})
