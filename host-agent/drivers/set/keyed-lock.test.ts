import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StartSlots } from './docker/start-slots.ts'
import { KeyedLock } from './keyed-lock.ts'
import { settleAll } from './settle-all.ts'

test('work on one key runs in order and never at once, also after a failure; other keys go on', async () => {
  const lock = new KeyedLock()
  const steps: string[] = []
  const gate = Promise.withResolvers<void>()
  const first = lock.run('a', async () => {
    steps.push('first begins')
    await gate.promise
    throw new Error('first')
  })
  const second = lock.run('a', async () => void steps.push('second'))
  await lock.run('b', async () => void steps.push('other'))
  assert.deepEqual(steps, ['first begins', 'other'])
  gate.resolve()
  await assert.rejects(first, /first/)
  await second
  await lock.run('a', async () => void steps.push('third'))
  assert.deepEqual(steps, ['first begins', 'other', 'second', 'third'])
})

test('no more starts at once than there are slots, in the order they came, also after failures', async () => {
  const slots = new StartSlots(2)
  const gates = Array.from({ length: 5 }, () => Promise.withResolvers<void>())
  const begun: number[] = []
  const starts = gates.map((gate, number) =>
    slots.run(async () => {
      begun.push(number)
      await gate.promise
    }),
  )
  const settled = Promise.allSettled(starts)
  assert.deepEqual(begun, [0, 1])
  gates[1]?.reject(new Error('no'))
  await starts[1]?.catch(() => {})
  assert.deepEqual(begun, [0, 1, 2])
  for (const gate of gates) gate.resolve()
  assert.equal((await settled).filter(({ status }) => status === 'fulfilled').length, 4)
  assert.deepEqual(begun, [0, 1, 2, 3, 4])
  await slots.run(async () => void begun.push(5))
})

test('one failure waits for the others to end', async () => {
  const gate = Promise.withResolvers<string>()
  let isOver = false
  const all = settleAll([Promise.reject(new Error('first')), gate.promise]).finally(
    () => (isOver = true),
  )
  all.catch(() => {})
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(isOver, false)
  gate.resolve('x')
  await assert.rejects(all, /first/)
  assert.deepEqual(await settleAll([Promise.resolve(1), Promise.resolve('a')]), [1, 'a'])
})
