/** A session answers, fails and ends as promised: greeting, commands in flight, deadlines, loss, and a peer that lies. */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { QmpClient } from './client.ts'
import {
  QmpAbortedError,
  QmpCommandError,
  QmpConnectionError,
  QmpOverloadedError,
  QmpProtocolError,
  QmpTimeoutError,
} from './errors.ts'
import { ManualTimers, settle } from './testing/manual-timers.ts'
import { GREETING, openPair, ScriptedQemu } from './testing/scripted-qemu.ts'

/** The promise's error, which must come; for looking at it closely. */
async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => assert.fail('it did not reject'),
    (error: unknown) => error,
  )
}

function opening(options: { signal?: AbortSignal } = {}) {
  const qemu = new ScriptedQemu()
  const timers = new ManualTimers()
  const client = QmpClient.open(qemu.clientEnd, { random: () => 0.25, timers, ...options })
  client.catch(() => undefined)
  return { qemu, timers, client }
}

test('the client waits for the greeting, negotiates without capabilities, and is ready', async () => {
  const { qemu, timers, client: opened } = opening()
  await settle()
  assert.deepEqual(qemu.received, [])
  qemu.send(GREETING)
  await settle()
  assert.deepEqual(qemu.received, [{ execute: 'qmp_capabilities', id: '40000000-40000000-1' }])
  qemu.reply()
  const client = await opened
  assert.equal(client.greeting.version.major, 7)
  assert.deepEqual(client.greeting.capabilities, ['oob'])
  assert.equal(timers.pending, 0)
  client.close()
})

test('without a greeting in time the likely cause is named', async () => {
  const { qemu, timers, client } = opening()
  await timers.advance(5_000)
  const error = await failureOf(client)
  assert.ok(error instanceof QmpTimeoutError)
  assert.match(error.message, /no greeting within 5000 ms.*another client.*one at a time/)
  assert.equal(error.outcome, 'not_sent')
  await settle()
  assert.equal(qemu.isOpen, false)
  assert.equal(timers.pending, 0)
})

test('opening ends when QEMU refuses, goes away, or the caller gives up', async () => {
  const refused = opening()
  refused.qemu.send(GREETING)
  await settle()
  refused.qemu.refuse({ class: 'GenericError', desc: 'no' })
  assert.ok((await failureOf(refused.client)) instanceof QmpCommandError)
  const gone = opening()
  gone.qemu.end()
  assert.ok((await failureOf(gone.client)) instanceof QmpConnectionError)
  const caller = new AbortController()
  const abandoned = opening({ signal: caller.signal })
  caller.abort()
  assert.ok((await failureOf(abandoned.client)) instanceof QmpAbortedError)
  assert.ok(
    (await failureOf(opening({ signal: AbortSignal.abort() }).client)) instanceof QmpAbortedError,
  )
  const silent = opening()
  silent.qemu.send(GREETING)
  await silent.timers.advance(10_000)
  assert.ok((await failureOf(silent.client)) instanceof QmpTimeoutError)
  await settle()
  for (const { qemu, timers } of [refused, abandoned, silent]) {
    assert.equal(qemu.isOpen, false)
    assert.equal(timers.pending, 0)
  }
})

test('what an earlier client left behind is not taken for an answer of this one', async () => {
  const { qemu, client: opened } = opening()
  qemu.send(GREETING, { return: { old: true }, id: '7' }, { return: {} })
  qemu.send({ error: { class: 'GenericError', desc: 'old' } })
  await settle()
  qemu.send({ return: {}, id: 'ffffffff-ffffffff-1' })
  qemu.reply()
  const client = await opened
  qemu.send({ return: {}, id: 'ffffffff-ffffffff-2' })
  assert.equal((await client.closed).end, 'protocol')
})

