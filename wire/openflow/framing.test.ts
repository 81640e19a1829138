import assert from 'node:assert/strict'
import { suite, test } from 'node:test'

import { ByteWriter } from './bytes.ts'
import { OpenFlowDecodeError, OpenFlowEncodeError } from './errors.ts'
import { MessageSplitter } from './framing.ts'
import { writeMessage, type Message } from './message.ts'
import { SeededRandom } from './testing/random-flow.ts'

function message(xid: number, bodyBytes: number): Buffer {
  const writer = new ByteWriter()
  writeMessage(writer, { version: 5, type: 3, xid }, () =>
    writer.bytes(new Uint8Array(bodyBytes).fill(xid)),
  )
  return writer.finish()
}

function pushAll(splitter: MessageSplitter, chunks: readonly Buffer[]): readonly Message[] {
  return chunks.flatMap((chunk) => [...splitter.push(chunk)])
}

suite('Cutting a stream into messages', () => {
  test('messages come out whole, however the stream is cut', () => {
    const random = new SeededRandom(1)
    const sizes = [0, 1, 7, 100, 65_527, 0, 3000, 8]
    const stream = Buffer.concat(sizes.map((size, index) => message(index, size)))
    for (let round = 0; round < 50; round += 1) {
      const chunks: Buffer[] = []
      for (let at = 0; at < stream.length;) {
        const size = 1 + random.below(random.pick([4, 100, 40_000, 200_000]))
        chunks.push(stream.subarray(at, at + size))
        at += size
      }
      const splitter = new MessageSplitter()
      const found = pushAll(splitter, chunks)
      assert.deepEqual(
        found.map(({ xid, body }) => [xid, body.length, body.every((byte) => byte === xid)]),
        sizes.map((size, index) => [index, size, true]),
      )
      assert.equal(splitter.pendingBytes, 0)
    }
  })

  test('byte by byte works as well', () => {
    const stream = Buffer.concat([message(1, 20), message(2, 0)])
    const chunks = Array.from(stream, (byte) => Buffer.of(byte))
    assert.deepEqual(
      pushAll(new MessageSplitter(), chunks).map(({ xid }) => xid),
      [1, 2],
    )
  })

  test('what follows a HELLO waits until it is asked for', () => {
    const splitter = new MessageSplitter()
    const [first] = splitter.push(Buffer.concat([message(1, 0), message(2, 4)]))
    assert.equal(first?.xid, 1)
    splitter.expectedVersion = 5
    assert.deepEqual(
      [...splitter.push(Buffer.alloc(0))].map(({ xid }) => xid),
      [2],
    )
  })

  test('a length below eight and another version end the stream', () => {
    const short = Buffer.from('0503000700000001', 'hex')
    assert.throws(() => [...new MessageSplitter().push(short)], OpenFlowDecodeError)
    const splitter = new MessageSplitter()
    splitter.expectedVersion = 6
    assert.throws(() => [...splitter.push(message(1, 0))], /version 5 on a connection of version 6/)
  })

  test('a message beyond 65,535 bytes cannot be written', () => {
    assert.throws(() => message(1, 65_528), OpenFlowEncodeError)
  })
})
