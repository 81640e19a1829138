// Proves that the reserve says exactly what trying every loss of N hosts would say, whatever came and went before.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { integerBelow, seededRandom } from '@nubo/base'
import { Reserve } from './reserve.ts'

interface Host {
  free: number
  elsewhere: number
}

/** Whether any `lost` hosts can go and the rest has room for their sets. By trying all. */
function isBearable(hosts: ReadonlyMap<string, Host>, lost: number): boolean {
  const all = [...hosts.values()]
  const free = all.reduce((sum, host) => sum + host.free, 0)
  const tryFrom = (from: number, left: number, need: number): boolean =>
    need <= free &&
    (left === 0 ||
      all.every(
        (host, at) => at < from || tryFrom(at + 1, left - 1, need + host.free + host.elsewhere),
      ))
  return tryFrom(0, Math.min(lost, all.length), 0)
}

for (const lost of [1, 2]) {
  test(`the loss of ${lost}: the same as by trying every loss`, () => {
    const random = seededRandom(lost)
    let refusals = 0
    for (let round = 0; round < 200; round += 1) {
      const reserve = new Reserve(lost)
      const hosts = new Map<string, Host>()
      for (let step = 0; step < 40; step += 1) {
        const name = `h${integerBelow(random, 6)}`
        if (integerBelow(random, 8) === 0) {
          hosts.delete(name)
          reserve.delete(name)
        } else {
          const host = { free: integerBelow(random, 20), elsewhere: integerBelow(random, 12) }
          hosts.set(name, host)
          reserve.set(name, host)
        }
        const [asked] = [...hosts].filter(([, host]) => host.free > 0)
        if (asked === undefined) continue
        const [askedName, before] = asked
        const amount = 1 + integerBelow(random, before.free)
        const isElsewhere = integerBelow(random, 2) === 0
        const after = new Map(hosts).set(askedName, {
          free: before.free - amount,
          elsewhere: before.elsewhere + (isElsewhere ? amount : 0),
        })
        const expected = isBearable(after, lost)
        if (!expected) refusals += 1
        assert.equal(reserve.leaves({ host: askedName, amount, isElsewhere }), expected)
      }
    }
    assert.ok(refusals > 100, 'both answers occurred')
  })
}

test('sets that would not move reserve nothing; a zone of one host cannot keep a reserve for others', () => {
  const reserve = new Reserve(1)
  reserve.set('h1', { free: 10, elsewhere: 0 })
  assert.equal(reserve.leaves({ host: 'h1', amount: 10, isElsewhere: false }), true)
  assert.equal(reserve.leaves({ host: 'h1', amount: 1, isElsewhere: true }), false)
  reserve.set('h2', { free: 10, elsewhere: 0 })
  assert.equal(reserve.leaves({ host: 'h1', amount: 10, isElsewhere: true }), true)
  reserve.set('h1', { free: 0, elsewhere: 10 })
  assert.equal(reserve.leaves({ host: 'h2', amount: 1, isElsewhere: false }), false)
})
