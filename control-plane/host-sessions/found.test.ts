// Proves which reports of a host count, in which order they are recorded, and when a host is cut off for them.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PlatformError, VirtualClock } from '@nubo/base'
import type { FoundReport, FoundSet } from '@nubo/contracts/host'
import { silentLog } from '@nubo/runtime'
import { World } from '../world/index.ts'
import { FoundQueue, judgeFound, mergeReports, STALE_REPORTS_MAX } from './found.ts'
import type { HostReport } from './needs.ts'
import { change, gone, hostId, hostRow, put, setId, setRow } from './testing/rows.ts'

function foundSet(n: number, changes: Partial<FoundSet> = {}): FoundSet {
  return {
    kind: 'set',
    id: setId(n),
    epoch: 2,
    generation: 1,
    state: 'running',
    progress: '',
    reason: null,
    containers: [],
    ...changes,
  }
}

function report(instances: FoundSet[], changes: Partial<FoundReport> = {}): FoundReport {
  return { type: 'found', full: false, last: true, wantedRevision: null, instances, ...changes }
}

/** Set 1 at epoch 2 on host 1, set 2 at epoch 2 on host 2. */
function start(record?: (report: HostReport) => Promise<void>) {
  const clock = new VirtualClock()
  const world = new World(clock)
  change(
    world,
    put('set', setRow(1, { hostId: hostId(1), epoch: 2 })),
    put('set', setRow(2, { hostId: hostId(2), epoch: 2 })),
  )
  const recorded: HostReport[] = []
  const violations: string[] = []
  const defects: unknown[] = []
  const clean = { count: 0 }
  /** Sets of which the host was told that they are gone, with the revision. */
  const told = new Map<string, number>()
  const queue = new FoundQueue({
    hostId: hostId(1),
    sessionId: 'session',
    world,
    clock,
    log: silentLog,
    goneAt: ({ id }) => told.get(id),
    after: async () => undefined,
    events: {
      recordFound: async (_host, found) => {
        await record?.(found)
        recorded.push(found)
      },
    },
    onClean: async () => void (clean.count += 1),
    onViolation: (reason) => {
      violations.push(reason)
      queue.stop()
    },
    onDefect: (error) => void defects.push(error),
  })
  return { clock, world, queue, recorded, violations, defects, clean, told }
}

describe('a report of a set', () => {
  test('is judged by where and at which epoch the set is', () => {
    const { world } = start()
    const judge = (n: number, changes: Partial<FoundSet> = {}) =>
      judgeFound(world, hostId(1), foundSet(n, changes))
    assert.equal(judge(1), 'current')
    assert.equal(judge(1, { epoch: 1 }), 'stale')
    assert.equal(judge(1, { epoch: 3 }), 'ahead')
    assert.equal(judge(1, { generation: 5 }), 'ahead')
    assert.equal(judge(2), 'foreign')
    assert.equal(judge(2, { epoch: 1 }), 'stale')
    assert.equal(judge(7), 'unknown')
    change(world, put('set', setRow(1, { hostId: null, epoch: 2 })))
    assert.equal(judge(1), 'stale')
  })

  test('merges with a later one, which says more', () => {
    const early = report([foundSet(1, { state: 'starting' }), foundSet(2)], { full: true })
    const late = report([foundSet(1, { state: 'running' }), foundSet(3)], { wantedRevision: 4 })
    assert.deepEqual(mergeReports(early, late), {
      ...report([foundSet(1, { state: 'running' }), foundSet(2), foundSet(3)]),
      full: true,
      wantedRevision: 4,
    })
    const full = report([foundSet(3)], { full: true })
    assert.deepEqual(mergeReports(early, full), full)
  })
})

