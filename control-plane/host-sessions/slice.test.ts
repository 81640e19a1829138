// Proves what a host gets to see: its sets, the networks with a port on it, and where every port of those is.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { wantedItem, type WantedItem } from '@nubo/contracts/host'
import { systemClock } from '@nubo/runtime'
import { World } from '../world/index.ts'
import { hostSlice, usesRepository } from './slice.ts'
import {
  change,
  containerOf,
  hostId,
  hostRow,
  networkId,
  networkRow,
  portId,
  portRow,
  put,
  setId,
  setRow,
  subnetRow,
  type Put,
} from './testing/rows.ts'

/** Two hosts, two networks with the same addresses; a set in network 1 on each host, one in network 2 on host 2. */
function region(...more: readonly Put[]): World {
  const world = new World(systemClock)
  change(
    world,
    put('host', hostRow(1)),
    put('host', hostRow(2)),
    put('host', hostRow(3, { vtepAddress: null })),
    put('network', networkRow(1)),
    put('network', networkRow(2)),
    put('subnet', subnetRow(1)),
    put('subnet', subnetRow(2)),
    put('set', setRow(1, { hostId: hostId(1) })),
    put('set', setRow(2, { hostId: hostId(2) })),
    put('set', setRow(3, { hostId: hostId(2) })),
    put('port', portRow(1, { setId: setId(1) })),
    put('port', portRow(2, { setId: setId(2) })),
    put('port', portRow(3, { setId: setId(3), networkId: networkId(2) })),
    ...more,
  )
  return world
}

function portsIn(slice: Map<string, WantedItem>): Record<string, unknown> {
  const ports = [...slice.values()].filter((item) => item.kind === 'port')
  return Object.fromEntries(ports.map((port) => [port.id, port.at]))
}

describe('the slice of a host', () => {
  test('has its sets, its networks, and every port of these where it is', () => {
    const slice = hostSlice(region(), hostId(1))
    assert.deepEqual([...slice.keys()].toSorted(), [
      `network/${networkId(1)}`,
      `port/${portId(1)}`,
      `port/${portId(2)}`,
      `set/${setId(1)}`,
    ])
    assert.deepEqual(portsIn(slice), {
      [portId(1)]: { on: 'set', setId: setId(1) },
      [portId(2)]: { on: 'remote', vtep: '10.1.0.2' },
    })
  })

  test('says nothing of networks that have no port on the host', () => {
    const slice = hostSlice(region(), hostId(1))
    assert.equal(slice.has(`network/${networkId(2)}`), false)
    assert.equal(slice.has(`port/${portId(3)}`), false)
    assert.equal(hostSlice(region(), hostId(3)).size, 0)
  })

  test('follows the contract to the letter', () => {
    for (const item of hostSlice(region(), hostId(2)).values())
      assert.deepEqual(wantedItem.parse(item), item)
  })

  test('leaves out a set that is to be removed, with its ports, everywhere', () => {
    const world = region(put('set', setRow(2, { hostId: hostId(2), wanted: 'removed' })))
    assert.deepEqual(Object.keys(portsIn(hostSlice(world, hostId(1)))), [portId(1)])
    const own = hostSlice(world, hostId(2))
    assert.equal(own.has(`set/${setId(2)}`), false)
    assert.equal(own.has(`network/${networkId(1)}`), false)
  })

  test('keeps a stopped set and its ports', () => {
    const world = region(put('set', setRow(1, { hostId: hostId(1), wanted: 'stopped' })))
    const set = hostSlice(world, hostId(1)).get(`set/${setId(1)}`)
    assert.equal(set?.kind === 'set' ? set.run : undefined, 'stopped')
  })

  test('leaves out ports that are nowhere yet, or on a host without a tunnel end', () => {
    const world = region(
      put('set', setRow(4, { epoch: 0 })),
      put('port', portRow(4, { setId: setId(4) })),
      put('port', portRow(5)),
      put('port', portRow(6, { hostId: hostId(3), interfaceName: 'tap0' })),
    )
    assert.deepEqual(Object.keys(portsIn(hostSlice(world, hostId(1)))), [portId(1), portId(2)])
    // The host without a tunnel end sees its own port all the same.
    assert.deepEqual(portsIn(hostSlice(world, hostId(3)))[portId(6)], {
      on: 'interface',
      interfaceName: 'tap0',
    })
  })

  test('gives a set its containers in start order and its ports in the order of names', () => {
    const world = region(
      put(
        'set',
        setRow(1, {
          hostId: hostId(1),
          containers: [containerOf('late', 5), containerOf('first', 0), containerOf('also', 0)],
        }),
      ),
      put('port', portRow(1, { setId: setId(1), name: 'b' })),
      put('port', portRow(9, { setId: setId(1), name: 'a' })),
    )
    const set = hostSlice(world, hostId(1)).get(`set/${setId(1)}`)
    assert.ok(set?.kind === 'set')
    assert.deepEqual(
      set.containers.map((container) => container.name),
      ['first', 'also', 'late'],
    )
    assert.equal(
      set.containers.some((container) => 'imageId' in container || 'imageName' in container),
      false,
    )
    assert.deepEqual(set.portIds, [portId(9), portId(1)])
  })

  test('decides which repositories the host may pull', () => {
    const world = region()
    assert.equal(usesRepository(world, hostId(1), 'test/main'), true)
    assert.equal(usesRepository(world, hostId(3), 'test/main'), false)
    assert.equal(usesRepository(world, hostId(1), 'test/other'), false)
  })
})
