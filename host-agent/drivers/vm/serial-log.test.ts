// A serial port's log is bounded whatever the guest writes and whoever does not read.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PlatformError } from '@nubo/base'
import { SerialLog } from './serial-log.ts'
import { SERIAL_HISTORY_BYTES, SERIAL_READERS_MAX } from './vm-driver.ts'

const ignore = (_bytes: Buffer, done: () => void): void => done()

async function allOf(stream: AsyncIterable<Buffer>): Promise<string> {
  let text = ''
  for await (const bytes of stream) text += bytes.toString('latin1')
  return text
}

test('a reader gets what is kept, then what comes, and ends with the run', async () => {
  const log = new SerialLog(ignore)
  log.add(Buffer.from('one '))
  const reading = allOf(log.open())
  log.add(Buffer.from('two'))
  log.end()
  log.end()
  assert.equal(await reading, 'one two')
  assert.equal(await allOf(log.open()), 'one two')
})

test('of a flood the last part is kept, for history and for a reader that sleeps', async () => {
  const log = new SerialLog(ignore)
  const sleeper = log.open()
  for (let count = 0; count < 1_000; count += 1) log.add(Buffer.alloc(997, (count % 26) + 97))
  log.add(Buffer.from('end'))
  log.end()
  const [late, slept] = await Promise.all([allOf(log.open()), allOf(sleeper)])
  assert.equal(late.length, SERIAL_HISTORY_BYTES)
  assert.equal(slept, late)
  assert.ok(late.endsWith('end'))
})

test('what is written goes to the guest at its pace', async () => {
  const got: string[] = []
  const takes: (() => void)[] = []
  const log = new SerialLog((bytes, done) => {
    got.push(bytes.toString())
    takes.push(done)
  })
  const stream = log.open()
  stream.write('a')
  stream.write('b')
  assert.deepEqual(got, ['a'])
  takes.shift()?.()
  await new Promise(setImmediate)
  assert.deepEqual(got, ['a', 'b'])
  stream.destroy()
})

test('readers are limited, and leave', () => {
  const log = new SerialLog(ignore)
  const readers = Array.from({ length: SERIAL_READERS_MAX }, () => log.open())
  assert.throws(
    () => log.open(),
    (error) => error instanceof PlatformError && error.code === 'TOO_MANY_REQUESTS',
  )
  readers[0]?.destroy()
  assert.doesNotThrow(() => log.open())
})