describe('the reports of a session', () => {
  test('are recorded one at a time and in order; those that wait are merged', async () => {
    let release: () => void = () => {}
    let running = 0
    const { clock, queue, recorded } = start(async () => {
      assert.equal(++running, 1)
      await new Promise<void>((resolve) => {
        release = resolve
      })
      running--
    })
    queue.add(report([foundSet(1, { state: 'pending' })], { full: true }))
    await clock.advance(1)
    queue.add(report([foundSet(1, { state: 'starting' })]))
    queue.add(report([foundSet(1, { state: 'running' })]))
    await clock.advance(1)
    release()
    await clock.advance(1)
    release()
    await queue.idle()
    assert.deepEqual(
      recorded.map(({ full, instances }) => [full, instances.map(({ state }) => state)]),
      [
        [true, ['pending']],
        [false, ['running']],
      ],
    )
  })

  test('a full one that comes in parts counts when its last part has come', async () => {
    const { clock, queue, recorded } = start()
    queue.add(report([foundSet(1)], { full: true, last: false }))
    await clock.advance(1_000)
    assert.deepEqual(recorded, [])
    queue.add(report([foundSet(7)], { full: true, last: true }))
    await clock.advance(1)
    assert.deepEqual(recorded, [
      {
        instances: [foundSet(1)],
        full: true,
        mentioned: new Set([setId(1), setId(7)]),
        sessionId: 'session',
      },
    ])
  })

  test('of a returning host show when nothing of an older placement is left on it', async () => {
    const { clock, world, queue, clean } = start()
    const say = async (...asked: Parameters<typeof report>): Promise<number> => {
      queue.add(report(...asked))
      await clock.advance(1)
      return clean.count
    }
    change(world, put('host', hostRow(1, { state: 'ready' })))
    assert.equal(await say([foundSet(1)], { full: true }), 0, 'nobody waits for it')
    change(world, put('host', hostRow(1, { state: 'returning' })))
    const stale = foundSet(2, { epoch: 1, state: 'stopped' })
    const gone = foundSet(7, { state: 'running' })
    assert.equal(await say([foundSet(1), stale, gone], { full: true }), 0)
    assert.equal(await say([foundSet(2, { epoch: 1, state: 'absent' })]), 0)
    assert.equal(await say([foundSet(1, { state: 'degraded' })]), 0)
    assert.equal(await say([foundSet(7, { state: 'absent' })]), 1)
  })

  test('before all was told, show nothing', async () => {
    const { clock, world, queue, clean } = start()
    change(world, put('host', hostRow(1, { state: 'returning' })))
    queue.add(report([foundSet(1)]))
    await clock.advance(1)
    assert.equal(clean.count, 0)
    queue.add(report([foundSet(1)], { full: true }))
    await clock.advance(1)
    assert.equal(clean.count, 1)
  })

  test('what was refused in a full one was spoken of all the same', async () => {
    const { clock, queue, recorded } = start()
    queue.add(report([foundSet(1, { epoch: 1 })], { full: true }))
    await clock.advance(1)
    assert.deepEqual(recorded, [
      { instances: [], full: true, mentioned: new Set([setId(1)]), sessionId: 'session' },
    ])
  })

  test('are kept while the database is away', async () => {
    let away = true
    const { clock, queue, recorded, defects } = start(async () => {
      if (away) throw new PlatformError('DATABASE_UNAVAILABLE')
    })
    queue.add(report([foundSet(1, { state: 'starting' })], { full: true }))
    await clock.advance(5_000)
    queue.add(report([foundSet(1)]))
    away = false
    await clock.advance(1_000)
    assert.deepEqual(recorded, [
      {
        instances: [foundSet(1)],
        full: true,
        mentioned: new Set([setId(1)]),
        sessionId: 'session',
      },
    ])
    assert.deepEqual(defects, [])
  })

  test('end with the session on a defect instead of being tried for ever', async () => {
    const { clock, queue, defects } = start(() => Promise.reject(new Error('a bug')))
    queue.add(report([foundSet(1)]))
    await clock.advance(10_000)
    assert.equal(defects.length, 1)
  })

  test('are not recorded after the session has ended', async () => {
    const { clock, queue, recorded } = start(() =>
      Promise.reject(new PlatformError('DATABASE_UNAVAILABLE')),
    )
    queue.add(report([foundSet(1)]))
    await clock.advance(100)
    queue.stop()
    await clock.advance(10_000)
    assert.deepEqual(recorded, [])
    await queue.idle()
  })

  test('about the present placement of another host break the contract at once', async () => {
    const { clock, queue, recorded, violations } = start()
    queue.add(report([foundSet(1), foundSet(2)]))
    await clock.advance(1)
    assert.equal(violations.length, 1)
    assert.deepEqual(recorded, [])
  })

  test('about an old epoch are refused, and cut the host off when they go on', async () => {
    const { clock, queue, recorded, violations } = start()
    for (let round = 0; round <= STALE_REPORTS_MAX; round++) {
      assert.deepEqual(violations, [])
      queue.add(report([foundSet(1, { epoch: 1 })]))
      await clock.advance(50)
    }
    assert.equal(violations.length, 1)
    assert.deepEqual(recorded, [])
  })

  test('about the end of an old epoch, or of a set that is gone, are no offence', async () => {
    const { clock, world, queue, recorded, violations } = start()
    for (let round = 0; round < 3 * STALE_REPORTS_MAX; round++) {
      queue.add(report([foundSet(1, { epoch: 1, state: 'stopping' })]))
      queue.add(report([foundSet(1, { epoch: 1, state: 'absent' }), foundSet(9)]))
      await clock.advance(50)
    }
    change(world, gone('set', setId(1)))
    queue.add(report([foundSet(1)]))
    await clock.advance(50)
    assert.deepEqual(violations, [])
    assert.deepEqual(recorded, [])
  })

  test('wait for a revision that another server knew first', async () => {
    const { clock, world, queue, recorded } = start()
    const { revision } = world
    const ahead = foundSet(1, { epoch: 3 })
    queue.add(report([ahead], { wantedRevision: revision + 1 }))
    await clock.advance(500)
    assert.deepEqual(recorded, [])
    change(world, put('set', setRow(1, { hostId: hostId(1), epoch: 3 })))
    await clock.advance(1)
    assert.deepEqual(
      recorded.map(({ instances }) => instances),
      [[ahead]],
    )
  })

  test('that refer to a future that never comes are refused, without holding up the next', async () => {
    const { clock, queue, recorded } = start()
    queue.add(report([foundSet(1, { epoch: 99 })], { wantedRevision: 1_000_000 }))
    await clock.advance(10)
    queue.add(report([foundSet(1)]))
    await clock.advance(5_000)
    assert.deepEqual(
      recorded.map(({ instances }) => instances.map(({ epoch }) => epoch)),
      [[2]],
    )
  })

  test('of more sets than a host can have break the contract', async () => {
    const { clock, queue, violations } = start(() => new Promise(() => {}))
    queue.add(report([foundSet(1)]))
    await clock.advance(1)
    for (let n = 0; n < 11; n++)
      queue.add(report(Array.from({ length: 1_000 }, (_, at) => foundSet(n * 1_000 + at))))
    assert.equal(violations.length, 1)
  })
})

