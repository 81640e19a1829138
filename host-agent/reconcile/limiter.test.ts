import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '@nubo/base'
import { withDeadline } from './deadline.ts'
import { Limiter, SharedLimiter } from './limiter.ts'

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

test('one key has only its part of the places, and all keys together no more than there are', async () => {
  const limiter = new SharedLimiter({ max: 3, maxPerKey: 2 })
  const begun: string[] = []
  const gate = Promise.withResolvers<void>()
  const all = ['a1', 'a2', 'a3', 'b1', 'c1'].map((name) =>
    limiter.run(name.charAt(0), async () => {
      begun.push(name)
      await gate.promise
    }),
  )
  assert.deepEqual(begun, ['a1', 'a2', 'b1'])
  gate.resolve()
  await Promise.all(all)
  assert.deepEqual(begun.toSorted(), ['a1', 'a2', 'a3', 'b1', 'c1'])
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
