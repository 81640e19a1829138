// Proves that only whole datagrams of a host with the region's key are read, and that an answer is never longer than its question.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { integerBelow, seededRandom } from '@nubo/base'
import { testId } from '../testing/wanted.ts'
import {
  DATAGRAM_BYTES_MAX,
  decodeDatagram,
  encodeDatagram,
  type ProbeDatagram,
} from './datagram.ts'

const random = seededRandom(11)
const key = random.bytes(32)
const question = { nonce: random.bytes(16), hostId: testId('host', 7) }
const ask: ProbeDatagram = { kind: 'ask', ...question }
const answerWith = (bootId: string): ProbeDatagram => ({
  kind: 'answer',
  ...question,
  answer: { bootId, lease: 'ended', elsewhereRunning: 70_000 },
})

test('what one host writes another reads', () => {
  const others = [answerWith('b'), answerWith('b'.repeat(64))]
  for (const datagram of [ask, ...others])
    assert.deepEqual(decodeDatagram(encodeDatagram(datagram, key), key), datagram)
})

test('no answer is longer than the question', () => {
  const asked = encodeDatagram(ask, key).length
  assert.ok(encodeDatagram(answerWith('b'.repeat(64)), key).length <= asked)
  assert.equal(asked, DATAGRAM_BYTES_MAX)
})

test('a datagram under another key, cut, longer, or with one bit flipped is none', () => {
  for (const datagram of [ask, answerWith('boot')]) {
    const bytes = encodeDatagram(datagram, key)
    assert.equal(decodeDatagram(bytes, random.bytes(32)), undefined)
    for (let length = 0; length < bytes.length; length++)
      assert.equal(decodeDatagram(bytes.subarray(0, length), key), undefined)
    assert.equal(decodeDatagram(Buffer.concat([bytes, Buffer.alloc(1)]), key), undefined)
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Uint8Array.from(bytes)
      // proof: the index is within the datagram
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
      assert.equal(decodeDatagram(flipped, key), undefined, `bit ${bit}`)
    }
  }
})

test('random bytes do nothing', () => {
  for (let round = 0; round < 20_000; round++)
    assert.equal(decodeDatagram(random.bytes(integerBelow(random, 200)), key), undefined)
})
