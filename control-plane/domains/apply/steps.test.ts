// Proves the order in which steps of an apply follow each other, what a failure takes with it, and that sets which wait
// for each other in a circle are found.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { orderByAfter, readySteps, skippedSteps, standingOf, type StepState } from './steps.ts'

const failure = (code: string) => ({ code, text: `because of ${code}` })

function steps(...made: Partial<StepState>[]): StepState[] {
  return made.map((one, number) => ({
    number,
    kind: 'set',
    name: `s${number}`,
    needs: [],
    isPrune: false,
    state: 'pending',
    reason: null,
    ...one,
  }))
}
const numbers = (found: Iterable<StepState>): number[] => [...found].map(({ number }) => number)

test('a step begins when all that it needs is done, and only so many at once', () => {
  const all = steps({ state: 'done' }, { needs: [0] }, { needs: [1] }, {}, { state: 'running' })
  assert.deepEqual(numbers(readySteps(all, 8)), [1, 3])
  assert.deepEqual(numbers(readySteps(all, 2)), [1])
  assert.deepEqual(numbers(readySteps(all, 1)), [])
})

test('a failure takes with it what needs it, however far, and nothing else', () => {
  const all = steps(
    { state: 'failed', reason: failure('NOT_PLACED') },
    { needs: [0] },
    { needs: [1] },
    {},
  )
  assert.deepEqual([...skippedSteps(all)], [1, 2])
  assert.deepEqual(numbers(readySteps(all, 8)), [3])
  assert.equal(standingOf(all).at, 'going')
})

test('nothing is pruned before everything else is done, nor after a failure', () => {
  const prune = { isPrune: true }
  assert.deepEqual(numbers(readySteps(steps({}, prune), 8)), [0])
  assert.deepEqual(numbers(readySteps(steps({ state: 'running' }, prune), 8)), [])
  assert.deepEqual(
    numbers(readySteps(steps({ state: 'done' }, prune, { ...prune, needs: [1] }), 8)),
    [1],
  )
  const failed = steps({ state: 'failed', reason: failure('IN_USE') }, prune)
  assert.deepEqual([...skippedSteps(failed)], [1])
  assert.equal(standingOf(failed).at, 'failed')
})

test('a failed removal keeps the other removals going that do not need it', () => {
  const all = steps(
    { isPrune: true, state: 'failed', reason: failure('IN_USE') },
    { isPrune: true },
    { isPrune: true, needs: [0] },
  )
  assert.deepEqual(numbers(readySteps(all, 8)), [1])
})

test('the end says what was done, what failed and why, and what was not tried', () => {
  const all = steps(
    { state: 'done', kind: 'network', name: 'shop' },
    { state: 'failed', reason: failure('NOT_PLACED') },
    { needs: [1] },
  )
  assert.deepEqual(standingOf(all), {
    at: 'failed',
    progress: '1 of 3 done',
    reason: {
      code: 'NOT_PLACED',
      text: '1 of 3 done; set s1: because of NOT_PLACED; not tried: set s2',
    },
  })
  const mixed = steps(
    { state: 'failed', reason: failure('NOT_PLACED') },
    { state: 'failed', reason: failure('ADDRESS_TAKEN') },
  )
  const standing = standingOf(mixed)
  assert.equal(standing.at === 'failed' && standing.reason.code, 'ADDRESS_TAKEN')
  assert.equal(standingOf(steps({ state: 'done' })).at, 'done')
  assert.equal(standingOf([]).at, 'done')
})

test('a reason stays within its bound however much fails', () => {
  const many = steps(
    ...Array.from({ length: 1_000 }, () => ({
      state: 'failed' as const,
      reason: { code: 'INTERNAL', text: 'x'.repeat(500) },
    })),
  )
  const standing = standingOf(many)
  assert.ok(standing.at === 'failed' && standing.reason.text.length <= 1_900)
})

test('sets come after those that they name; a circle is found and told', () => {
  const set = (name: string, ...after: string[]) => ({ name, after })
  assert.deepEqual(orderByAfter([set('web', 'db', 'cache'), set('cache', 'db'), set('db')]), {
    order: ['db', 'cache', 'web'],
  })
  assert.deepEqual(orderByAfter([set('a', 'b'), set('b', 'c'), set('c', 'b')]), {
    cycle: ['b', 'c', 'b'],
  })
  assert.deepEqual(orderByAfter([set('a', 'a')]), { cycle: ['a', 'a'] })
  // Who is not there is another problem.
  assert.deepEqual(orderByAfter([set('a', 'gone')]), { order: ['a'] })
  const chain = Array.from({ length: 1_000 }, (_, at) => set(`s${at}`, `s${at + 1}`))
  const ordered = orderByAfter([...chain, set('s1000')])
  assert.ok('order' in ordered && ordered.order[0] === 's1000' && ordered.order.length === 1_001)
})
