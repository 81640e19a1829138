import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '@nubo/base'
import { flowKey, type Flow, type FlowChange } from '@nubo/wire-openflow'
import { unpackCookie } from './cookies.ts'
import { additions, deletions, diffAgainstSwitch, diffFlows } from './diff.ts'
import { compile, compileChange, diffPrograms } from './program.ts'
import type { RemotePort } from './slice.ts'
import { largeSlice, sampleSlice, sampleTunnel, SliceWalk } from './testing/slices.ts'

/** What a switch would hold: flows by identity, changed as OpenFlow says. Refuses changes that do nothing. */
class ModelSwitch {
  readonly flows = new Map<string, Flow>()

  apply(changes: readonly FlowChange[]): void {
    for (const change of changes) {
      if (change.type === 'add') {
        this.flows.set(flowKey(change.flow), change.flow)
      } else {
        assert.equal(change.type, 'deleteStrict')
        const { table, priority, match } = change
        const key = flowKey({ table, priority, match })
        assert.ok(this.flows.delete(key), `deletes what is not there: ${key}`)
      }
    }
  }
}

function byKey(flows: Iterable<Flow>): Map<string, Flow> {
  const map = new Map<string, Flow>()
  for (const flow of flows) {
    const key = flowKey(flow)
    assert.ok(!map.has(key), `two flows are ${key}`)
    map.set(key, flow)
  }
  return map
}

for (const seed of [1, 2, 3, 4]) {
  test(`incremental equals from scratch, on the program and on the switch (seed ${seed})`, () => {
    const walk = new SliceWalk(seededRandom(seed))
    const program = compile(walk.slice(), sampleTunnel, 7)
    const model = new ModelSwitch()
    model.apply(diffAgainstSwitch(program.flows(), []))
    let flowsMax = 0
    for (let step = 0; step < 150; step++) {
      model.apply(compileChange(program, walk.next()))
      const scratch = compile(walk.slice(), sampleTunnel, 7)
      assert.deepEqual(program.objects, scratch.objects)
      // byKey also proves that no two flows have one identity.
      assert.deepEqual(model.flows, byKey(scratch.flows()))
      flowsMax = Math.max(flowsMax, model.flows.size)
    }
    assert.ok(flowsMax > 60, 'the walk must have compiled something worth comparing')
  })
}

test('every goto goes forward, is last, and every flow names its owner', () => {
  for (const flow of compile(sampleSlice, sampleTunnel, 3).flows()) {
    for (const [i, action] of flow.actions.entries()) {
      if (action.type !== 'goto') continue
      assert.ok(action.table > flow.table)
      assert.equal(i, flow.actions.length - 1)
    }
    assert.equal(unpackCookie(flow.cookie)?.round, 3)
  }
})

test('one port costs the same flows in a network of 10 ports as in one of 10,000', () => {
  const costs = [10, 10_000].map((count) => {
    const program = compile(largeSlice(count), sampleTunnel, 1)
    const [sibling] = largeSlice(1).remotePorts
    assert.ok(sibling)
    const port: RemotePort = {
      ...sibling,
      portId: 'new',
      mac: '0a:ff:00:00:00:03',
      address: '10.127.0.2',
    }
    const added = compileChange(program, { putRemotePorts: [port] })
    const moved = compileChange(program, { putRemotePorts: [{ ...port, vtep: '192.168.100.99' }] })
    const same = compileChange(program, { putRemotePorts: [{ ...port, vtep: '192.168.100.99' }] })
    const removed = compileChange(program, { removePorts: ['new'] })
    return [added, moved, same, removed].map((changes) => changes.map(({ type }) => type))
  })
  assert.deepEqual(costs[0], [
    ['add', 'add', 'add'],
    ['add', 'add'],
    [],
    ['deleteStrict', 'deleteStrict', 'deleteStrict'],
  ])
  assert.deepEqual(costs[1], costs[0])
})

test('a port here costs eight flows, a port elsewhere three, a subnet five, a network one', () => {
  const { objects } = compile(sampleSlice, sampleTunnel, 1)
  const counts = Object.fromEntries(Array.from(objects, ([key, flows]) => [key, flows.length]))
  assert.deepEqual(counts, {
    host: 15,
    'network/shop': 1,
    'subnet/front': 5,
    'subnet/back': 5,
    'port/web': 8,
    'port/store': 3,
  })
})

