// Proves when a wait ends, that no wake is lost, and that a signal is listened to once however often one waits.
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { VirtualClock } from '@nubo/base'
import { Wakeup } from './wakeup.ts'

function make() {
  const clock = new VirtualClock()
  const wakeup = new Wakeup(clock)
  const abort = new AbortController()
  const ends: number[] = []
  const wait = (maxMs: number, { signal } = abort): void =>
    void wakeup.wait({ maxMs, signal }).then(() => ends.push(clock.monotonicMs()))
  return { clock, wakeup, abort, ends, wait }
}

test('a wait ends by being woken, by time, or with the signal', async () => {
  const { clock, wakeup, abort, ends, wait } = make()
  wait(Infinity)
  await clock.advance(10)
  assert.deepEqual(ends, [])
  wakeup.wake()
  await clock.advance(10)
  wait(30)
  await clock.advance(100)
  wait(Infinity)
  await clock.advance(5)
  abort.abort()
  await clock.advance(5)
  assert.deepEqual(ends, [10, 50, 125])
  // From now on nothing waits.
  wait(Infinity)
  await clock.advance(0)
  assert.equal(ends.length, 4)
})

test('a wake that comes while nobody waits ends the next wait, and only that', async () => {
  const { clock, wakeup, ends, wait } = make()
  wakeup.wake()
  wakeup.wake()
  wait(Infinity)
  await clock.advance(0)
  assert.deepEqual(ends, [0])
  wait(20)
  await clock.advance(100)
  assert.deepEqual(ends, [0, 20])
})

test('a signal is listened to once for all waits, another one instead of it, and none after the end', async () => {
  const { clock, wakeup, abort, ends, wait } = make()
  const listeners = (of: AbortController): number => getEventListeners(of.signal, 'abort').length
  for (let count = 0; count < 10; count++) {
    wait(1)
    await clock.advance(1)
  }
  assert.equal(ends.length, 10)
  assert.equal(listeners(abort), 1)
  const other = new AbortController()
  wait(Infinity, other)
  assert.deepEqual([listeners(abort), listeners(other)], [0, 1])
  abort.abort()
  await clock.advance(0)
  assert.equal(ends.length, 10)
  other.abort()
  await clock.advance(0)
  assert.equal(ends.length, 11)
  wakeup.close()
  wakeup.close()
  assert.deepEqual([listeners(abort), listeners(other)], [0, 0])
})
