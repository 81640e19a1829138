import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { seededRandom, type Clock } from '@nubo/base'
import type { ProgramExit } from '@nubo/runtime'
import { SupervisedProgram, type Running } from './supervised.ts'

/** A clock whose time passes only by `advance`. */
function virtualClock(): Clock & { advance(ms: number): Promise<void> } {
  let nowMs = 0
  let timers: { atMs: number; fire: () => void }[] = []
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    after: (delayMs, fire) => {
      const timer = { atMs: nowMs + delayMs, fire }
      timers.push(timer)
      return { cancel: () => (timers = timers.filter((other) => other !== timer)) }
    },
    async advance(ms) {
      nowMs += ms
      const due = timers.filter((timer) => timer.atMs <= nowMs)
      timers = timers.filter((timer) => timer.atMs > nowMs)
      for (const timer of due) timer.fire()
      await settle()
    },
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve()
}

class FakeProgram implements Running {
  readonly pid: number
  readonly exited: Promise<ProgramExit>
  stopped = false
  #end: (exit: ProgramExit) => void = () => undefined

  constructor(pid: number) {
    this.pid = pid
    this.exited = new Promise((resolve) => (this.#end = resolve))
  }

  die(exit: ProgramExit = { code: null, signal: 'SIGKILL' }): void {
    this.#end(exit)
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.die({ code: 0, signal: null })
  }
}

function setUp(ready?: (signal: AbortSignal) => Promise<void>) {
  const clock = virtualClock()
  const starts: FakeProgram[] = []
  const program = new SupervisedProgram({
    name: 'engine',
    start: () => {
      const next = new FakeProgram(100 + starts.length)
      starts.push(next)
      return next
    },
    ...(ready === undefined ? {} : { ready }),
    clock,
    random: seededRandom(1),
    log: { warn: () => undefined },
    lastWords: () => 'no space left',
  })
  const latest = (): FakeProgram => starts.at(-1) ?? assert.fail('never started')
  return { clock, starts, program, latest }
}

describe('SupervisedProgram', () => {
  it('runs after turnOn, once, however often it is turned on', async () => {
    const { program, starts } = setUp()
    await program.turnOn()
    await program.turnOn()
    assert.equal(starts.length, 1)
    assert.equal(program.state.at, 'running')
    assert.equal(program.pid, 100)
  })

  it('is started again after it died, later each time, and soon again after a quiet while', async () => {
    const { program, starts, clock, latest } = setUp()
    await program.turnOn()
    const pauses: number[] = []
    for (let i = 0; i < 9; i++) {
      latest().die()
      await settle()
      const { state } = program
      assert.equal(state.at, 'waiting')
      const pauseMs = state.at === 'waiting' ? state.nextMs - clock.nowMs() : 0
      pauses.push(pauseMs)
      await clock.advance(pauseMs)
      assert.equal(program.state.at, 'running')
    }
    assert.equal(starts.length, 10)
    assert.equal(program.restarts, 9)
    assert.ok(
      (pauses[0] ?? 0) <= 200 && (pauses[8] ?? 0) >= 5_000 && Math.max(...pauses) <= 10_000,
      String(pauses),
    )

    await clock.advance(30_000)
    latest().die()
    await settle()
    await clock.advance(200)
    assert.equal(program.state.at, 'running')
  })

  it('stays off when turned off, even if its restart was due', async () => {
    const { program, starts, clock, latest } = setUp()
    await program.turnOn()
    latest().die()
    await settle()
    await program.turnOff()
    await clock.advance(60_000)
    assert.equal(starts.length, 1)
    assert.equal(program.state.at, 'off')
    await program.turnOn()
    assert.equal(starts.length, 2)
  })

  it('tells why a first start failed, with the last words, and leaves nothing running', async () => {
    const { program, latest } = setUp(async () => {
      throw new Error('no socket after 5 s')
    })
    await assert.rejects(program.turnOn(), (error: Error) => {
      assert.match(error.message, /engine does not become ready; its last words: no space left/)
      assert.match(String(error.cause), /no socket/)
      return true
    })
    assert.ok(latest().stopped)
    assert.equal(program.state.at, 'off')
  })

  it('stops waiting for a program that ends before it is ready', async () => {
    const { program, starts } = setUp(
      (signal) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    )
    const turningOn = program.turnOn()
    await settle()
    starts[0]?.die({ code: 3, signal: null })
    await assert.rejects(turningOn, /engine ended at once \(exit code 3\)/)
  })

  it('ends a program whose start came through after it was turned off', async () => {
    const { program, latest } = setUp()
    const turningOn = program.turnOn()
    await program.turnOff()
    await turningOn
    assert.ok(latest().stopped)
    assert.equal(program.state.at, 'off')
  })

  it('runs what must be done after each start again after a restart', async () => {
    let readied = 0
    const { program, clock, latest } = setUp(async () => {
      readied++
    })
    await program.turnOn()
    latest().die()
    await settle()
    await clock.advance(200)
    assert.equal(readied, 2)
  })
})
