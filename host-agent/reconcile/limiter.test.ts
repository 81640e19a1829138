import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '@nubo/base'
import { withDeadline } from './deadline.ts'
import { Limiter } from './limiter.ts'

test('work waits for a place, urgent work in front, and a failure gives its place back', async () => {
  const limiter = new Limiter(1)
  const order: string[] = []
  const gate = Promise.withResolvers<void>()
  const work = (name: string, isUrgent = false): Promise<void> =>
    limiter.run(
      async () => {
        order.push(name)
        await gate.promise
        if (name === 'fails') throw new Error(name)
      },
      { isUrgent },
    )
  const failing = assert.rejects(work('fails'))
  const rest = [work('a'), work('b'), work('urgent', true)]
  assert.deepEqual(order, ['fails'])
  gate.resolve()
  await failing
  await Promise.all(rest)
  assert.deepEqual(order, ['fails', 'urgent', 'a', 'b'])
  await work('again')
})

test('a deadline ends the waiting and names the work', async () => {
  const clock = new VirtualClock()
  const waiting = withDeadline({
    clock,
    timeoutMs: 100,
    what: 'nothing',
    work: new Promise(() => undefined),
  })
  const rejected = assert.rejects(waiting, {
    code: 'DEADLINE_EXCEEDED',
    details: { what: 'nothing', limitMs: 100 },
  })
  await clock.advance(100)
  await rejected
  assert.equal(
    await withDeadline({ clock, timeoutMs: 1, what: 'x', work: Promise.resolve('done') }),
    'done',
  )
})
