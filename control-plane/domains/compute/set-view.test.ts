// Proves the state that a set is shown in, from what is wanted, where it is, and what its host said last.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newId, seededRandom, VirtualClock } from '@nubo/base'
import type { SetFoundRow, SetRow } from '../../world/index.ts'
import { plainHost } from '../../world/testing/plain-host.ts'
import { standingOf } from './standing.ts'

const clock = new VirtualClock({ startMs: 1_000 })
const random = seededRandom(2)
const hostId = newId<'host'>(clock, random)

const host = plainHost({ id: hostId, sinceMs: 5 })

function set(change: Partial<SetRow> = {}): SetRow {
  return {
    id: newId(clock, random),
    projectId: newId(clock, random),
    name: 'web',
    wanted: 'running',
    generation: 2,
    restartCount: 0,
    recovery: 'local',
    cpuMillis: 1,
    memoryBytes: 1,
    labels: {},
    containers: [],
    placementRule: { hostId: null, spread: 'host', hostLabels: {} },
    priority: 100,
    hostId,
    epoch: 3,
    placement: { score: 0, decidedAtMs: 7, reason: null, rejected: [] },
    createdAtMs: 6,
    moved: null,
    leaving: null,
    localGeneration: null,
    ...change,
  }
}

function found(row: SetRow, change: Partial<SetFoundRow> = {}): SetFoundRow {
  return {
    id: row.id,
    hostId,
    epoch: 3,
    generation: 2,
    state: 'running',
    progress: '',
    reason: null,
    containers: [],
    sinceMs: 9,
    ...change,
  }
}

test('a set without a host is pending, with the reason of the last try', () => {
  const reason = { code: 'NOT_PLACED', text: 'h1: full' }
  const waiting = set({
    hostId: null,
    epoch: 0,
    placement: { score: 0, decidedAtMs: null, reason, rejected: [] },
  })
  assert.deepEqual(standingOf(waiting, { host: undefined, found: undefined }), {
    state: 'pending',
    reason,
    sinceMs: 6,
  })
  assert.equal(
    standingOf(set({ hostId: null, placement: null }), { host: undefined, found: undefined }).reason
      ?.code,
    'NOT_PLACED',
  )
})

test('a set on a host that is away is unknown, with since when', () => {
  const row = set()
  const away = {
    ...host,
    state: 'unreachable' as const,
    reason: { code: 'HOST_UNREACHABLE', text: 'silent' },
    sinceMs: 50,
  }
  assert.deepEqual(standingOf(row, { host: away, found: found(row) }), {
    state: 'unknown',
    reason: { code: 'HOST_UNREACHABLE', text: 'host h1 is unreachable: silent' },
    sinceMs: 50,
  })
})

test('what a host said of an older placement or generation does not count', () => {
  const row = set()
  assert.equal(standingOf(row, { host, found: found(row, { epoch: 2 }) }).state, 'starting')
  assert.equal(standingOf(row, { host, found: found(row, { generation: 1 }) }).state, 'starting')
  assert.equal(standingOf(set({ wanted: 'stopped' }), { host, found: undefined }).state, 'stopping')
})

test('otherwise the host is believed', () => {
  const row = set()
  for (const state of ['running', 'degraded', 'stopped', 'failed'] as const) {
    assert.equal(standingOf(row, { host, found: found(row, { state }) }).state, state)
  }
  assert.equal(standingOf(row, { host, found: found(row, { state: 'pulling' }) }).state, 'starting')
  assert.equal(
    standingOf({ ...row, wanted: 'removed' }, { host, found: found(row) }).state,
    'removing',
  )
})
