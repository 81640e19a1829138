// Proves that no wake is lost, that passes never overlap, and that a failing pass is tried again.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '@nubo/base'
import { silentLog } from './process/log.ts'
import { startReconciler } from './reconciler.ts'

function start(pass: () => Promise<boolean | void>) {
  const clock = new VirtualClock()
  return {
    clock,
    reconciler: startReconciler({ name: 'test', periodMs: 1_000, clock, log: silentLog, pass }),
  }
}

test('a wake in the very turns in which a pass ends leads to another pass', async () => {
  for (let turns = 0; turns < 12; turns++) {
    let passes = 0
    let release = (): void => undefined
    const { reconciler } = start(async () => {
      passes++
      if (passes === 1) await new Promise<void>((resolve) => (release = resolve))
    })
    release()
    for (let turn = 0; turn < turns; turn++) await Promise.resolve()
    reconciler.wake()
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(passes, 2, `after ${turns} turns`)
    await reconciler.stop()
  }
})

test('passes do not overlap; many wakes during one lead to one more', async () => {
  let running = 0
  let passes = 0
  let release = (): void => undefined
  const { reconciler } = start(async () => {
    passes++
    assert.equal(++running, 1)
    await new Promise<void>((resolve) => (release = resolve))
    running--
  })
  for (let count = 0; count < 10; count++) reconciler.wake()
  release()
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(passes, 2)
  const stopping = reconciler.stop()
  release()
  await stopping
  assert.equal(passes, 2)
})

test('a pass that throws runs again on the timer, one that asks for more at once', async () => {
  let passes = 0
  const { clock, reconciler } = start(() => {
    passes++
    if (passes === 1) return Promise.reject(new Error('no database'))
    return Promise.resolve(passes === 2)
  })
  await clock.advance(500)
  assert.equal(passes, 1)
  await clock.advance(600)
  assert.equal(passes, 3)
  await reconciler.stop()
})
