// Proves parsing at the edges: what is an address, a range, a MAC, and what is not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  cidrEncloses,
  cidrsOverlap,
  cidrSize,
  formatCidr,
  formatIpv4,
  isMac,
  macFromBytes,
  parseCidr,
  parseIpv4,
  vtepMac,
} from './addresses.ts'
import { seededRandom } from './random.ts'

test('addresses survive a round trip, other texts are refused', () => {
  const random = seededRandom(1)
  for (let round = 0; round < 1_000; round++) {
    const value = Math.floor(random.fraction() * 2 ** 32)
    assert.equal(parseIpv4(formatIpv4(value)), value)
  }
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '256.0.0.1',
    '01.2.3.4',
    '1.2.3.4 ',
    '-1.2.3.4',
    '1.2.3.x',
    '1..2.3',
    '1.2.3.',
    '.1.2.3.4',
    '00.0.0.1',
    '0.0.0.0000',
    '1000.0.0.1',
  ]) {
    assert.equal(parseIpv4(text), undefined, text)
  }
})

test('a range has no host bits and at most 32 bits', () => {
  assert.equal(formatCidr(parseCidr('10.0.0.0/8') ?? { base: 0, prefix: 0 }), '10.0.0.0/8')
  assert.equal(cidrSize({ base: 0, prefix: 0 }), 2 ** 32)
  for (const text of [
    '10.0.0.1/8',
    '10.0.0.0',
    '10.0.0.0/33',
    '10.0.0.0/08',
    '10.0.0.0/',
    '/8',
    '10.0.0.0/-1',
  ]) {
    assert.equal(parseCidr(text), undefined, text)
  }
})

test('ranges overlap when one encloses the other', () => {
  const range = (text: string) => parseCidr(text) ?? assert.fail(text)
  assert.ok(cidrEncloses(range('10.0.0.0/8'), range('10.2.0.0/16')))
  assert.ok(!cidrEncloses(range('10.2.0.0/16'), range('10.0.0.0/8')))
  assert.ok(cidrsOverlap(range('10.2.0.0/16'), range('10.0.0.0/8')))
  assert.ok(!cidrsOverlap(range('10.2.0.0/16'), range('10.3.0.0/16')))
})

test('made MACs are local unicast; the tunnel end of an address is always the same', () => {
  assert.ok(isMac(macFromBytes(Uint8Array.of(1, 2, 255, 4, 5))))
  assert.equal(macFromBytes(Uint8Array.of(1, 2, 255, 4, 5)), '0a:01:02:ff:04:05')
  assert.equal(vtepMac('172.31.0.129'), '0a:6e:ac:1f:00:81')
  assert.ok(!isMac('0A:01:02:ff:04:05'))
})