test('commands are sent at once, and answers find theirs between events', async () => {
  const { qemu, client } = await openPair()
  const status = client.run('query-status')
  const name = client.execute('query-name')
  await settle()
  assert.deepEqual(
    qemu.received.slice(1).map(({ execute }) => execute),
    ['query-status', 'query-name'],
  )
  const [, first, second] = qemu.received
  qemu.event('STOP')
  qemu.send({ return: { name: 'vm' }, id: second?.id })
  qemu.event('RESUME')
  qemu.send({ return: { status: 'paused', running: false, singlestep: false }, id: first?.id })
  assert.deepEqual(await name, { name: 'vm' })
  assert.deepEqual(await status, { status: 'paused', isRunning: false })
  client.close()
})

test('arguments are sent as they are', async () => {
  const { qemu, client } = await openPair()
  const added = client.run('device_add', {
    driver: 'virtio-blk-pci',
    id: 'disk1',
    bus: 'rp1',
    drive: 'node1',
  })
  await settle()
  assert.deepEqual(qemu.last().arguments, {
    driver: 'virtio-blk-pci',
    id: 'disk1',
    bus: 'rp1',
    drive: 'node1',
  })
  qemu.reply()
  assert.equal(await added, undefined)
  client.close()
})

test('a refusal carries class and description, cut to a bearable length', async () => {
  const { qemu, client } = await openPair()
  const failing = client.run('device_del', { id: 'x' })
  await settle()
  qemu.refuse({ class: 'DeviceNotFound', desc: 'y'.repeat(100_000) })
  const error = await failureOf(failing)
  assert.ok(error instanceof QmpCommandError)
  assert.equal(error.class, 'DeviceNotFound')
  assert.equal(error.command, 'device_del')
  assert.equal(error.outcome, 'refused')
  assert.equal(error.description.length, 4_096)
  client.close()
})

test('after its deadline the outcome of a command is unknown, and its late answer is dropped', async () => {
  const { qemu, client, timers } = await openPair()
  const late = client.run('device_del', { id: 'x' }, { timeoutMs: 100 })
  late.catch(() => undefined)
  await settle()
  const { id } = qemu.last()
  await timers.advance(100)
  const error = await failureOf(late)
  assert.ok(error instanceof QmpTimeoutError)
  assert.equal(error.outcome, 'unknown')
  qemu.send({ return: {}, id })
  await settle()
  assert.equal(client.isClosed, false)
  const next = client.run('query-name')
  await settle()
  qemu.reply({})
  assert.equal(await next, null)
  // But only once.
  qemu.send({ return: {}, id })
  assert.equal((await client.closed).end, 'protocol')
})

test('a caller gives up before or after sending, and is told which', async () => {
  const { qemu, client, timers } = await openPair()
  const before = await failureOf(client.run('stop', {}, { signal: AbortSignal.abort() }))
  assert.ok(before instanceof QmpAbortedError)
  assert.equal(before.outcome, 'not_sent')
  const caller = new AbortController()
  const after = client.run('stop', {}, { signal: caller.signal })
  await settle()
  assert.equal(qemu.received.length, 2)
  caller.abort(new Error('enough'))
  const error = await failureOf(after)
  assert.ok(error instanceof QmpAbortedError)
  assert.equal(error.outcome, 'unknown')
  assert.match(String(error.cause), /enough/)
  assert.equal(timers.pending, 0)
  client.close()
})

test('a time that is none is refused and nothing is sent', async () => {
  const { qemu, client } = await openPair()
  for (const timeoutMs of [0, -1, Number.NaN, 2 ** 31, Number.POSITIVE_INFINITY]) {
    await assert.rejects(client.run('stop', {}, { timeoutMs }), { field: 'timeoutMs' })
    await assert.rejects(
      client.waitForEvent(() => true, { timeoutMs }),
      { field: 'timeoutMs' },
    )
  }
  await settle()
  assert.equal(qemu.received.length, 1)
  client.close()
})

