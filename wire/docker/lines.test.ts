import assert from 'node:assert/strict'
import { test } from 'node:test'
import { splitLines } from './lines.ts'

async function linesOf(parts: readonly string[], lineBytesMax?: number): Promise<string[]> {
  async function* source(): AsyncGenerator<Buffer> {
    for (const part of parts) yield Buffer.from(part)
  }
  const lines: string[] = []
  for await (const line of splitLines(source(), lineBytesMax)) lines.push(line)
  return lines
}

test('lines are joined over chunks, ends of both kinds are cut, empty ones left out', async () => {
  assert.deepEqual(await linesOf(['{"a"', ':1}\r', '\n\n{"b":2}\n{"c"', ':3}']), [
    '{"a":1}',
    '{"b":2}',
    '{"c":3}',
  ])
  assert.deepEqual(await linesOf([]), [])
})

test('a character cut in two by the chunks stays whole', async () => {
  async function* source(): AsyncGenerator<Buffer> {
    const bytes = Buffer.from('é\n')
    yield bytes.subarray(0, 1)
    yield bytes.subarray(1)
  }
  for await (const line of splitLines(source())) assert.equal(line, 'é')
})

test('a line over the limit is a protocol error, ended or not', async () => {
  assert.deepEqual(await linesOf(['12345\n'], 5), ['12345'])
  await assert.rejects(linesOf(['123', '456\n'], 5), { kind: 'protocol' })
  await assert.rejects(linesOf(['123', '456'], 5), { kind: 'protocol' })
})
