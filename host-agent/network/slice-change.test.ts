import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compile, type FlowProgram } from '@nubo/datapath'
import { wantedKey, type WantedNetwork, type WantedPort } from '@nubo/contracts/host'
import { flowKey, type Flow, type FlowChange } from '@nubo/wire-openflow'
import { testId, testNetwork, testPort } from '../testing/wanted.ts'
import { compileWanted } from './slice-change.ts'

function wanted(networks: WantedNetwork[], ports: WantedPort[]) {
  return {
    networks: new Map(networks.map((network) => [network.id, network])),
    ports: new Map(ports.map((port) => [port.id, port])),
    keys: [...networks, ...ports].map(wantedKey),
  }
}

const empty = (): FlowProgram =>
  compile({ networks: [], localPorts: [], remotePorts: [] }, { ofport: 65_000 }, 1)
const ofportOf = (portId: string): number => Number.parseInt(portId.slice(-4), 16)
const local = (number: number) => testPort(number, { on: 'set', setId: testId('set', number) })
const remote = (number: number) => testPort(number, { on: 'remote', vtep: '172.16.0.2' })

test('items become a slice: ports of this host by their number, others by their tunnel end', () => {
  const program = empty()
  const all = wanted([testNetwork()], [local(2), remote(3)])
  const { changes, rejected } = compileWanted(program, all, all.keys, ofportOf)
  assert.equal(rejected.size, 0)
  assert.ok(changes.length > 0)
  const slice = program.slice()
  assert.deepEqual(
    slice.localPorts.map(({ portId, ofport }) => [portId, ofport]),
    [[testId('port', 2), 2]],
  )
  assert.deepEqual(
    slice.remotePorts.map(({ vtep }) => vtep),
    ['172.16.0.2'],
  )
  // A port that moves away is the same object at another place.
  all.ports.set(testId('port', 2), remote(2))
  compileWanted(program, all, [`port/${testId('port', 2)}`], ofportOf)
  assert.equal(program.slice().localPorts.length, 0)
  assert.equal(program.slice().remotePorts.length, 2)
})

test('items that are gone leave the program', () => {
  const program = empty()
  const all = wanted([testNetwork()], [local(2), remote(3)])
  compileWanted(program, all, all.keys, ofportOf)
  const { changes } = compileWanted(program, wanted([], []), all.keys, ofportOf)
  assert.ok(changes.every(({ type }) => type === 'deleteStrict'))
  const slice = program.slice()
  assert.equal(slice.networks.length + slice.localPorts.length + slice.remotePorts.length, 0)
})

test('one broken port is left out and named; the others get their flows', () => {
  const program = empty()
  const outside = { ...remote(4), address: '192.168.9.9' }
  const all = wanted([testNetwork()], [local(2), outside, remote(3)])
  const { rejected } = compileWanted(program, all, all.keys, ofportOf)
  assert.deepEqual([...rejected.keys()], [`port/${outside.id}`])
  assert.equal(program.slice().localPorts.length, 1)
  assert.equal(program.slice().remotePorts.length, 1)
})

test('a broken network is left out with its ports; another one is not touched', () => {
  const program = empty()
  const broken = testNetwork(2, { vni: 0 })
  const inBroken = { ...remote(4), networkId: broken.id, subnetId: testId('subnet', 2) }
  const all = wanted([testNetwork(), broken], [local(2), inBroken])
  const { rejected } = compileWanted(program, all, all.keys, ofportOf)
  assert.deepEqual([...rejected.keys()], [`network/${broken.id}`, `port/${inBroken.id}`])
  assert.equal(program.slice().networks.length, 1)
  assert.equal(program.slice().localPorts.length, 1)
})

test('ports of a network or subnet that is not known are named, and come when it does', () => {
  const program = empty()
  const all = wanted([], [local(2)])
  const early = compileWanted(program, all, all.keys, ofportOf)
  assert.match(early.rejected.get(`port/${testId('port', 2)}`) ?? '', /network/)
  all.networks.set(testNetwork().id, { ...testNetwork(), subnets: [] })
  const half = compileWanted(program, all, [...all.keys, wantedKey(testNetwork())], ofportOf)
  assert.match(half.rejected.get(`port/${testId('port', 2)}`) ?? '', /subnet/)
  all.networks.set(testNetwork().id, testNetwork())
  const now = compileWanted(program, all, [...all.keys, wantedKey(testNetwork())], ofportOf)
  assert.equal(now.rejected.size, 0)
  assert.equal(program.slice().localPorts.length, 1)
})

test('many broken ports, more than are left out one after the other, keep nobody from their flows', () => {
  const program = empty()
  const broken = Array.from({ length: 100 }, (_, at) => ({ ...remote(at + 2), address: '1.2.3.4' }))
  const all = wanted([testNetwork()], [...broken, local(200)])
  const before = [...program.flows()]
  const { changes, rejected } = compileWanted(program, all, all.keys, ofportOf)
  assert.deepEqual([...rejected.keys()], broken.map(wantedKey))
  assert.equal(program.slice().localPorts.length, 1)
  assert.deepEqual(after(before, changes), after(program.flows(), []))
})

test('a network that is broken with all its ports does not use up what others may have broken', () => {
  const program = empty()
  const network = testNetwork(2, { vni: 0 })
  const inBroken = Array.from({ length: 100 }, (_, at) => ({
    ...remote(at + 2),
    networkId: network.id,
    subnetId: testId('subnet', 2),
  }))
  const outside = { ...remote(201), address: '192.168.9.9' }
  const all = wanted([testNetwork(), network], [...inBroken, outside, local(200)])
  const { rejected } = compileWanted(program, all, all.keys, ofportOf)
  assert.equal(rejected.size, 102)
  assert.equal(program.slice().localPorts.length, 1)
})

test('a port that a changed network leaves without a place is left out; the change goes on', () => {
  const program = empty()
  const all = wanted([testNetwork()], [local(2)])
  compileWanted(program, all, all.keys, ofportOf)
  const [subnet] = testNetwork().subnets
  assert.ok(subnet)
  const moved = { ...subnet, cidr: '10.9.0.0/24', gatewayAddress: '10.9.0.1' }
  all.networks.set(testNetwork().id, { ...testNetwork(), subnets: [moved] })
  const other = testNetwork(2)
  all.networks.set(other.id, other)
  const { rejected } = compileWanted(
    program,
    all,
    [...all.networks.values()].map(wantedKey),
    ofportOf,
  )
  assert.deepEqual([...rejected.keys()], [`port/${testId('port', 2)}`])
  assert.equal(program.slice().networks.length, 2)
  assert.equal(program.slice().localPorts.length, 0)
})

/** Keys of the flows that a switch has after these changes. */
function after(before: Iterable<Flow>, changes: readonly FlowChange[]): Set<string> {
  const keys = new Set([...before].map(flowKey))
  for (const change of changes) {
    if (change.type === 'add') keys.add(flowKey(change.flow))
    if (change.type === 'deleteStrict') keys.delete(flowKey(change))
  }
  return keys
}
