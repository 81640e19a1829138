// Proves the order of virtual time: by due time, then by creation; cancelled timers never fire.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { every, sleep } from './clock.ts'
import { seededRandom } from './random.ts'
import { VirtualClock } from './virtual-clock.ts'

test('timers fire by due time, equal ones in the order they were made', async () => {
  const clock = new VirtualClock()
  const random = seededRandom(7)
  const fired: { at: number; order: number }[] = []
  for (let order = 0; order < 500; order++) {
    const delay = Math.floor(random.fraction() * 50)
    clock.after(delay, () => fired.push({ at: delay, order }))
  }
  await clock.advance(100)
  assert.equal(fired.length, 500)
  assert.deepEqual(
    fired,
    fired.toSorted((a, b) => a.at - b.at || a.order - b.order),
  )
  assert.equal(clock.monotonicMs(), 100)
})

test('a cancelled timer does not fire, and sleep ends with its signal', async () => {
  const clock = new VirtualClock()
  let fired = 0
  clock.after(10, () => fired++).cancel()
  const abort = new AbortController()
  const sleeping = sleep(clock, 1_000, abort.signal)
  abort.abort(new Error('enough'))
  await assert.rejects(sleeping, /enough/)
  await clock.advance(2_000)
  assert.equal(fired, 0)
})

test('every repeats after the call before has ended', async () => {
  const clock = new VirtualClock()
  const at: number[] = []
  const timer = every(clock, 10, async () => {
    at.push(clock.monotonicMs())
    await sleep(clock, 5)
  })
  await clock.advance(50)
  timer.cancel()
  await clock.advance(50)
  assert.deepEqual(at, [10, 25, 40])
})
