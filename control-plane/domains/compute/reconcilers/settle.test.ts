// Proves which operations a pass would end, so that the others need no pass.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '@nubo/runtime'
import type { OperationId } from '@nubo/base'
import { change, hostId, put, setId, setRow } from '../../../host-sessions/testing/rows.ts'
import { World, type OperationRow, type SetFoundRow } from '../../../world/index.ts'
import { isSettled } from './settle.ts'

const operation = (changes: Partial<OperationRow> = {}): OperationRow => ({
  id: 'a1000000-0000-7000-8000-000000000001' as OperationId, // proof: a UUID
  projectId: null,
  kind: 'set.create',
  resourceKind: 'set',
  resourceId: setId(1),
  resourceName: 'web',
  state: 'running',
  progress: '',
  reason: null,
  generation: 1,
  mayCancel: false,
  createdAtMs: 1,
  updatedAtMs: 1,
  endedAtMs: null,
  deadlineAtMs: 2,
  ...changes,
})

const found = (generation: number): SetFoundRow => ({
  id: setId(1),
  hostId: hostId(1),
  epoch: 1,
  generation,
  state: 'running',
  progress: '',
  reason: null,
  containers: [],
  sinceMs: 1,
})

test('an operation is settled once its host has reached what it wants, or its set is gone', () => {
  const world = new World(systemClock)
  change(world, put('set', setRow(1, { hostId: hostId(1), generation: 2 })))
  assert.equal(isSettled(world, operation()), false)
  change(world, put('setFound', found(1)))
  assert.equal(isSettled(world, operation()), true)
  assert.equal(isSettled(world, operation({ generation: 2 })), false)
  assert.equal(isSettled(world, operation({ endedAtMs: 3, state: 'failed' })), false)
  assert.equal(isSettled(world, operation({ resourceKind: 'host' })), false)
  assert.equal(isSettled(world, operation({ resourceId: setId(2) })), true)
  assert.equal(isSettled(world, undefined), false)
})
