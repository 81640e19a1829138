import assert from 'node:assert/strict'
import { test } from 'node:test'
import { integerBelow, seededRandom } from '@nubo/base'
import { STREAM_FRAME_BYTES_MAX } from '@nubo/contracts'
import { ContractError } from './errors.ts'
import { decodeControl, decodeOutput, encodeStdin } from './stream-frames.ts'

test('input is cut into frames that the contract allows, and nothing is lost', () => {
  const input = seededRandom(1).bytes(3 * STREAM_FRAME_BYTES_MAX + 5)
  const frames = [...encodeStdin(input)]
  assert.ok(frames.every((frame) => frame.byteLength <= STREAM_FRAME_BYTES_MAX && frame[0] === 0))
  assert.deepEqual(Buffer.concat(frames.map((frame) => frame.subarray(1))), Buffer.from(input))
  assert.deepEqual([...encodeStdin(new Uint8Array())], [])
})

test('output frames: both channels, an empty payload, the longest frame', () => {
  assert.deepEqual(decodeOutput(Uint8Array.of(1, 65)), {
    channel: 'stdout',
    bytes: Uint8Array.of(65),
  })
  assert.deepEqual(decodeOutput(Uint8Array.of(2)), { channel: 'stderr', bytes: new Uint8Array() })
  const longest = new Uint8Array(STREAM_FRAME_BYTES_MAX).fill(1)
  assert.equal(decodeOutput(longest).bytes.byteLength, STREAM_FRAME_BYTES_MAX - 1)
})

test('what a server must not send is refused', () => {
  for (const frame of [
    new Uint8Array(),
    Uint8Array.of(0, 1),
    Uint8Array.of(3),
    new Uint8Array(STREAM_FRAME_BYTES_MAX + 1).fill(1),
  ]) {
    assert.throws(() => decodeOutput(frame), ContractError)
  }
  for (const text of [
    '',
    '{',
    'null',
    '{"type":"credit","bytes":0}',
    '{"type":"end"}',
    ' '.repeat(99_999),
  ]) {
    assert.throws(() => decodeControl(text), ContractError)
  }
})

test('fuzz: random frames and flipped control messages give a value or a contract error', () => {
  const random = seededRandom(3)
  const end = JSON.stringify({ type: 'end', exitCode: 3, error: { code: 'X', message: 'y' } })
  let values = 0
  const attempt = (decode: () => unknown): void => {
    try {
      decode()
      values++
    } catch (error) {
      assert.ok(error instanceof ContractError, String(error))
    }
  }
  for (let round = 0; round < 3_000; round++) {
    attempt(() => decodeOutput(random.bytes(integerBelow(random, 40))))
    const chars = end.split('')
    chars[integerBelow(random, chars.length)] = String.fromCharCode(integerBelow(random, 128))
    attempt(() => decodeControl(chars.join('').slice(0, 20 + integerBelow(random, 60))))
  }
  assert.ok(values > 20)
})
