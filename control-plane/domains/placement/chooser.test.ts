// Proves that the chooser says what looking at every host says, that its rules hold with thousands of hosts, where it
// compares a part of them, and that a seed repeats its choices.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { integerBelow, pick, seededRandom } from '@nubo/base'
import { Chooser, COMPARED_HOSTS_MIN, type Ask } from './chooser.ts'
import { explain } from './explain.ts'
import { Ledger } from './ledger.ts'
import { choose, domainOf, type FailureDomain } from './placement.ts'
import { REJECTED_MAX } from './summary.ts'
import { ask, facts, idOf, MIB, taken } from './testing/fleet.ts'

const OVERCOMMIT = { cpu: 4, memory: 1 }
const LEVELS = ['host', 'rack', 'zone'] as const

function fleet(hosts: number, reserveHosts = 0): Ledger {
  const ledger = new Ledger({ overcommit: OVERCOMMIT, reserveHosts })
  for (let n = 1; n <= hosts; n += 1) ledger.putHost(facts(n, { rack: `r${n % 40}` }))
  return ledger
}

/** Takes the room, as the placer does. */
function place(ledger: Ledger, chooser: Chooser, id: string, asked: Ask): string | undefined {
  const choice = chooser.choose(asked)
  if (!choice.found) return undefined
  const { group, digests, cpuMillis, memoryBytes, isElsewhere } = asked
  const hostId = choice.host.id
  ledger.putSet({ id, hostId, group, digests, cpuMillis, memoryBytes, isElsewhere })
  return hostId
}

test('with few hosts: the same as `choose`, which looks at all, through every change', () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const random = seededRandom(seed)
    const ledger = fleet(12)
    const chooser = new Chooser(ledger, random)
    for (let step = 0; step < 150; step += 1) {
      const asked = ask({
        group: pick(random, ['p/a', 'p/b', 'p/c']) ?? '',
        spread: pick(random, LEVELS) ?? 'host',
        antiAffinity: pick(random, [null, null, null, 'host', 'rack'] as const) ?? null,
        memoryBytes: MIB * 64 * (1 + integerBelow(random, 4)),
      })
      const hosts = [...ledger.hosts()].map((host) => ({
        ...host.facts,
        allocated: { ...host.allocated },
        groupMembers: ledger.members(asked.group, 'host').get(host.id) ?? 0,
        hasImages: host.has(asked.digests),
      }))
      const expected = choose(asked, hosts, OVERCOMMIT)
      const found = chooser.choose(asked)
      assert.equal(found.found && found.host.id, expected.found && expected.hostId, `seed ${seed}`)
      const byHost = (a: { host: string }, b: { host: string }) => (a.host < b.host ? -1 : 1)
      const wanted = expected.rejected.toSorted(byHost)
      if (found.found) assert.deepEqual(found.rejected, wanted)
      // "Nowhere" is remembered with what was free when it was first said.
      else
        assert.deepEqual(
          found.rejected.map(({ host }) => host),
          wanted.map(({ host }) => host),
        )
      const { best } = explain(ledger, asked)
      assert.equal(best?.host.id, expected.found ? expected.hostId : undefined)
      if (found.found) place(ledger, chooser, `set-${step}`, asked)
      if (integerBelow(random, 3) === 0) ledger.removeSet(`set-${integerBelow(random, step + 1)}`)
      if (integerBelow(random, 10) === 0) {
        const n = 1 + integerBelow(random, 12)
        ledger.putHost(facts(n, { rack: `r${n % 40}`, cordoned: integerBelow(random, 2) === 0 }))
      }
    }
  }
})