test('a new round keeps what is the same: nothing is sent for it', () => {
  const before = compile(sampleSlice, sampleTunnel, 1)
  const after = compile(sampleSlice, sampleTunnel, 2)
  assert.deepEqual(diffPrograms(before, after), [])
  assert.deepEqual(diffAgainstSwitch(after.flows(), before.flows()), [])
})

test('after a restart only what differs is sent: additions first, then what is stale', () => {
  const held = compile(sampleSlice, sampleTunnel, 1)
  const stale: Flow = { table: 200, priority: 1, cookie: 0n, match: { inPort: 9 }, actions: [] }
  const wanted = compile({ ...sampleSlice, remotePorts: [] }, sampleTunnel, 2)
  const changes = diffAgainstSwitch(wanted.flows(), [...held.flows(), stale])
  assert.deepEqual(
    changes.map((change) => [change.type, 'table' in change ? change.table : undefined]),
    [
      ['deleteStrict', 32],
      ['deleteStrict', 128],
      ['deleteStrict', 128],
      ['deleteStrict', 200],
    ],
  )
  const emptySwitch = diffAgainstSwitch(wanted.flows(), [])
  assert.equal(emptySwitch.length, byKey(wanted.flows()).size)
})

test('changes come in one order, whatever order the flows were in', () => {
  const flows = [...compile(sampleSlice, sampleTunnel, 1).flows()]
  const changes = diffAgainstSwitch(flows, [])
  assert.deepEqual(diffAgainstSwitch(flows.toReversed(), []), changes)
})

test('what only comes or only goes is the same change as found by comparing, in the order of tables', () => {
  const flows = [...compile(sampleSlice, sampleTunnel, 1).flows()]
  const text = (change: FlowChange): string => {
    if (change.type === 'deleteByCookie') assert.fail('nothing goes by its cookie')
    return `${change.type} ${flowKey(change.type === 'add' ? change.flow : change)}`
  }
  const tables = (changes: readonly FlowChange[]) =>
    changes.map((change) => (change.type === 'add' ? change.flow.table : (change.table ?? -1)))
  for (const [told, compared] of [
    [additions(flows), diffFlows([], flows)],
    [deletions(flows), diffFlows(flows, [])],
  ] as const) {
    assert.deepEqual(told.map(text).sort(), compared.map(text).sort())
    assert.deepEqual(tables(told), tables(compared))
  }
})

test('another tunnel port changes only the rows that name it', () => {
  const changes = diffPrograms(
    compile(sampleSlice, sampleTunnel, 1),
    compile(sampleSlice, { ofport: 101 }, 1),
  )
  const tables = changes.map((change) => (change.type === 'add' ? change.flow.table : change.type))
  assert.deepEqual(tables, [0, 192, 'deleteStrict'])
})

test('networks with the same ranges, addresses and MACs share no flow', () => {
  const [shop] = sampleSlice.networks
  const [web] = sampleSlice.localPorts
  const [store] = sampleSlice.remotePorts
  assert.ok(shop && web && store)
  const twin = {
    networks: [
      {
        ...shop,
        networkId: 'twin',
        vni: 5001,
        subnets: shop.subnets.map((subnet) => ({ ...subnet, subnetId: `twin-${subnet.subnetId}` })),
      },
    ],
    localPorts: [
      { ...web, portId: 'twin-web', networkId: 'twin', subnetId: 'twin-front', ofport: 2 },
    ],
    remotePorts: [{ ...store, portId: 'twin-store', networkId: 'twin', subnetId: 'twin-back' }],
  }
  const both = compile(
    {
      networks: [...sampleSlice.networks, ...twin.networks],
      localPorts: [...sampleSlice.localPorts, ...twin.localPorts],
      remotePorts: [...sampleSlice.remotePorts, ...twin.remotePorts],
    },
    sampleTunnel,
    1,
  )
  const alone = compile(sampleSlice, sampleTunnel, 1)
  const twinAlone = compile(twin, sampleTunnel, 1)
  const hostFlows = alone.objects.get('host')?.length ?? 0
  assert.equal(
    byKey(both.flows()).size,
    byKey(alone.flows()).size + byKey(twinAlone.flows()).size - hostFlows,
  )
})
