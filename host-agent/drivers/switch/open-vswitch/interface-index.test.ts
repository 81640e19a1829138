import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { Replica } from '@nubo/wire-ovsdb'

import type { PortChange } from '../switch-driver.ts'
import { emptyReplica, uuid } from '../testing/vswitch-replica.ts'
import { InterfaceIndex } from './interface-index.ts'

interface Rig {
  readonly replica: Replica
  readonly index: InterfaceIndex
  readonly changes: PortChange[]
}

const OURS = ['map', [['nubo-port', 'p']]]

function makeRig(): Rig {
  const replica = emptyReplica()
  const changes: PortChange[] = []
  const index = new InterfaceIndex(replica, (change) => changes.push(change))
  return { replica, index, changes }
}

function attach({ replica }: Rig, row: Record<string, unknown> = {}): void {
  const interfaceRow = { name: 've1', external_ids: OURS, ofport_request: 7, ...row }
  replica.update(
    {
      Interface: { [uuid(1)]: { insert: interfaceRow } },
      Port: { [uuid(2)]: { insert: { name: 've1', external_ids: OURS } } },
    },
    't',
  )
}

function modify({ replica }: Rig, row: Record<string, unknown>): void {
  replica.update({ Interface: { [uuid(1)]: { modify: row } } }, 't')
}

test('rows that are not ours are not ports', () => {
  const rig = makeRig()
  attach(rig, { external_ids: ['map', [['other', 'x']]] })
  assert.equal(rig.index.ports.size, 0)
  assert.deepEqual(rig.changes, [])
})

test('a port waits, is plugged, and fails by what the switch writes', () => {
  const rig = makeRig()
  attach(rig)
  assert.deepEqual(rig.index.ports.get('p')?.state, { at: 'waiting' })
  assert.equal(rig.index.portRow('p'), uuid(2))
  modify(rig, { ofport: 7, ifindex: 12 })
  assert.deepEqual(rig.index.ports.get('p')?.state, { at: 'plugged' })
  modify(rig, { mac_in_use: '0a:00:00:00:00:01' })
  assert.equal(rig.changes.length, 2, 'what does not matter is not told')
  modify(rig, { error: 'could not open network device' })
  assert.deepEqual(rig.index.ports.get('p')?.state, {
    at: 'failed',
    reason: 'could not open network device',
  })
  modify(rig, { error: ['set', []], ofport: -1 })
  assert.equal(rig.index.ports.get('p')?.state.at, 'failed')
  modify(rig, { ofport: 8 })
  assert.match(JSON.stringify(rig.index.ports.get('p')?.state), /ofport 8 instead of 7/)
})

test('a device that vanishes fails, one that is replaced is stale, the old one coming back is neither', () => {
  const rig = makeRig()
  attach(rig, { ofport: 7, ifindex: 12 })
  modify(rig, { ifindex: 0 })
  assert.equal(rig.index.ports.get('p')?.state.at, 'failed')
  assert.deepEqual(rig.index.stalePorts(), [])
  modify(rig, { ifindex: 13 })
  assert.equal(rig.index.ports.get('p')?.state.at, 'failed')
  assert.deepEqual(
    rig.index.stalePorts().map(({ portId }) => portId),
    ['p'],
  )
  modify(rig, { ifindex: 12 })
  assert.deepEqual(rig.index.ports.get('p')?.state, { at: 'plugged' })
  assert.deepEqual(rig.index.stalePorts(), [])
})

test('a port replaced in one transaction changes once and never vanishes', () => {
  const rig = makeRig()
  attach(rig, { ofport: 7, ifindex: 12 })
  const { replica, index, changes } = rig
  for (const order of ['old first', 'new first']) {
    const [oldInterface, newInterface] = order === 'old first' ? [1, 3] : [3, 1]
    const deleted = { [uuid(oldInterface)]: { delete: null } }
    const inserted = {
      [uuid(newInterface)]: {
        insert: { name: 've2', external_ids: OURS, ofport_request: 9, ofport: 9, ifindex: 20 },
      },
    }
    const [oldPort, newPort] = order === 'old first' ? [2, 4] : [4, 2]
    replica.update(
      {
        Interface:
          order === 'old first' ? { ...deleted, ...inserted } : { ...inserted, ...deleted },
        Port: {
          [uuid(newPort)]: { insert: { name: 've2', external_ids: OURS } },
          [uuid(oldPort)]: { delete: null },
        },
      },
      't',
    )
    assert.equal(index.portRow('p'), uuid(newPort), order)
    assert.equal(index.ports.get('p')?.name, 've2', order)
    assert.ok(
      changes.every((change) => change.new !== undefined),
      order,
    )
  }
  assert.deepEqual(index.stalePorts(), [], 'another row begins anew')
  assert.equal(changes.length, 2, 'the second replacement changed nothing that matters')
})

test('a port that goes is told with what it was', () => {
  const rig = makeRig()
  attach(rig, { ofport: 7 })
  rig.replica.update(
    { Interface: { [uuid(1)]: { delete: null } }, Port: { [uuid(2)]: { delete: null } } },
    't',
  )
  assert.equal(rig.index.ports.size, 0)
  assert.equal(rig.index.portRow('p'), undefined)
  assert.deepEqual(rig.changes.at(-1), {
    portId: 'p',
    old: { portId: 'p', name: 've1', ofport: 7, state: { at: 'plugged' } },
    new: undefined,
  })
})
