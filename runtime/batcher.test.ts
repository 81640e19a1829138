// Proves that a batcher runs one batch at a time, in order and within its bound, and that a bad item spoils no other.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Batcher } from './batcher.ts'

function gated() {
  const batches: string[][] = []
  const gates: PromiseWithResolvers<void>[] = []
  return {
    batches,
    run: (items: readonly string[]): Promise<void> => {
      batches.push([...items])
      const gate = Promise.withResolvers<void>()
      gates.push(gate)
      return gate.promise
    },
    open: async (error?: Error): Promise<void> => {
      const gate = gates.shift()
      if (error === undefined) gate?.resolve()
      else gate?.reject(error)
      // All that follows from it, down to the next batch.
      await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

test('what comes while a batch is under way is the next batch, in order and at most so many', async () => {
  const { batches, run, open } = gated()
  const batcher = new Batcher({ itemsMax: 2, run, isWorthSplitting: () => true })
  const done: string[] = []
  for (const item of ['a', 'b', 'c', 'd']) void batcher.add(item).then(() => done.push(item))
  assert.deepEqual(batches, [['a']])
  await open()
  assert.deepEqual(batches, [['a'], ['b', 'c']])
  assert.deepEqual(done, ['a'])
  await open()
  await open()
  assert.deepEqual(batches, [['a'], ['b', 'c'], ['d']])
  assert.deepEqual(done, ['a', 'b', 'c', 'd'])
  const later = batcher.add('e')
  assert.deepEqual(batches.at(-1), ['e'])
  await open()
  await later
})

test('the items of a batch that failed are tried alone, and only the bad one fails', async () => {
  const tried: string[][] = []
  const batcher = new Batcher<string>({
    itemsMax: 10,
    run: async (items) => {
      tried.push([...items])
      if (items.includes('bad')) throw new Error('bad')
    },
    isWorthSplitting: () => true,
  })
  const outcomes = await Promise.allSettled(
    ['first', 'good', 'bad', 'better'].map((item) => batcher.add(item)),
  )
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
  )
  assert.deepEqual(tried, [['first'], ['good', 'bad', 'better'], ['good'], ['bad'], ['better']])
})

test('where trying alone would not help all of a batch fail at once, and the next batch runs', async () => {
  const { batches, run, open } = gated()
  const batcher = new Batcher({ itemsMax: 10, run, isWorthSplitting: () => false })
  const first = batcher.add('first')
  const both = Promise.allSettled([batcher.add('a'), batcher.add('b')])
  await open()
  await first
  await open(new Error('the database is away'))
  assert.deepEqual(
    (await both).map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  assert.equal(batches.length, 2)
  const after = batcher.add('c')
  await open()
  await after
})
