import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { Replica } from '@nubo/wire-ovsdb'

import { emptyReplica, uuid } from '../testing/vswitch-replica.ts'
import { bridgeOperations } from './bridge.ts'
import { withDefaults } from './config.ts'

const config = withDefaults({
  ovsdbSocket: '/run/db.sock',
  runDir: '/run',
  datapathType: 'netdev',
  vtepAddress: '192.168.77.1',
})

const TUNNEL_OPTIONS = [
  ['remote_ip', 'flow'],
  ['key', 'flow'],
  ['local_ip', '192.168.77.1'],
  ['dst_port', '4789'],
]

interface Parts {
  readonly bridge?: Record<string, unknown>
  readonly tunnel?: Record<string, unknown>
  readonly ports?: readonly number[]
}

/** A switch as the driver makes it, but for the given parts. */
function prepared({ bridge = {}, tunnel = {}, ports = [2] }: Parts = {}): Replica {
  const replica = emptyReplica()
  const bridgeRow = {
    name: 'br-int',
    datapath_type: 'netdev',
    fail_mode: 'secure',
    protocols: ['set', ['OpenFlow10', 'OpenFlow13', 'OpenFlow14', 'OpenFlow15']],
    ports: ['set', ports.map((port) => ['uuid', uuid(port)])],
    ...bridge,
  }
  const tunnelRow = {
    name: 'vx0',
    type: 'vxlan',
    options: ['map', TUNNEL_OPTIONS],
    ofport_request: 65_000,
    ...tunnel,
  }
  replica.update(
    {
      Bridge: { [uuid(1)]: { insert: bridgeRow } },
      Port: { [uuid(2)]: { insert: { name: 'vx0' } } },
      Interface: { [uuid(3)]: { insert: tunnelRow } },
    },
    'first',
  )
  return replica
}

test('an empty switch gets bridge, local port and tunnel in one transaction', () => {
  const operations = bridgeOperations(emptyReplica(), config)
  assert.deepEqual(
    operations.map(({ op, table }) => [op, table]),
    [
      ['insert', 'Interface'],
      ['insert', 'Port'],
      ['insert', 'Interface'],
      ['insert', 'Port'],
      ['insert', 'Bridge'],
      ['mutate', 'Open_vSwitch'],
    ],
  )
  assert.deepEqual(operations[0]?.['row'], {
    name: 'vx0',
    type: 'vxlan',
    options: ['map', TUNNEL_OPTIONS],
    ofport_request: ['set', [65_000]],
  })
  assert.deepEqual(operations[4]?.['row'], {
    name: 'br-int',
    datapath_type: 'netdev',
    fail_mode: ['set', ['secure']],
    protocols: ['set', ['OpenFlow10', 'OpenFlow13', 'OpenFlow14', 'OpenFlow15']],
    controller: ['set', []],
    ports: [
      'set',
      [
        ['named-uuid', 'local_port'],
        ['named-uuid', 'tunnel_port'],
      ],
    ],
  })
})

test('a switch that is as wanted is left alone', () => {
  assert.deepEqual(bridgeOperations(prepared(), config), [])
})

test('each setting of the bridge that differs is put right', () => {
  const differences: readonly Record<string, unknown>[] = [
    { datapath_type: '' },
    { fail_mode: ['set', []] },
    { fail_mode: 'standalone' },
    { protocols: ['set', []] },
    { protocols: ['set', ['OpenFlow10', 'OpenFlow13', 'OpenFlow14', 'OpenFlow11']] },
    { controller: ['uuid', uuid(9)] },
  ]
  for (const bridge of differences) {
    const operations = bridgeOperations(prepared({ bridge }), config)
    assert.deepEqual(
      operations.map(({ op, table }) => [op, table]),
      [['update', 'Bridge']],
      JSON.stringify(bridge),
    )
  }
})

test('each setting of the tunnel that differs is put right', () => {
  const differences: readonly Record<string, unknown>[] = [
    { type: 'geneve' },
    { ofport_request: ['set', []] },
    { options: ['map', []] },
    { options: ['map', [...TUNNEL_OPTIONS, ['csum', 'true']]] },
    { options: ['map', [...TUNNEL_OPTIONS.slice(0, 3), ['dst_port', '4790']]] },
  ]
  for (const tunnel of differences) {
    const operations = bridgeOperations(prepared({ tunnel }), config)
    assert.deepEqual(
      operations.map(({ op, table }) => [op, table]),
      [['update', 'Interface']],
      JSON.stringify(tunnel),
    )
  }
})

test('a bridge that lost its tunnel gets it back', () => {
  const operations = bridgeOperations(prepared({ tunnel: { name: 'other' } }), config)
  assert.deepEqual(
    operations.map(({ op, table }) => [op, table]),
    [
      ['insert', 'Interface'],
      ['insert', 'Port'],
      ['mutate', 'Bridge'],
    ],
  )
})

test('a tunnel on another bridge is not taken away from there', () => {
  const isNotReady = { problem: 'host_not_ready' }
  assert.throws(() => bridgeOperations(prepared({ ports: [] }), config), isNotReady)
  const elsewhere = prepared({ bridge: { name: 'br-other' } })
  assert.throws(() => bridgeOperations(elsewhere, config), isNotReady)
})
