/**
 * Whatever QEMU sends, a session goes on or ends with a typed reason: nothing else is thrown, everything that waited is
 * settled, no timer stays, and no prototype is touched. Each case can be run again by its seed and round.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { commands, type QmpCommandName } from './commands.ts'
import { QmpConnectionError, QmpError, QmpProtocolError, QmpReturnError } from './errors.ts'
import { readEvent, type QmpEvent } from './events.ts'
import { readMessage } from './message.ts'
import { mutate, randomJson } from './testing/hostile-lines.ts'
import { settle } from './testing/manual-timers.ts'
import { below, seededRandom } from './testing/random.ts'
import { openPair, type OpenPair } from './testing/scripted-qemu.ts'

const limits = { lineBytesMax: 4_000, depthMax: 20, commandsInFlightMax: 8 }

/** A line that is likely to be understood: answers to what was asked, to what was not, twice, late, of wrong types. */
function plausibleLine(random: () => number, { qemu }: OpenPair): string {
  const known = qemu.received[below(random, qemu.received.length)]?.id ?? ''
  const id = random() < 0.9 ? JSON.stringify(known) : randomJson(random)
  switch (below(random, 10)) {
    case 0:
      return `{"return":${randomJson(random)},"id":${id}}`
    case 1:
      return `{"id":${id},"error":{"class":"GenericError","desc":"x"}}`
    case 2:
      return `{"event":${randomJson(random)},"data":${randomJson(random)}}`
    case 3:
      return randomJson(random)
    default:
      return `{"event":"RTC_CHANGE","data":{"offset":${randomJson(random)}},"timestamp":${randomJson(random)}}`
  }
}

function chunksOf(random: () => number, bytes: Buffer): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const next = at + 1 + below(random, 40)
    chunks.push(bytes.subarray(at, next))
    at = next
  }
  return chunks
}

test('a session with a peer that says anything ends in order', async () => {
  const random = seededRandom(11)
  let ended = 0
  for (let round = 0; round < 300; round += 1) {
    const where = `seed 11 round ${round}`
    const events: QmpEvent[] = []
    const pair = await openPair({ limits, random, onEvent: (event) => events.push(event) })
    const { qemu, client, timers } = pair
    const outcomes: unknown[] = []
    const asked = (['query-status', 'query-block', 'stop', 'query-pci'] as const).map((name) =>
      client.run(name, {}, { timeoutMs: 50 }).then(
        () => outcomes.push('answered'),
        (error: unknown) => outcomes.push(error),
      ),
    )
    await settle()
    for (let line = 0; line < 6; line += 1) {
      const text = `${plausibleLine(random, pair)}\r\n`
      const bytes = random() < 0.1 ? mutate(random, text) : Buffer.from(text)
      for (const chunk of chunksOf(random, bytes)) if (qemu.isOpen) qemu.sendRaw(chunk)
      if (random() < 0.2) await timers.advance(30)
    }
    await settle()
    if (client.isClosed) {
      ended += 1
      const reason = await client.closed
      assert.equal(reason.end, 'protocol', where)
      assert.ok(reason.cause instanceof QmpProtocolError, where)
    }
    client.close()
    await Promise.all(asked)
    assert.equal(outcomes.length, 4, where)
    for (const outcome of outcomes) {
      assert.ok(
        outcome === 'answered' || outcome instanceof QmpError,
        `${where}: ${String(outcome)}`,
      )
    }
    assert.equal(timers.pending, 0, where)
  }
  // Both ways out must have been taken, or this test shows nothing.
  assert.ok(ended > 30 && ended < 300, `${ended} of 300`)
  assert.deepEqual(Object.keys(Object.prototype), [])
})

test('lines that are cut, flipped and repeated are messages or typed errors', () => {
  const random = seededRandom(12)
  const whole = [
    '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}',
    '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESET", "data": {"guest": false, "reason": "none"}}',
    '{"id": "a-1", "error": {"class": "GenericError", "desc": "x \\u00e9 \\" {"}}',
    '{"return": [{"a": [[], {}]}], "id": "a-2"}',
  ]
  const seen = new Set<string>()
  for (let round = 0; round < 20_000; round += 1) {
    const line = mutate(random, whole[below(random, whole.length)] ?? '')
    try {
      const message = readMessage(line, 20)
      seen.add(message.is)
      if (message.is === 'event') seen.add(readEvent(message).name)
    } catch (error) {
      assert.ok(error instanceof QmpProtocolError, `seed 12 round ${round}: ${String(error)}`)
      seen.add('refused')
    }
  }
  assert.deepEqual([...seen].sort(), [
    'RESET',
    'error',
    'event',
    'greeting',
    'other',
    'refused',
    'return',
  ])
})

test('every command reads any answer as its type or refuses it by name', () => {
  const random = seededRandom(13)
  // The keys of the table are its names.
  for (const name of Object.keys(commands) as QmpCommandName[]) {
    for (let round = 0; round < 300; round += 1) {
      const answer: unknown = JSON.parse(randomJson(random))
      try {
        commands[name].read(answer, name)
      } catch (error) {
        assert.ok(error instanceof QmpReturnError, `seed 13 ${name}: ${String(error)}`)
        assert.ok(error.field.startsWith(name), error.field)
      }
    }
  }
})

test('every known event reads any data without throwing', () => {
  const random = seededRandom(14)
  const names = ['SHUTDOWN', 'RTC_CHANGE', 'ACPI_DEVICE_OST', 'VNC_CONNECTED', 'BLOCK_JOB_READY']
  for (let round = 0; round < 5_000; round += 1) {
    const data: unknown = JSON.parse(randomJson(random))
    if (typeof data !== 'object' || data === null || Array.isArray(data)) continue
    const name = names[below(random, names.length)] ?? ''
    readEvent({ is: 'event', name, atMs: null, data: data as Record<string, unknown> })
  }
})

test('a flood of events is worked off without being kept', async () => {
  let count = 0
  const { qemu, client } = await openPair({ onEvent: () => (count += 1) })
  const line =
    '{"event":"RTC_CHANGE","data":{"offset":1},"timestamp":{"seconds":1,"microseconds":2}}\r\n'
  for (let batch = 0; batch < 50; batch += 1) qemu.sendRaw(line.repeat(1_000))
  while (count < 50_000) await settle()
  const asked = client.run('query-name')
  await settle()
  qemu.reply({})
  assert.equal(await asked, null)
  client.close()
  assert.ok((await client.closed) instanceof QmpConnectionError)
})