test('too many commands in flight are refused, given-up ones included until they are answered', async () => {
  const { qemu, client, timers } = await openPair({ limits: { commandsInFlightMax: 2 } })
  const first = client.run('stop', {}, { timeoutMs: 10 })
  first.catch(() => undefined)
  const second = client.run('cont')
  const third = await failureOf(client.run('stop'))
  assert.ok(third instanceof QmpOverloadedError)
  assert.match(third.message, /2 commands wait for an answer \(commandsInFlightMax\)$/)
  await timers.advance(10)
  await assert.rejects(client.run('stop'), /1 of them beyond their deadline/)
  qemu.send({ return: {}, id: qemu.received[1]?.id }, { return: {}, id: qemu.received[2]?.id })
  await second
  const fourth = client.run('stop')
  await settle()
  qemu.reply()
  await fourth
  client.close()
})

test('a QEMU that reads nothing is noticed', async () => {
  const { client } = await openPair({ limits: { sendBufferBytesMax: 1_000 } })
  client.execute('qom-set', { value: 'x'.repeat(200_000) }).catch(() => undefined)
  client.execute('qom-set', { value: 'x'.repeat(200_000) }).catch(() => undefined)
  await assert.rejects(client.run('stop'), QmpOverloadedError)
  client.close()
})

test('loss rejects everything that waits, once, and later calls at once', async () => {
  const { qemu, client, timers } = await openPair()
  const failures = Promise.all([
    failureOf(client.run('stop')),
    failureOf(client.run('query-status')),
    failureOf(client.waitForEvent(() => true, { timeoutMs: 1_000 })),
  ])
  await settle()
  qemu.end()
  const [stop, status, event] = await failures
  for (const error of [stop, status, event]) assert.ok(error instanceof QmpConnectionError)
  assert.ok(stop instanceof QmpConnectionError && stop.outcome === 'unknown')
  assert.equal(stop.end, 'ended')
  assert.ok(event instanceof QmpConnectionError && event.outcome === 'not_sent')
  assert.equal((await client.closed).end, 'ended')
  const later = await failureOf(client.run('stop'))
  assert.ok(later instanceof QmpConnectionError && later.outcome === 'not_sent')
  assert.equal(timers.pending, 0)
  client.close()
  assert.equal((await client.closed).end, 'ended')
})

test('an error of the stream is kept as cause', async () => {
  const { qemu, client } = await openPair()
  qemu.clientEnd.destroy(new Error('ECONNRESET'))
  const reason = await client.closed
  assert.equal(reason.end, 'failed')
  assert.match(String(reason.cause), /ECONNRESET/)
})

test('closing here is told apart from loss, and QEMU goes on', async () => {
  const { qemu, client, timers } = await openPair()
  const failing = failureOf(client.run('stop'))
  client.close()
  client.close()
  const error = await failing
  assert.ok(error instanceof QmpConnectionError)
  assert.deepEqual([error.end, error.outcome], ['closed_here', 'unknown'])
  assert.equal((await client.closed).end, 'closed_here')
  await settle()
  assert.equal(qemu.isOpen, false)
  assert.equal(timers.pending, 0)
})

test('quit succeeds with the answer and with the loss, but not with what is neither', async () => {
  const answered = await openPair()
  const first = answered.client.quit()
  await settle()
  assert.equal(answered.qemu.last().execute, 'quit')
  answered.qemu.reply()
  await first
  answered.client.close()
  await assert.rejects(answered.client.quit(), { outcome: 'not_sent' })

  const lost = await openPair()
  const second = lost.client.quit()
  await settle()
  lost.qemu.end()
  await second

  const reset = await openPair()
  const third = reset.client.quit()
  await settle()
  reset.qemu.clientEnd.destroy(new Error('ECONNRESET'))
  await third

  const closed = await openPair()
  const fourth = failureOf(closed.client.quit())
  closed.client.close()
  assert.ok((await fourth) instanceof QmpConnectionError)

  const lying = await openPair()
  const fifth = failureOf(lying.client.quit())
  await settle()
  lying.qemu.sendRaw('nonsense\r\n')
  assert.ok((await fifth) instanceof QmpConnectionError)

  const hanging = await openPair()
  const sixth = failureOf(hanging.client.quit({ timeoutMs: 50 }))
  await hanging.timers.advance(50)
  assert.ok((await sixth) instanceof QmpTimeoutError)
  hanging.client.close()
})

