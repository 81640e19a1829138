// Proves when a report of the host ends an operation: each kind of operation against each state of a set.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom, newId, VirtualClock } from '@nubo/base'
import type { FoundContainer, FoundSet } from '@nubo/contracts/host'
import { newOperation } from '../operations/index.ts'
import { outcomeOf } from './outcome.ts'

const deps = { clock: new VirtualClock(), random: seededRandom(1) }
const setId = newId<'set'>(deps.clock, deps.random)

function operation(kind: string, generation = 1) {
  return newOperation(
    {
      projectId: null,
      kind,
      resource: { kind: 'set', id: setId, name: 'web' },
      generation,
      progress: '',
      mayCancel: false,
    },
    deps,
  )
}

function container(restarts: number): FoundContainer {
  return {
    name: 'main',
    state: 'backoff',
    restarts,
    exitCode: 1,
    health: 'none',
    reason: null,
    startedAtMs: null,
  }
}

function found(state: FoundSet['state'], change: Partial<FoundSet> = {}): FoundSet {
  return {
    kind: 'set',
    id: setId,
    epoch: 1,
    generation: 1,
    state,
    progress: '',
    reason: null,
    containers: [],
    ...change,
  }
}

const reason = { code: 'CONTAINER_EXITED', text: 'main ended with 1' }

test('each operation ends in the state that it wants and in no other', () => {
  const ends: Record<string, FoundSet['state'][]> = {
    'set.create': ['running', 'stopped'],
    'set.start': ['running', 'stopped'],
    'set.restart': ['running', 'stopped'],
    'set.stop': ['stopped'],
    'set.remove': ['absent'],
  }
  const states: FoundSet['state'][] = [
    'pending',
    'pulling',
    'starting',
    'running',
    'degraded',
    'stopping',
    'stopped',
    'failed',
    'absent',
  ]
  for (const [kind, done] of Object.entries(ends)) {
    for (const state of states) {
      assert.equal(
        outcomeOf(operation(kind), found(state)).at,
        done.includes(state) ? 'done' : 'progress',
        `${kind} ${state}`,
      )
    }
  }
})

test('a report about an older generation says nothing', () => {
  assert.equal(outcomeOf(operation('set.stop', 2), found('stopped')).at, 'unrelated')
})

test('a start fails when the host says so, or when containers keep ending', () => {
  assert.equal(outcomeOf(operation('set.create'), found('failed', { reason })).at, 'failed')
  assert.equal(
    outcomeOf(operation('set.create'), found('degraded', { reason, containers: [container(1)] }))
      .at,
    'progress',
  )
  assert.equal(
    outcomeOf(operation('set.create'), found('degraded', { reason, containers: [container(2)] }))
      .at,
    'failed',
  )
  // It runs on as it was, but the change that was asked for cannot be made.
  const noImage = { code: 'IMAGE_PULL_FAILED', text: 'no such image' }
  assert.equal(
    outcomeOf(operation('set.update'), found('degraded', { reason: noImage })).at,
    'failed',
  )
})
