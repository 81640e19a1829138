import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compile, compileChange } from './program.ts'
import {
  SliceError,
  type LocalPort,
  type NetworkSlice,
  type ObjectKey,
  type RemotePort,
  type SliceChange,
  type SliceNetwork,
  type SliceProblem,
  type SliceSubnet,
} from './slice.ts'
import { sampleSlice, sampleTunnel } from './testing/slices.ts'

const [shop] = sampleSlice.networks
const [web] = sampleSlice.localPorts
const [store] = sampleSlice.remotePorts
const [front, back] = shop?.subnets ?? []
assert.ok(shop && web && store && front && back)

const otherLocal: LocalPort = {
  ...web,
  portId: 'other',
  ofport: 2,
  mac: '0a:00:00:00:00:06',
  address: '10.0.0.6',
}
const putLocal = (fields: Partial<LocalPort>): SliceChange => ({
  putLocalPorts: [{ ...otherLocal, ...fields }],
})
const putRemote = (fields: Partial<RemotePort>): SliceChange => ({
  putRemotePorts: [
    { ...store, portId: 'other', mac: otherLocal.mac, address: '10.0.1.6', ...fields },
  ],
})
const putShop = (fields: Partial<SliceNetwork>): SliceChange => ({
  putNetworks: [{ ...shop, ...fields }],
})
const putFront = (fields: Partial<SliceSubnet>): SliceChange =>
  putShop({ subnets: [{ ...front, ...fields }, back] })
const frontAgain: SliceSubnet = { ...front, cidr: '10.9.0.0/24', gatewayAddress: '10.9.0.1' }
const other: SliceNetwork = { networkId: 'other', vni: 5001, mtuBytes: 1450, subnets: [] }

interface Refusal {
  readonly change: SliceChange
  readonly problem: SliceProblem
  readonly object: ObjectKey
  readonly field: string
}

const refusals: Record<string, Refusal> = {
  'VNI 0': {
    change: putShop({ vni: 0 }),
    problem: 'out_of_range',
    object: 'network/shop',
    field: 'vni',
  },
  'VNI of 25 bits': {
    change: putShop({ vni: 2 ** 24 }),
    problem: 'out_of_range',
    object: 'network/shop',
    field: 'vni',
  },
  'VNI that is no integer': {
    change: putShop({ vni: 1.5 }),
    problem: 'out_of_range',
    object: 'network/shop',
    field: 'vni',
  },
  'VNI of another network': {
    change: { putNetworks: [{ ...other, vni: shop.vni }] },
    problem: 'duplicate',
    object: 'network/other',
    field: 'vni',
  },
  'MTU too small for IPv4': {
    change: putShop({ mtuBytes: 60 }),
    problem: 'out_of_range',
    object: 'network/shop',
    field: 'mtuBytes',
  },
  'a network twice': {
    change: { putNetworks: [shop, shop] },
    problem: 'duplicate',
    object: 'network/shop',
    field: 'networkId',
  },
  'a network that still has ports removed': {
    change: { removeNetworks: ['shop'] },
    problem: 'in_use',
    object: 'network/shop',
    field: 'networkId',
  },
  'a subnet twice in its network': {
    change: putShop({ subnets: [front, back, frontAgain] }),
    problem: 'duplicate',
    object: 'subnet/front',
    field: 'subnetId',
  },
  'a subnet of another network': {
    change: { putNetworks: [{ ...other, subnets: [front] }] },
    problem: 'duplicate',
    object: 'subnet/front',
    field: 'subnetId',
  },
  'a subnet that still has ports removed': {
    change: putShop({ subnets: [back] }),
    problem: 'unknown_subnet',
    object: 'port/web',
    field: 'subnetId',
  },
  'a range with host bits': {
    change: putFront({ cidr: '10.0.0.1/24' }),
    problem: 'malformed',
    object: 'subnet/front',
    field: 'cidr',
  },
  'a multicast range': {
    change: putFront({ cidr: '224.0.0.0/24', gatewayAddress: '224.0.0.1' }),
    problem: 'out_of_range',
    object: 'subnet/front',
    field: 'cidr',
  },
  'ranges that overlap': {
    change: putFront({ cidr: '10.0.0.0/16' }),
    problem: 'overlap',
    object: 'subnet/back',
    field: 'cidr',
  },
  'a gateway outside its subnet': {
    change: putFront({ gatewayAddress: '10.0.1.1' }),
    problem: 'outside_subnet',
    object: 'subnet/front',
    field: 'gatewayAddress',
  },
  'a gateway at the address of a port': {
    change: putFront({ gatewayAddress: web.address }),
    problem: 'duplicate',
    object: 'subnet/front',
    field: 'gatewayAddress',
  },
  'a gateway with the MAC of a port': {
    change: putFront({ gatewayMac: web.mac }),
    problem: 'duplicate',
    object: 'subnet/front',
    field: 'gatewayMac',
  },
  'a range that leaves a port outside': {
    change: putFront({ cidr: '10.0.0.0/30' }),
    problem: 'outside_subnet',
    object: 'port/web',
    field: 'address',
  },
  'a port of an unknown network': {
    change: putLocal({ networkId: 'nowhere' }),
    problem: 'unknown_network',
    object: 'port/other',
    field: 'networkId',
  },
  'a port of an unknown subnet': {
    change: putLocal({ subnetId: 'nowhere' }),
    problem: 'unknown_subnet',
    object: 'port/other',
    field: 'subnetId',
  },
  'a port outside its subnet': {
    change: putLocal({ address: '10.0.1.6' }),
    problem: 'outside_subnet',
    object: 'port/other',
    field: 'address',
  },
  'a port at the address of another': {
    change: putLocal({ address: web.address }),
    problem: 'duplicate',
    object: 'port/other',
    field: 'address',
  },
  'a port at the address of a gateway': {
    change: putLocal({ address: front.gatewayAddress }),
    problem: 'duplicate',
    object: 'port/other',
    field: 'address',
  },
  'a port with the MAC of another': {
    change: putLocal({ mac: web.mac }),
    problem: 'duplicate',
    object: 'port/other',
    field: 'mac',
  },
  'a port with the MAC of a gateway': {
    change: putLocal({ mac: back.gatewayMac }),
    problem: 'duplicate',
    object: 'port/other',
    field: 'mac',
  },
  'a malformed address': {
    change: putLocal({ address: '10.0.0' }),
    problem: 'malformed',
    object: 'port/other',
    field: 'address',
  },
  'a multicast MAC': {
    change: putLocal({ mac: '01:00:5e:00:00:01' }),
    problem: 'out_of_range',
    object: 'port/other',
    field: 'mac',
  },
  'a MAC of zeros': {
    change: putLocal({ mac: '00:00:00:00:00:00' }),
    problem: 'out_of_range',
    object: 'port/other',
    field: 'mac',
  },
  'a MAC in capitals': {
    change: putLocal({ mac: '0A:00:00:00:00:06' }),
    problem: 'malformed',
    object: 'port/other',
    field: 'mac',
  },
  'bridge port 0': {
    change: putLocal({ ofport: 0 }),
    problem: 'out_of_range',
    object: 'port/other',
    field: 'ofport',
  },
  'a reserved bridge port': {
    change: putLocal({ ofport: 0xff00 }),
    problem: 'out_of_range',
    object: 'port/other',
    field: 'ofport',
  },
  'the bridge port of another': {
    change: putLocal({ ofport: web.ofport }),
    problem: 'duplicate',
    object: 'port/other',
    field: 'ofport',
  },
  'the bridge port of the tunnel': {
    change: putLocal({ ofport: sampleTunnel.ofport }),
    problem: 'tunnel_port',
    object: 'port/other',
    field: 'ofport',
  },
  'a malformed tunnel address': {
    change: putRemote({ vtep: 'host-2' }),
    problem: 'malformed',
    object: 'port/other',
    field: 'vtep',
  },
  'a multicast tunnel address': {
    change: putRemote({ vtep: '239.0.0.1' }),
    problem: 'out_of_range',
    object: 'port/other',
    field: 'vtep',
  },
  'a port both here and elsewhere': {
    change: { putLocalPorts: [web], putRemotePorts: [{ ...store, portId: 'web' }] },
    problem: 'duplicate',
    object: 'port/web',
    field: 'portId',
  },
}

