// Proves by random histories that following changes gives each host exactly the slice that the world has for it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { integerBelow, pick, seededRandom, type HostId, type Random } from '@nubo/base'
import { wantedKey, type WantedItem } from '@nubo/contracts/host'
import { systemClock } from '@nubo/runtime'
import { World } from '../world/index.ts'
import { LocalPorts } from './local-ports.ts'
import { hostSlice, sliceItem } from './slice.ts'
import {
  gone,
  hostId,
  hostRow,
  networkId,
  networkRow,
  portRow,
  put,
  setId,
  setRow,
  subnetRow,
  type Put,
} from './testing/rows.ts'

const HOSTS = 4
const NETWORKS = 3
const SETS = 6
const PORTS = 10
const STEPS = 150
const SEEDS = 40

const below = (random: Random, count: number): number => 1 + integerBelow(random, count)
const maybe = (random: Random, chance: number): boolean => random.fraction() < chance

/** Any change that the tables allow, and a few that they do not: references may dangle. */
function randomChange(random: Random): Put {
  const n = below(random, HOSTS)
  switch (integerBelow(random, 9)) {
    case 0:
      return maybe(random, 0.2)
        ? gone('host', hostId(n))
        : put(
            'host',
            hostRow(n, { vtepAddress: pick(random, [null, `10.1.0.${n}`, '10.1.9.9']) ?? null }),
          )
    case 1: {
      const network = below(random, NETWORKS)
      return maybe(random, 0.2)
        ? gone('network', networkId(network))
        : put('network', networkRow(network, { mtuBytes: 1_400 + below(random, 3) }))
    }
    case 2: {
      const row = subnetRow(below(random, 4), { networkId: networkId(below(random, NETWORKS)) })
      return maybe(random, 0.3) ? gone('subnet', row.id) : put('subnet', row)
    }
    case 3:
    case 4:
    case 5: {
      const set = below(random, SETS)
      if (maybe(random, 0.15)) return gone('set', setId(set))
      return put(
        'set',
        setRow(set, {
          hostId: maybe(random, 0.2) ? null : hostId(n),
          wanted: pick(random, ['running', 'running', 'stopped', 'removed']) ?? 'running',
          generation: below(random, 5),
        }),
      )
    }
    default: {
      const port = below(random, PORTS)
      const row = portRow(port, {
        networkId: networkId(below(random, NETWORKS)),
        name: pick(random, ['a', 'b', `p${port}`]) ?? 'a',
      })
      if (maybe(random, 0.15)) return gone('port', row.id)
      switch (integerBelow(random, 4)) {
        case 0:
          return put('port', row)
        case 1:
          return put('port', portRow(port, { ...row, hostId: hostId(n), interfaceName: 'tap0' }))
        default:
          return put('port', portRow(port, { ...row, setId: setId(below(random, SETS)) }))
      }
    }
  }
}

test('following changes equals looking at the world anew, for any history', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = seededRandom(seed)
    const world = new World(systemClock)
    // The index may begin at any moment.
    for (let step = 0; step < integerBelow(random, 40); step++)
      world.apply(world.revision + 1, [randomChange(random)])
    const locality = new LocalPorts(world)
    const held = new Map<HostId, Map<string, WantedItem>>()
    for (let n = 1; n <= HOSTS; n++) held.set(hostId(n), hostSlice(world, hostId(n)))
    world.subscribe((changes) => {
      for (const [host, keys] of locality.apply(changes)) {
        for (const key of keys) {
          const item = sliceItem(world, { hostId: host, key, locality })
          if (item === undefined) held.get(host)?.delete(key)
          else held.get(host)?.set(wantedKey(item), item)
        }
      }
    })
    for (let step = 0; step < STEPS; step++) {
      const rows = Array.from({ length: below(random, 4) }, () => randomChange(random))
      world.apply(world.revision + 1, rows)
      for (let n = 1; n <= HOSTS; n++) {
        assert.deepEqual(
          sorted(held.get(hostId(n))),
          sorted(hostSlice(world, hostId(n))),
          `seed ${seed}, step ${step}, host ${n}: ${JSON.stringify(rows)}`,
        )
      }
    }
  }
})

test('a change names only hosts that it may matter to', () => {
  const world = new World(systemClock)
  world.apply(1, [
    ...[1, 2, 3].map((n) => put('host', hostRow(n))),
    put('network', networkRow(1)),
    put('network', networkRow(2)),
    ...[1, 2, 3].map((n) => put('set', setRow(n, { hostId: hostId(n) }))),
    put('port', portRow(1, { setId: setId(1) })),
    put('port', portRow(2, { setId: setId(2) })),
    put('port', portRow(3, { setId: setId(3), networkId: networkId(2) })),
  ])
  const locality = new LocalPorts(world)
  const hostsOf = (...rows: Put[]): string[] => {
    let hosts: string[] = []
    const end = world.subscribe((changes) => {
      hosts = [...locality.apply(changes).keys()].toSorted()
    })
    world.apply(world.revision + 1, rows)
    end()
    return hosts
  }
  assert.deepEqual(hostsOf(put('set', setRow(1, { hostId: hostId(1), generation: 2 }))), [
    hostId(1),
    hostId(2),
  ])
  assert.deepEqual(hostsOf(put('port', portRow(4))), [])
  assert.deepEqual(hostsOf(put('host', hostRow(1, { sessionId: 'other' }))), [])
  assert.deepEqual(hostsOf(put('network', networkRow(2, { mtuBytes: 1_500 }))), [hostId(3)])
  assert.deepEqual(hostsOf(put('port', portRow(4, { hostId: hostId(3), interfaceName: 'tap0' }))), [
    hostId(1),
    hostId(2),
    hostId(3),
  ])
})

function sorted(slice: Map<string, WantedItem> | undefined): [string, WantedItem][] {
  return [...(slice ?? [])].toSorted(([a], [b]) => (a < b ? -1 : 1))
}
