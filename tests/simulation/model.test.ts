// Proves what callers may expect of changes that overlap each other, and of those that do not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SetShape } from './action.ts'
import { Model } from './model.ts'
import type { Answer } from './simulated-region.ts'

const ID = '0190a000-0001-7000-8000-000000000001'
const answered: Answer<{ resource: { id: string; name: string } }> = {
  at: 'answered',
  value: { resource: { id: ID, name: 'web' } },
}
const shapeOf = (memoryMib: number): SetShape => ({
  recovery: 'local',
  containers: 1,
  image: 'web',
  memoryMib,
  priority: 100,
  pinnedTo: undefined,
})

/** A set that was made and acknowledged, and the time. */
function made() {
  let nowMs = 0
  const model = new Model(() => nowMs)
  model.created(model.creating('web'), answered, shapeOf(64))
  const at = (ms: number): Model => {
    nowMs = ms
    return model
  }
  return { at, promised: () => model.sets.get(ID) }
}

test('changes that follow each other: the last one holds', () => {
  const { at, promised } = made()
  const first = at(10).changing('update', 'web', shapeOf(128))
  assert.equal(promised()?.shape, undefined)
  at(20).changed(first, answered)
  const second = at(30).changing('update', 'web', shapeOf(256))
  at(40).changed(second, answered)
  assert.deepEqual(promised()?.shape, shapeOf(256))
})

test('of changes at the same time none is known to be the last one, also when one was answered after the other', () => {
  const { at, promised } = made()
  const first = at(10).changing('update', 'web', shapeOf(128))
  const second = at(20).changing('update', 'web', shapeOf(256))
  at(30).changed(second, answered)
  at(40).changed(first, answered)
  assert.equal(promised()?.shape, undefined)
  const third = at(50).changing('update', 'web', shapeOf(512))
  at(60).changed(third, answered)
  assert.deepEqual(promised()?.shape, shapeOf(512))
})

test('one that was refused leaves the other alone', () => {
  const { at, promised } = made()
  const first = at(10).changing('stop', 'web')
  const second = at(20).changing('start', 'web')
  at(30).changed(second, { at: 'refused', code: 'NOT_ALLOWED_NOW' })
  at(40).changed(first, answered)
  assert.equal(promised()?.wanted, 'stopped')
})