for (const [name, refusal] of Object.entries(refusals)) {
  test(`refused, and nothing changes: ${name}`, () => {
    // Good changes before and after the bad one, to prove that a change is taken whole or not at all.
    const change: SliceChange = {
      removePorts: ['absent'],
      ...refusal.change,
      putNetworks: [
        { networkId: 'good', vni: 9000, mtuBytes: 1450, subnets: [] },
        ...(refusal.change.putNetworks ?? []),
      ],
      putRemotePorts: [
        ...(refusal.change.putRemotePorts ?? []),
        { ...store, vtep: '192.168.100.13' },
      ],
    }
    const program = compile(sampleSlice, sampleTunnel, 1)
    const before = { slice: sorted(program.slice()), objects: new Map(program.objects) }
    assert.throws(
      () => compileChange(program, change),
      (error) => {
        assert.ok(error instanceof SliceError, String(error))
        const { problem, object, field } = error
        assert.deepEqual(
          { problem, object, field },
          { problem: refusal.problem, object: refusal.object, field: refusal.field },
        )
        return true
      },
    )
    assert.deepEqual(sorted(program.slice()), before.slice)
    assert.deepEqual(program.objects, before.objects)
    // What was refused leaves no trace in the indexes either: a later good change works.
    compileChange(program, { putLocalPorts: [otherLocal] })
    const now = { ...sampleSlice, localPorts: [web, otherLocal] }
    assert.deepEqual(program.objects, compile(now, sampleTunnel, 1).objects)
  })
}

test('a whole slice is refused like a change of one', () => {
  const slice = { ...sampleSlice, localPorts: [web, { ...otherLocal, address: web.address }] }
  assert.throws(() => compile(slice, sampleTunnel, 1), { name: 'SliceError', object: 'port/other' })
})

test('a tunnel or round out of range is refused', () => {
  assert.throws(() => compile(sampleSlice, { ofport: 0 }, 1), { name: 'SliceError' })
  assert.throws(() => compile(sampleSlice, sampleTunnel, 65_536), RangeError)
})

test('the message names object, field and value', () => {
  const program = compile(sampleSlice, sampleTunnel, 1)
  assert.throws(() => compileChange(program, putLocal({ address: '10.0.0.5' })), {
    message: 'port/other: address 10.0.0.5 belongs to port/web',
  })
})

function sorted(slice: NetworkSlice): unknown {
  const byId = (a: object, b: object): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)
  return {
    networks: [...slice.networks].sort(byId),
    localPorts: [...slice.localPorts].sort(byId),
    remotePorts: [...slice.remotePorts].sort(byId),
  }
}