test('a peer that breaks the protocol is left, with the reason, and commands reject', async () => {
  for (const [bytes, reason] of [
    ['x\r\n', /not JSON/],
    ['\r\n', /not JSON/],
    ['[]\r\n', /not an object/],
    ['{}\r\n', /not one of/],
    [Buffer.from([0x7b, 0xff, 0x0a]), /not UTF-8/],
    ['{"return":{},"id":"3f"}\r\n', /not sent/],
    ['{"return":{},"id":1}\r\n', /not sent/],
    ['{"return":{},"id":"80000000-80000000-99"}\r\n', /not sent, or a second one/],
    // Of the negotiation, which has its answer.
    ['{"return":{},"id":"80000000-80000000-1"}\r\n', /not sent, or a second one/],
    [
      '{"error":{"class":"GenericError","desc":"JSON parse error"}}\r\n',
      /could not read.*JSON parse error/,
    ],
    [`${JSON.stringify(GREETING)}\r\n`, /second greeting/],
    ['x'.repeat(2_000), /longer than 1000 bytes/],
    [`{"event":"E","data":${'['.repeat(2_000)}`, /longer than 1000 bytes/],
    [`{"event":"E","data":${'['.repeat(500)}\r\n`, /nested more than/],
  ] as const) {
    const { qemu, client, timers } = await openPair({
      limits: { lineBytesMax: 1_000, depthMax: 99 },
    })
    const failing = failureOf(client.run('stop'))
    await settle()
    qemu.sendRaw(bytes)
    const error = await failing
    assert.ok(error instanceof QmpConnectionError)
    assert.deepEqual([error.end, error.outcome], ['protocol', 'unknown'])
    const { cause } = await client.closed
    assert.ok(cause instanceof QmpProtocolError)
    assert.match(cause.message, reason)
    await settle()
    assert.equal(qemu.isOpen, false)
    assert.equal(timers.pending, 0)
  }
})

test('before the greeting nothing else may come', async () => {
  for (const message of [
    { event: 'STOP' },
    { return: {}, id: '80000000-80000000-1' },
    { error: { class: 'a', desc: 'b' } },
  ]) {
    const { qemu, client } = opening()
    qemu.send(message)
    const error = await failureOf(client)
    assert.ok(error instanceof QmpConnectionError)
    assert.equal(error.end, 'protocol')
  }
})

test('nothing is looked at after the end, not even in the same chunk', async () => {
  const names: string[] = []
  const { qemu, client } = await openPair()
  client.onEvent((event) => {
    names.push(event.name)
    client.close()
  })
  qemu.sendRaw('{"event":"STOP"}\r\n{"event":"RESUME"}\r\nnonsense\r\n')
  assert.equal((await client.closed).end, 'closed_here')
  await settle()
  assert.deepEqual(names, ['STOP'])
})

test('a large answer that arrives in small pieces is one answer', async () => {
  const { qemu, client } = await openPair()
  const names = client.run('query-commands')
  await settle()
  const many = Array.from({ length: 20_000 }, (_, index) => ({ name: `command-${index}` }))
  const line = Buffer.from(`${JSON.stringify({ return: many, id: qemu.last().id })}\r\n`)
  for (let at = 0; at < line.length; at += 100) qemu.sendRaw(line.subarray(at, at + 100))
  assert.equal((await names).length, 20_000)
  client.close()
})

test('a stream that is over before it begins is reported', async () => {
  const { clientEnd } = new ScriptedQemu()
  clientEnd.destroy()
  const error = await failureOf(QmpClient.open(clientEnd, { random: () => 0 }))
  assert.ok(error instanceof QmpConnectionError)
})
