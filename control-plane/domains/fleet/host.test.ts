// Proves what a host looks like to operators: taken resources, counts, and a reason in every state but `ready`.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '@nubo/runtime'
import { World, type HostRow, type SetRow } from '../../world/index.ts'
import { plainHost } from '../../world/testing/plain-host.ts'
import { hostView } from './host.ts'

const host = plainHost({
  inviteSha256: 'secret-hash',
  inviteExpiresAtMs: 1_000,
  certificateSerial: 'aa',
})

function setOn(hostId: HostRow['id'] | null, changes: Partial<SetRow>): SetRow {
  return {
    id: 's' as SetRow['id'],
    projectId: 'p' as SetRow['projectId'],
    name: 'web',
    wanted: 'running',
    generation: 1,
    restartCount: 0,
    recovery: 'local',
    cpuMillis: 250,
    memoryBytes: 1_000,
    labels: {},
    containers: [],
    placementRule: { hostId: null, spread: 'host', hostLabels: {} },
    priority: 100,
    hostId,
    epoch: 1,
    placement: null,
    moved: null,
    leaving: null,
    localGeneration: null,
    createdAtMs: 1,
    ...changes,
  }
}

test('sets that run or are stopped take resources, sets that are removed or elsewhere do not', () => {
  const world = new World(systemClock)
  const bodies = [
    setOn(host.id, { id: 'a' as SetRow['id'], name: 'a' }),
    setOn(host.id, { id: 'b' as SetRow['id'], name: 'b', wanted: 'stopped', cpuMillis: 100 }),
    setOn(host.id, { id: 'c' as SetRow['id'], name: 'c', wanted: 'removed' }),
    setOn('h2' as HostRow['id'], { id: 'd' as SetRow['id'], name: 'd' }),
    setOn(null, { id: 'e' as SetRow['id'], name: 'e' }),
  ]
  world.apply(1, [
    { kind: 'host', id: host.id, body: host },
    ...bodies.map((body) => ({ kind: 'set' as const, id: body.id, body })),
  ])
  const view = hostView(world, host)
  assert.deepEqual(view.allocated, { cpuMillis: 350, memoryBytes: 2_000, diskBytes: 0 })
  assert.equal(view.sets, 2)
})

test('every state but ready says why, and no secret is shown', () => {
  const world = new World(systemClock)
  const reason = { code: 'HOST_UNREACHABLE', text: 'silent' }
  assert.equal(hostView(world, host).reason, null)
  assert.match(
    hostView(world, { ...host, state: 'invited' }).reason?.text ?? '',
    /nubo host invite h1/,
  )
  assert.match(hostView(world, { ...host, state: 'joining' }).reason?.text ?? '', /not connected/)
  assert.deepEqual(hostView(world, { ...host, state: 'unreachable', reason }).reason, reason)
  assert.doesNotMatch(JSON.stringify(hostView(world, host)), /secret-hash|certificate|invite/)
})
