import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DockerError } from './errors.ts'
import { decodeOutput, FrameDecoder, type OutputChunk } from './frames.ts'

function frame(stream: number, payload: string | Buffer): Buffer {
  const bytes = Buffer.from(payload)
  const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0])
  header.writeUInt32BE(bytes.length, 4)
  return Buffer.concat([header, bytes])
}

function texts(chunks: readonly OutputChunk[]): string[] {
  return chunks.map((chunk) => `${chunk.stream}:${chunk.bytes.toString()}`)
}

/** Mulberry32: a fixed seed makes a failing round repeatable. */
function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

test('frames come out whole and in order, however the bytes are cut', () => {
  const bytes = Buffer.concat([frame(1, 'one'), frame(2, 'two'), frame(1, ''), frame(0, 'three')])
  for (let size = 1; size <= bytes.length; size += 1) {
    const decoder = new FrameDecoder()
    const chunks: OutputChunk[] = []
    for (let at = 0; at < bytes.length; at += size) {
      chunks.push(...decoder.push(bytes.subarray(at, at + size)))
    }
    decoder.end()
    assert.deepEqual(texts(chunks), ['stdout:one', 'stderr:two', 'stdout:three'])
  }
})

test('a chunk does not change when later bytes arrive', () => {
  const decoder = new FrameDecoder()
  const [first] = decoder.push(frame(1, 'keep'))
  decoder.push(frame(1, 'xxxx'))
  assert.equal(first?.bytes.toString(), 'keep')
})

test('an empty frame at the end of the input is complete', () => {
  const decoder = new FrameDecoder()
  assert.deepEqual(decoder.push(frame(1, '')), [])
  decoder.end()
})

test('a stream that ends inside a frame is a protocol error', () => {
  const whole = frame(1, 'hello')
  for (let bytes = 1; bytes < whole.length; bytes += 1) {
    const decoder = new FrameDecoder()
    assert.deepEqual(decoder.push(whole.subarray(0, bytes)), [])
    assert.throws(() => decoder.end(), { name: 'DockerError', kind: 'protocol' })
  }
})

test('a length over the limit is refused before anything is allocated', () => {
  const huge = Buffer.from([1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])
  assert.throws(() => new FrameDecoder().push(huge), { kind: 'protocol', message: /4294967295/ })
  const decoder = new FrameDecoder({ frameBytesMax: 4 })
  assert.equal(decoder.push(frame(1, '1234')).length, 1)
  assert.throws(() => decoder.push(frame(1, '12345')), { kind: 'protocol' })
})

test('an error of the engine inside the stream is thrown with its text', () => {
  assert.throws(() => new FrameDecoder().push(frame(3, 'log driver failed\n')), {
    kind: 'server',
    message: 'log driver failed',
  })
})

test('flipped and random bytes give frames or a typed error, never anything else', () => {
  const random = seededRandom(20_241)
  const pick = (below: number): number => Math.floor(random() * below)
  for (let round = 0; round < 3_000; round += 1) {
    const bytes = Buffer.concat([frame(1, 'a'.repeat(pick(40))), frame(2, 'b'.repeat(pick(40)))])
    for (let flips = pick(4); flips > 0; flips -= 1) bytes[pick(bytes.length)] = pick(256)
    const decoder = new FrameDecoder({ frameBytesMax: 4_096 })
    let produced = 0
    try {
      for (let at = 0; at < bytes.length;) {
        const size = 1 + pick(20)
        for (const chunk of decoder.push(bytes.subarray(at, at + size)))
          produced += chunk.bytes.length
        at += size
      }
      decoder.end()
    } catch (error) {
      assert.ok(error instanceof DockerError, `round ${round}: ${String(error)}`)
    }
    assert.ok(produced <= bytes.length, `round ${round}: more came out than went in`)
  }
})

test('with a TTY everything is stdout as it comes', async () => {
  async function* source(): AsyncGenerator<Buffer> {
    yield Buffer.from([1, 0, 0, 0])
    yield Buffer.from('x')
  }
  const chunks: OutputChunk[] = []
  for await (const chunk of decodeOutput(source(), { tty: true })) chunks.push(chunk)
  assert.deepEqual(texts(chunks), ['stdout:\u0001\u0000\u0000\u0000', 'stdout:x'])
})
