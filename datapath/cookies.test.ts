import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hashObjectId, packCookie, ROUND_MAX, sameOwner, unpackCookie } from './cookies.ts'

test('a cookie carries round, feature, kind and object, each in its own digits', () => {
  const cookie = { round: 0x1234, feature: 'arp', kind: 'subnet', object: 0x89abcdef } as const
  assert.equal(packCookie(cookie).toString(16), '1234040289abcdef')
  assert.deepEqual(unpackCookie(packCookie(cookie)), cookie)
})

test('the largest values fit 64 bits and come back', () => {
  const cookie = {
    round: ROUND_MAX,
    feature: 'deliver',
    kind: 'remotePort',
    object: 0xffff_ffff,
  } as const
  assert.ok(packCookie(cookie) < 2n ** 64n)
  assert.deepEqual(unpackCookie(packCookie(cookie)), cookie)
})

test('a cookie of nobody that we know is not read as somebody', () => {
  assert.equal(unpackCookie(0n), undefined)
  assert.equal(unpackCookie(0x0000_ff00_0000_0000n), undefined)
  assert.equal(unpackCookie(0x0000_02ff_0000_0000n), undefined)
})

test('owners are compared without the round', () => {
  const owner = { feature: 'locate', kind: 'localPort', object: 7 } as const
  const first = packCookie({ round: 1, ...owner })
  assert.ok(sameOwner(first, packCookie({ round: 2, ...owner })))
  assert.ok(!sameOwner(first, packCookie({ round: 1, ...owner, object: 8 })))
  assert.ok(!sameOwner(first, packCookie({ round: 1, ...owner, feature: 'arp' })))
})

test('values out of range are refused', () => {
  const owner = { feature: 'arp', kind: 'host', object: 0 } as const
  assert.throws(() => packCookie({ ...owner, round: ROUND_MAX + 1 }), RangeError)
  assert.throws(() => packCookie({ ...owner, round: -1 }), RangeError)
  assert.throws(() => packCookie({ ...owner, round: 1, object: 2 ** 32 }), RangeError)
})

test('object hashes are the published 32-bit FNV-1a values', () => {
  // Vectors of http://www.isthe.com/chongo/src/fnv/test_fnv.c
  assert.equal(hashObjectId(''), 0x811c9dc5)
  assert.equal(hashObjectId('a'), 0xe40c292c)
  assert.equal(hashObjectId('foobar'), 0xbf9cf968)
})
