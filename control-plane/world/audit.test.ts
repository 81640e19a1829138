// Proves what the audit tells of a change: which rows count, what is left out of a digest, which decisions are told.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom, VirtualClock } from '@nubo/base'
import type { CallAct, SystemAct } from './acting.ts'
import { auditRows, digest, isTold, type RowChange } from './audit.ts'

const deps = { clock: new VirtualClock(), random: seededRandom(1) }
const call: CallAct = {
  by: 'call',
  actor: 'ci',
  tokenId: 't',
  accountId: null,
  projectId: 'own',
  requestId: 'r',
  call: 'setStop',
  resourceKind: 'set',
  resource: 'web',
}
const place: SystemAct = { by: 'system', actor: 'system:place', call: 'place' }
const set = (before: object | null, after: object | null): RowChange => ({
  kind: 'set',
  id: 's',
  before,
  after,
})
const row = { name: 'web', projectId: 'p', wanted: 'running', hostId: null, epoch: 0 }

test('a digest knows no order, no secret and no value of an environment', () => {
  const of = (value: object) => digest([{ kind: 'set', id: 's', row: value }])
  assert.equal(of({ a: 1, b: [1, { c: 2, d: 3 }] }), of({ b: [1, { d: 3, c: 2 }], a: 1 }))
  assert.notEqual(of({ a: 1 }), of({ a: 2 }))
  assert.equal(of({ a: 1, secretSha256: 'x' }), of({ a: 1, secretSha256: 'y' }))
  assert.equal(
    of({ containers: [{ env: { KEY: '1' } }] }),
    of({ containers: [{ env: { KEY: '2' } }] }),
  )
  assert.notEqual(of({ containers: [{ env: { KEY: '1' } }] }), of({ containers: [{ env: {} }] }))
  assert.equal(digest([{ kind: 'set', id: 's', row: null }]), null)
})

test('a call tells of its resource, also where it changed nothing', () => {
  const port: RowChange = {
    kind: 'port',
    id: 'q',
    before: null,
    after: { name: 'web-eth0', projectId: 'p' },
  }
  const [made] = auditRows(call, [port, set(null, row)], deps)
  assert.deepEqual([made?.resourceId, made?.resourceName, made?.projectId], ['s', 'web', 'p'])
  assert.equal(made?.beforeSha256, null)
  assert.notEqual(made?.afterSha256, null)
  const [nothing] = auditRows(call, [], deps)
  assert.deepEqual(
    [nothing?.resourceId, nothing?.resourceName, nothing?.projectId, nothing?.afterSha256],
    [null, 'web', 'own', null],
  )
  assert.deepEqual(
    (['set', 'port', 'operation', 'setFound'] as const).filter((kind) => isTold(call, kind)),
    ['set', 'port'],
  )
})

test('a reconciler tells what it decided of what was there, and nothing else', () => {
  const placed = { ...row, hostId: 'h', epoch: 1 }
  assert.deepEqual(
    auditRows(place, [set(row, placed)], deps).map(({ actor, note }) => [actor, note]),
    [['system:place', 'hostId "h", epoch 1']],
  )
  assert.deepEqual(auditRows(place, [set(row, { ...row, placement: {} })], deps), [])
  assert.deepEqual(
    auditRows(place, [set(row, null)], deps).map(({ note }) => note),
    ['removed'],
  )
})

test('of hosts and brakes it tells what is decided about them, a brake from its beginning', () => {
  const fence: SystemAct = { by: 'system', actor: 'system:fence', call: 'fence' }
  const told = (kind: 'host' | 'brake', before: object | null, after: object | null) =>
    auditRows(fence, [{ kind, id: 'x', before, after }], deps).map(({ note }) => note)
  assert.deepEqual(told('host', { state: 'unreachable' }, { state: 'fenced' }), ['state "fenced"'])
  assert.deepEqual(told('host', { state: 'ready', fence: null }, { state: 'ready', fence: {} }), [])
  assert.deepEqual(told('brake', null, { hosts: ['h1'] }), ['hosts ["h1"]'])
  assert.deepEqual(told('brake', { hosts: ['h1'] }, { hosts: ['h1'], reason: {} }), [])
  assert.deepEqual(told('brake', { hosts: ['h1'] }, null), ['removed'])
})
