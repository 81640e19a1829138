// Proves when so many hosts are lost at once that nothing is fenced any more.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { brakeCause, BRAKE_LIMITS_DEFAULT, type BrakeHost } from './brake.ts'

/** 'r1:+++- r2:++?' is two racks; + ready, - lost, ? suspect. */
function hosts(text: string): BrakeHost[] {
  const standings = { '+': 'ready', '-': 'lost', '?': 'suspect' } as const
  return text.split(' ').flatMap((part) => {
    const [rack = '', all = ''] = part.split(':')
    return all.split('').map((sign, index) => ({
      name: `${rack}-${index}`,
      zone: 'z',
      rack,
      // proof: the texts of this file have no other signs
      standing: standings[sign as keyof typeof standings],
    }))
  })
}

const cases: [text: string, domain: string | undefined][] = [
  ['r1:+', undefined],
  ['r1:-', undefined],
  ['r1:++-', undefined],
  ['r1:+--', 'zone z'],
  ['r1:--', 'zone z'],
  ['r1:++++++-- r2:++++++++', undefined],
  ['r1:--- r2:++++++++++', 'rack z/r1'],
  ['r1:++--- r2:+++++++++++', undefined],
  ['r1:--- r2:--+', 'zone z'],
  ['r1:- r2:- r3:+++', undefined],
  ['r1:- r2:- r3:+', 'zone z'],
]
for (const [text, domain] of cases)
  test(`${text} → ${domain ?? 'no brake'}`, () => {
    assert.equal(brakeCause(hosts(text), BRAKE_LIMITS_DEFAULT, { suspects: false })?.name, domain)
  })

test('suspects count only where asked, so that the first of many is not fenced before the others are noticed', () => {
  const some = hosts('r1:-??+')
  assert.equal(brakeCause(some, BRAKE_LIMITS_DEFAULT, { suspects: false }), undefined)
  assert.equal(brakeCause(some, BRAKE_LIMITS_DEFAULT, { suspects: true })?.name, 'zone z')
})

test('it names the hosts and the limit', () => {
  const cause = brakeCause(hosts('r1:--- r2:+++++++'), BRAKE_LIMITS_DEFAULT, { suspects: false })
  assert.deepEqual(cause?.hosts, ['r1-0', 'r1-1', 'r1-2'])
  assert.match(cause?.text ?? '', /3 of 3 hosts of rack z\/r1 were lost at once, more than 60 %/)
})
