// Proves that a batcher runs one batch at a time, in order and within its bound, and that a bad item spoils no other.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from '@nubo/base'
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

test('a batch that failed is tried in halves, and only the bad item fails', async () => {
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
  assert.deepEqual(tried, [
    ['first'],
    ['good', 'bad', 'better'],
    ['good', 'bad'],
    ['good'],
    ['bad'],
    ['better'],
  ])
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

test('a batch ends before an item whose key it has', async () => {
  const { batches, run, open } = gated()
  const batcher = new Batcher({
    itemsMax: 3,
    run,
    isWorthSplitting: () => false,
    keyOf: (item) => item.charAt(0),
  })
  for (const item of ['a1', 'b1', 'c1', 'b2', 'd1', 'e1', 'f1']) void batcher.add(item)
  for (let at = 0; at < 4; at++) await open()
  assert.deepEqual(batches, [['a1'], ['b1', 'c1'], ['b2', 'd1', 'e1'], ['f1']])
})

test('a batch of several is followed by a pause, one alone by none', async () => {
  const { batches, run, open } = gated()
  const clock = new VirtualClock()
  const pause = { clock, perItemMs: 10, mostMs: 25 }
  const batcher = new Batcher({ itemsMax: 10, run, isWorthSplitting: () => false, pause })
  void batcher.add('a')
  void batcher.add('b')
  void batcher.add('c')
  await open()
  assert.deepEqual(batches, [['a'], ['b', 'c']])
  await open()
  void batcher.add('d')
  await clock.advance(19)
  assert.equal(batches.length, 2)
  await clock.advance(1)
  assert.deepEqual(batches, [['a'], ['b', 'c'], ['d']])
  for (const item of ['e', 'f', 'g']) void batcher.add(item)
  await open()
  assert.deepEqual(batches.at(-1), ['e', 'f', 'g'])
  await open()
  void batcher.add('h')
  await clock.advance(24)
  assert.equal(batches.length, 4)
  await clock.advance(1)
  assert.deepEqual(batches.at(-1), ['h'])
})