describe('a set that is to leave the host', () => {
  const leaving = { revision: 5, sinceMs: 0, reason: 'host h1 is drained' }
  const ids = (recorded: readonly HostReport[]) =>
    recorded.map(({ instances }) => instances.map(({ id, state }) => [id, state]))

  function leave() {
    const stage = start()
    change(stage.world, put('set', setRow(1, { hostId: hostId(1), epoch: 2, leaving })))
    const say = async (sets: FoundSet[], changes: Partial<FoundReport>) => {
      stage.queue.add(report(sets, changes))
      await stage.clock.advance(3_000)
      await stage.queue.idle()
      return ids(stage.recorded.splice(0))
    }
    return { ...stage, say }
  }
  const absent = [[[setId(1), 'absent']]]

  test('has left once the host knows of it and has told everything it has without it', async () => {
    const { say } = leave()
    assert.deepEqual(await say([], { full: true, wantedRevision: 4 }), [[]], 'it may start it yet')
    assert.deepEqual(await say([], { wantedRevision: 5 }), absent)
  })

  test('has not left while the host speaks of it, or before it has told everything', async () => {
    const { say } = leave()
    assert.deepEqual(await say([], { wantedRevision: 9 }), [])
    const stopping = foundSet(1, { state: 'stopping' })
    const told = [[[setId(1), 'stopping']]]
    assert.deepEqual(await say([stopping], { full: true, wantedRevision: 9 }), told)
    assert.deepEqual(await say([], { wantedRevision: 9 }), [])
    const gone = foundSet(1, { state: 'absent' })
    assert.deepEqual(await say([gone], { wantedRevision: 9 }), absent)
  })

  test('of which the host speaks at an older epoch has not left', async () => {
    const { say } = leave()
    const old = foundSet(1, { epoch: 1, state: 'stopping' })
    assert.deepEqual(await say([old], { full: true, wantedRevision: 9 }), [[]])
  })
})

describe('the end of a removed set', () => {
  const remove = (world: World): void =>
    change(world, put('set', setRow(1, { hostId: hostId(1), epoch: 2, wanted: 'removed' })))
  const statesOf = (recorded: readonly HostReport[]) =>
    recorded.flatMap(({ instances }) => instances.map(({ state, epoch }) => `${state} ${epoch}`))

  test('is concluded from a host that knows of it and has nothing of the set, which it never heard of', async () => {
    const { clock, world, queue, recorded, told } = start()
    queue.add(report([], { full: true, wantedRevision: 1 }))
    await clock.advance(1)
    remove(world)
    told.set(setId(1), 2)
    queue.add(report([], { wantedRevision: 1 }))
    await clock.advance(1)
    assert.deepEqual(statesOf(recorded), [], 'it may have been on its way')
    queue.add(report([], { wantedRevision: 2 }))
    await clock.advance(1)
    assert.deepEqual(statesOf(recorded), ['absent 2'])
  })

  test('is concluded when what was left of an older placement is gone, and not before', async () => {
    const { clock, world, queue, recorded, told } = start()
    remove(world)
    told.set(setId(1), 1)
    queue.add(report([foundSet(1, { epoch: 1 })], { full: true, wantedRevision: 2 }))
    queue.add(report([foundSet(1, { epoch: 1, state: 'stopping' })], { wantedRevision: 2 }))
    await clock.advance(1)
    assert.deepEqual(statesOf(recorded), [])
    queue.add(report([foundSet(1, { epoch: 1, state: 'absent' })], { wantedRevision: 2 }))
    await clock.advance(1)
    assert.deepEqual(statesOf(recorded), ['absent 2'])
  })

  test('is not concluded while no message has said so, or the host has not told everything', async () => {
    const { clock, world, queue, recorded, told } = start()
    remove(world)
    queue.add(report([], { wantedRevision: 2 }))
    told.set(setId(1), 2)
    queue.add(report([], { wantedRevision: 2 }))
    await clock.advance(1)
    told.clear()
    queue.add(report([], { full: true, wantedRevision: 2 }))
    await clock.advance(1)
    assert.deepEqual(statesOf(recorded), [])
  })
})
