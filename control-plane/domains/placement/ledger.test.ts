// Proves that a ledger that saw every change is the one that its rows alone would make, in whatever order they come.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { integerBelow, pick, seededRandom } from '@nubo/base'
import { Ledger, type LedgerSet } from './ledger.ts'
import type { HostFacts } from './placement.ts'
import { ask, facts, idOf, MIB, taken } from './testing/fleet.ts'

const OPTIONS = { overcommit: { cpu: 2, memory: 1 }, reserveHosts: 1 }
const GROUPS = ['p/web', 'p/db', 'q/web']

/** Everything that a choice can depend on. */
function contents(ledger: Ledger): unknown {
  const sorted = (map: ReadonlyMap<string, number>): [string, number][] =>
    [...map].toSorted(([a], [b]) => (a < b ? -1 : 1))
  return {
    hosts: [...ledger.hosts()]
      .map((host) => ({
        facts: host.facts,
        allocated: host.allocated,
        elsewhere: host.elsewhere,
        sets: [...host.sets.keys()].toSorted(),
        digests: sorted(host.digests),
        leavesReserve: [1, 500, 2_000].map((cpuMillis) =>
          ledger.leavesReserve(host, ask({ cpuMillis, isElsewhere: true })),
        ),
      }))
      .toSorted((a, b) => (a.facts.name < b.facts.name ? -1 : 1)),
    groups: GROUPS.map((group) =>
      (['host', 'rack', 'zone'] as const).map((level) => sorted(ledger.members(group, level))),
    ),
  }
}

test('incremental is from scratch, also with sets whose host is not known yet', () => {
  for (let seed = 1; seed <= 30; seed += 1) {
    const random = seededRandom(seed)
    const ledger = new Ledger(OPTIONS)
    const hosts = new Map<string, HostFacts>()
    const sets = new Map<string, LedgerSet>()
    for (let step = 0; step < 300; step += 1) {
      const n = integerBelow(random, 8)
      const id = `set-${integerBelow(random, 40)}`
      switch (integerBelow(random, 10)) {
        case 0:
          hosts.delete(idOf(n))
          ledger.removeHost(idOf(n))
          break
        case 1:
        case 2: {
          const host = facts(n, {
            rack: `r${integerBelow(random, 3)}`,
            cordoned: integerBelow(random, 4) === 0,
          })
          hosts.set(host.id, host)
          ledger.putHost(host)
          break
        }
        case 3:
        case 4:
          sets.delete(id)
          ledger.removeSet(id)
          break
        default: {
          const set = taken(id, {
            hostId: integerBelow(random, 5) === 0 ? null : idOf(n),
            group: pick(random, GROUPS) ?? '',
            cpuMillis: 100 * (1 + integerBelow(random, 5)),
            memoryBytes: MIB * (1 + integerBelow(random, 90)),
            digests: integerBelow(random, 2) === 0 ? ['d1'] : ['d1', 'd2'],
            isElsewhere: integerBelow(random, 2) === 0,
          })
          sets.set(id, set)
          ledger.putSet(set)
        }
      }
    }
    const scratch = new Ledger(OPTIONS)
    for (const set of sets.values()) scratch.putSet(set)
    for (const host of hosts.values()) scratch.putHost(host)
    assert.deepEqual(contents(ledger), contents(scratch), `seed ${seed}`)
  }
})

test('the room version rises with what makes room, and with nothing else', () => {
  const ledger = new Ledger(OPTIONS)
  ledger.putHost(facts(1))
  const before = ledger.roomVersion
  ledger.putSet(taken('a'))
  ledger.putSet(taken('a'))
  ledger.putSet(taken('b', { hostId: null }))
  assert.equal(ledger.roomVersion, before)
  ledger.removeSet('a')
  assert.equal(ledger.roomVersion, before + 1)
})
