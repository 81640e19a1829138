// Proves what each filter refuses and says, and what the scores prefer.
import assert from 'node:assert/strict'
import type { HostId } from '@nubo/base'
import { test } from 'node:test'
import {
  choose,
  groupOf,
  OVERCOMMIT_DEFAULT,
  rejection,
  type PlacementAsked,
  type PlacementHost,
} from './placement.ts'

const asked: PlacementAsked = {
  kind: 'set',
  hostId: null,
  hostLabels: {},
  spread: 'host',
  cpuMillis: 500,
  memoryBytes: 64 * 2 ** 20,
}

function host(change: Partial<PlacementHost> = {}): PlacementHost {
  return {
    id: (change.name ?? 'h1') as HostId, // proof: any text names a host in these tests
    name: 'h1',
    rack: 'r1',
    zone: 'z1',
    roles: ['compute'],
    labels: {},
    state: 'ready',
    cordoned: false,
    maintenance: false,
    accelerator: null,
    capacity: { cpuMillis: 2_000, memoryBytes: 1_024 * 2 ** 20 },
    allocated: { cpuMillis: 0, memoryBytes: 0 },
    groupMembers: 0,
    hasImages: false,
    ...change,
  }
}

test('each filter refuses with its reason', () => {
  const refusals: [Partial<PlacementHost>, Partial<PlacementAsked>, RegExp][] = [
    [{}, { hostId: 'h2' as HostId }, /another host/],
    [{ roles: ['gateway'] }, {}, /role compute/],
    [{ state: 'unreachable' }, {}, /unreachable/],
    [{ cordoned: true }, {}, /cordoned/],
    [{ maintenance: true }, {}, /in maintenance/],
    [{ labels: { disk: 'hdd' } }, { hostLabels: { disk: 'ssd' } }, /label disk is not ssd/],
    [{ capacity: null }, {}, /not known/],
    [{ allocated: { cpuMillis: 7_600, memoryBytes: 0 } }, {}, /CPU: 0.5 wanted, 0.4 free/],
    [
      { allocated: { cpuMillis: 0, memoryBytes: 1_000 * 2 ** 20 } },
      {},
      /memory: 64 MiB wanted, 24 MiB free/,
    ],
  ]
  for (const [hostChange, askedChange, expected] of refusals) {
    assert.match(
      rejection({ ...asked, ...askedChange }, host(hostChange), OVERCOMMIT_DEFAULT) ?? '',
      expected,
    )
  }
  assert.equal(rejection(asked, host(), OVERCOMMIT_DEFAULT), undefined)
})

test('nothing fits: every host has a reason', () => {
  const choice = choose(
    asked,
    [host({ cordoned: true }), host({ name: 'h2', state: 'unreachable' })],
    OVERCOMMIT_DEFAULT,
  )
  assert.equal(choice.found, false)
  assert.deepEqual(
    choice.rejected.map((one) => one.host),
    ['h1', 'h2'],
  )
})

test('members of a group are spread over racks before load counts', () => {
  const hosts = [
    host({ name: 'h1', rack: 'r1', groupMembers: 1 }),
    host({ name: 'h2', rack: 'r1' }),
    host({ name: 'h3', rack: 'r2', allocated: { cpuMillis: 6_000, memoryBytes: 0 } }),
  ]
  const overRacks = choose({ ...asked, spread: 'rack' }, hosts, OVERCOMMIT_DEFAULT)
  assert.equal(overRacks.found && overRacks.hostId, 'h3')
  const overHosts = choose(asked, hosts, OVERCOMMIT_DEFAULT)
  assert.equal(overHosts.found && overHosts.hostId, 'h2')
})

test('the least loaded host wins, then the one with the image, then the first name', () => {
  const loaded = host({ name: 'h1', allocated: { cpuMillis: 4_000, memoryBytes: 0 } })
  const first = choose(
    asked,
    [loaded, host({ name: 'h3' }), host({ name: 'h2', hasImages: true })],
    OVERCOMMIT_DEFAULT,
  )
  assert.equal(first.found && first.hostId, 'h2')
  const tie = choose(asked, [host({ name: 'h3' }), host({ name: 'h2' })], OVERCOMMIT_DEFAULT)
  assert.equal(tie.found && tie.hostId, 'h2')
})

test('the group of an instance is its label, or its name without the number', () => {
  assert.equal(groupOf({ name: 'web-12', labels: {} }), 'web')
  assert.equal(groupOf({ name: 'web-12', labels: { group: 'shop' } }), 'shop')
})
