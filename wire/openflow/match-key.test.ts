// Proves that a match has one key whichever way it is computed, and that what cannot be expressed has none.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { inspect } from 'node:util'

import { OpenFlowEncodeError } from './errors.ts'
import { FIELDS } from './fields.ts'
import type { FieldName, FieldValue, Match } from './flow.ts'
import { canonicalMatchKey, matchKey } from './match-key.ts'
import { randomFlow, SeededRandom } from './testing/random-flow.ts'

/** The key, or that there is none. */
function outcome(keyOf: (match: Match) => string, match: Match): string {
  try {
    return keyOf(match)
  } catch (error) {
    if (error instanceof OpenFlowEncodeError) return 'refused'
    throw error
  }
}

function assertSame(match: Match): void {
  assert.equal(outcome(matchKey, match), outcome(canonicalMatchKey, match), inspect(match))
}

/** Well-formed, odd and wrong ones, for whatever field. */
const values: readonly FieldValue[] = [
  0,
  -0,
  1,
  -1,
  1.5,
  Number.NaN,
  255,
  256,
  0x0800,
  0x0806,
  0xfeff,
  0xff00,
  0xfffe,
  0xffff_fffe,
  0xffff_ffff,
  2 ** 32,
  2 ** 48,
  2 ** 53,
  5n,
  '5',
  '0x5',
  'local',
  '10.0.0.1',
  '010.0.0.1',
  '10.0.0.256',
  '10.0.0.1.',
  '.10.0.0.1',
  '10.0..1',
  '10.0.0',
  '1000.0.0.1',
  '10.0.0.0/24',
  '10.0.0.1/24',
  '0a:00:00:00:00:01',
  '0A:00:00:00:00:01',
  'ff:ff:ff:ff:ff:ff',
  '0a:00:00:00:00:0g',
  '0a:00:00:00:00:0:',
  '0a-00-00-00-00-01',
  '0a:00:00:00:00:01/ff:ff:ff:00:00:00',
  '',
  { value: 5, mask: 0 },
  { value: 5, mask: 4 },
  { value: 0xffff_ffff, mask: 0xffff_ffff },
  { value: 0xffff_ffff, mask: 0x8000_0000 },
  { value: 2 ** 32, mask: 1 },
  { value: 1, mask: 2 ** 32 },
  { value: 1.5, mask: 1 },
  { value: -1, mask: 1 },
  { value: 1, mask: -1 },
  { value: 5n, mask: 7n },
  { value: 5, mask: 7n },
]

suite('Key of a match', () => {
  test('is the same as by way of the canonical form for 5,000 random matches, in any order of fields', () => {
    for (let seed = 1; seed <= 5_000; seed++) {
      const { match } = randomFlow(new SeededRandom(seed))
      assertSame(match)
      const turned = Object.fromEntries(Object.entries(match).toReversed())
      assert.equal(matchKey(turned), matchKey(match))
    }
  })

  test('is the same, or refused as well, for every field with every kind of value and prerequisite', () => {
    const protocols: readonly Match[] = [
      {},
      { ethType: 0x0800 },
      { ethType: 0x0806 },
      { ethType: 0x8035 },
      { ethType: 0x86dd },
      { ethType: { value: 0x0800, mask: 0xffff } },
      { ethType: 0x0800, ipProto: 6 },
      { ethType: 0x0800, ipProto: 17 },
      { ethType: 0x0800, ipProto: 1 },
      { ethType: 0x0806, ipProto: 1 },
    ]
    for (const { name } of FIELDS)
      for (const value of values)
        for (const protocol of protocols) assertSame({ ...protocol, [name]: value })
  })

  test('is the same for fields that need different things, or are in each other', () => {
    const matches: readonly Match[] = [
      { ethType: 0x0800, ipv4Dst: '10.0.0.1', arpTpa: '10.0.0.1' },
      { ethType: 0x0806, arpOp: 1, arpTpa: '10.0.0.1', arpSha: '0a:00:00:00:00:01' },
      { ethType: 0x0800, ipv4Dst: '10.0.0.1', nwTtl: 1 },
      { reg0: 1, xreg0: 1 },
      { reg1: 1, xreg0: { value: 1n, mask: 1n } },
      { vlanTci: 0, inPort: 1 },
    ]
    for (const match of matches) assertSame(match)
  })

  test('does not count fields without a value, and refuses those that are none', () => {
    // proof: what callers without types can do
    const odd = (name: string, value: unknown): Match => ({ reg0: 1, [name as FieldName]: value })
    assertSame(odd('reg1', undefined))
    assert.equal(matchKey(odd('reg1', undefined)), matchKey({ reg0: 1 }))
    for (const match of [
      odd('reg1', null),
      odd('reg1', true),
      odd('regX', 1),
      odd('toString', 1),
    ]) {
      assertSame(match)
      assert.throws(() => matchKey(match), OpenFlowEncodeError)
    }
  })
})
