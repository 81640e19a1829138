// Proves that a process that blocks sees it in the delays of its event loop, in this window and then in the one before.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '@nubo/base'
import { watchProcess } from './process-watch.ts'
import { systemClock } from './system.ts'

function block(ms: number): void {
  const untilMs = systemClock.monotonicMs() + ms
  while (systemClock.monotonicMs() < untilMs);
}

test('a blocked event loop is seen, and a new window begins after a minute', async (t) => {
  const clock = new VirtualClock()
  const watch = watchProcess(clock)
  t.after(() => watch.stop())
  const seen = async (): Promise<void> => {
    // Two timers of the sampler must come, however busy the machine is.
    while (watch.status().loopDelay.now.maxMs < 100) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      block(200)
    }
  }
  await seen()
  const { loopDelay, residentBytes, heapUsedBytes } = watch.status()
  assert.equal(loopDelay.before, null)
  assert.ok(
    loopDelay.now.maxMs >= loopDelay.now.p99Ms && loopDelay.now.p99Ms >= loopDelay.now.p50Ms,
  )
  assert.ok(residentBytes > heapUsedBytes && heapUsedBytes > 0)
  await clock.advance(60_000)
  const after = watch.status().loopDelay
  assert.equal(after.before?.windowMs, 60_000)
  assert.ok((after.before?.maxMs ?? 0) >= 100)
  assert.equal(after.now.windowMs, 0)
})