test('anti-affinity is never broken, and "nowhere" is said only where it is so', () => {
  const random = seededRandom(7)
  const ledger = fleet(300)
  const chooser = new Chooser(ledger, random)
  const seen = new Map<string, Set<string>>()
  let nowhere = 0
  for (let step = 0; step < 3_000; step += 1) {
    const n = integerBelow(random, 12)
    const antiAffinity = LEVELS[n % 3] ?? 'host'
    const asked = ask({
      group: `p/g${n}`,
      antiAffinity,
      spread: 'rack',
      memoryBytes: MIB,
      cpuMillis: 10,
    })
    const hostId = place(ledger, chooser, `set-${step}`, asked)
    if (hostId === undefined) {
      nowhere += 1
      assert.equal(explain(ledger, asked).best, undefined)
      continue
    }
    const host = [...ledger.hosts()].find(({ id }) => id === hostId)
    assert.ok(host !== undefined)
    const domains = seen.get(asked.group) ?? new Set<string>()
    const domain = domainOf(host, antiAffinity as FailureDomain)
    assert.ok(!domains.has(domain), `${asked.group} is twice in ${domain}`)
    seen.set(asked.group, domains.add(domain))
  }
  assert.ok(nowhere > 0)
  // 300 hosts, 40 racks, 2 zones: each group went as far as it could, or until its asks ended.
  assert.equal(seen.get('p/g2')?.size, 2)
  assert.equal(seen.get('p/g1')?.size, 40)
})

test('spread over many hosts and racks is even while all have room', () => {
  const ledger = fleet(400)
  const chooser = new Chooser(ledger, seededRandom(3))
  for (let n = 0; n < 80; n += 1) {
    place(ledger, chooser, `rack-${n}`, ask({ group: 'p/racks', spread: 'rack' }))
    place(ledger, chooser, `host-${n}`, ask({ group: 'p/hosts', spread: 'host' }))
  }
  assert.deepEqual([...new Set(ledger.members('p/racks', 'rack').values())], [2])
  assert.deepEqual([...new Set(ledger.members('p/hosts', 'host').values())], [1])
})

test('one seed makes the same choices', () => {
  const run = (seed: number): (string | undefined)[] => {
    const ledger = fleet(500)
    const chooser = new Chooser(ledger, seededRandom(seed))
    return Array.from({ length: 200 }, (_none, n) =>
      place(ledger, chooser, `set-${n}`, ask({ group: `p/g${n % 9}` })),
    )
  }
  assert.deepEqual(run(5), run(5))
  assert.notDeepEqual(run(5), run(6))
})

test('many hosts: the reasons are bounded, and count every host', () => {
  const ledger = fleet(1_000)
  for (let n = 1; n <= 100; n += 1) ledger.putHost(facts(n, { cordoned: true, rack: `r${n % 40}` }))
  for (let n = 101; n <= 300; n += 1)
    ledger.putSet(taken(`big-${n}`, { hostId: idOf(n), memoryBytes: 1_000 * MIB, group: 'p/big' }))
  const chooser = new Chooser(ledger, seededRandom(1))
  const choice = chooser.choose(ask())
  assert.ok(choice.found)
  assert.ok(choice.rejected.length <= REJECTED_MAX)
  assert.equal(
    choice.counts.reduce((sum, { hosts }) => sum + hosts, 0),
    999,
  )
  const reasonOf = (reason: string) => choice.counts.find((one) => one.reason === reason)?.hosts
  assert.equal(reasonOf('it is cordoned'), 100)
  assert.equal(reasonOf('not enough memory'), 200)
  assert.equal(reasonOf('a lower score'), COMPARED_HOSTS_MIN - 1)
  const nowhere = chooser.choose(ask({ memoryBytes: 2_048 * MIB }))
  assert.equal(nowhere.found, false)
  assert.deepEqual(nowhere.counts, [
    { reason: 'it is cordoned', hosts: 100 },
    { reason: 'not enough memory', hosts: 900 },
  ])
})

test('what is held in reserve is for sets that lost their host', () => {
  const ledger = fleet(2, 1)
  ledger.putHost(facts(1, { zone: 'z' }))
  ledger.putHost(facts(2, { zone: 'z' }))
  const chooser = new Chooser(ledger, seededRandom(1))
  const half = ask({ isElsewhere: true, memoryBytes: 512 * MIB, group: 'p/a' })
  // One half on each host: either may go, and the other can take it.
  assert.ok(place(ledger, chooser, 'one', half) !== undefined)
  assert.ok(place(ledger, chooser, 'two', half) !== undefined)
  const third = chooser.choose({ ...half, memoryBytes: 64 * MIB })
  assert.equal(third.found, false)
  assert.match(third.rejected[0]?.reason ?? '', /held in reserve/)
  const local = chooser.choose(ask({ memoryBytes: 64 * MIB }))
  assert.equal(local.found, false, 'a set that would stay takes of the reserve as well')
  assert.equal(chooser.choose({ ...half, isRecovering: true }).found, true)
})
