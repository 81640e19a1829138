/** Events come typed and in order to everybody who wants them, and neither guests nor listeners can break that. */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { QmpClient } from './client.ts'
import { QmpAbortedError, QmpOverloadedError, QmpTimeoutError } from './errors.ts'
import { readEvent, type QmpEvent } from './events.ts'
import { settle } from './testing/manual-timers.ts'
import { GREETING, openPair, ScriptedQemu } from './testing/scripted-qemu.ts'

function read(name: string, data: Record<string, unknown> = {}): QmpEvent {
  return readEvent({ is: 'event', name, atMs: 5, data })
}

const job = { type: 'commit', device: 'j', len: 10, offset: 5, speed: 0 }
const jobRead = {
  type: 'commit',
  device: 'j',
  lengthBytes: 10,
  offsetBytes: 5,
  speedBytesPerSecond: 0,
}
const vnc = {
  server: { host: '::', service: '5900', family: 'ipv6', websocket: true },
  client: { host: '1.2.3.4', service: '99', family: 'ipv4', websocket: true },
}
const vncRead = { clientHost: '1.2.3.4', clientService: '99', isWebSocket: true }

const samples: readonly (readonly [string, Record<string, unknown>, Record<string, unknown>])[] = [
  [
    'SHUTDOWN',
    { guest: true, reason: 'guest-shutdown' },
    { isByGuest: true, reason: 'guest-shutdown' },
  ],
  ['RESET', { guest: false, reason: 'new' }, { isByGuest: false, reason: 'other' }],
  ['POWERDOWN', {}, {}],
  ['STOP', {}, {}],
  ['RESUME', {}, {}],
  ['SUSPEND', {}, {}],
  ['WAKEUP', {}, {}],
  ['WATCHDOG', { action: 'reset' }, { action: 'reset' }],
  ['GUEST_PANICKED', { action: 'pause', info: { type: 'hyper-v' } }, { action: 'pause' }],
  ['GUEST_CRASHLOADED', { action: 'run' }, { action: 'run' }],
  ['DEVICE_DELETED', { device: 'd', path: '/p' }, { device: 'd', qomPath: '/p' }],
  ['DEVICE_DELETED', { path: '/p/lapic' }, { device: null, qomPath: '/p/lapic' }],
  ['DEVICE_UNPLUG_GUEST_ERROR', { path: '/p' }, { device: null, qomPath: '/p' }],
  ['MEM_UNPLUG_ERROR', { device: 'd', msg: 'no' }, { device: 'd', message: 'no' }],
  [
    'MEMORY_DEVICE_SIZE_CHANGE',
    { id: 'm', size: 1024, 'qom-path': '/m' },
    { device: 'm', sizeBytes: 1024, qomPath: '/m' },
  ],
  ['BALLOON_CHANGE', { actual: 7 }, { actualBytes: 7 }],
  [
    'ACPI_DEVICE_OST',
    { info: { device: 'd', slot: '0', 'slot-type': 'DIMM', source: 1, status: 0 } },
    { device: 'd', slot: '0', slotType: 'DIMM', source: 1, status: 0 },
  ],
  ['RTC_CHANGE', { offset: -78, 'qom-path': '/rtc' }, { offsetSeconds: -78 }],
  ['NIC_RX_FILTER_CHANGED', { name: 'n', path: '/n' }, { device: 'n', qomPath: '/n' }],
  [
    'BLOCK_IO_ERROR',
    { device: '', operation: 'write', action: 'stop', nospace: true, reason: 'No space' },
    {
      device: '',
      nodeName: null,
      operation: 'write',
      action: 'stop',
      isOutOfSpace: true,
      reason: 'No space',
    },
  ],
  ['BLOCK_JOB_COMPLETED', job, { ...jobRead, error: null }],
  ['BLOCK_JOB_COMPLETED', { ...job, error: 'x' }, { ...jobRead, error: 'x' }],
  ['BLOCK_JOB_CANCELLED', job, jobRead],
  ['BLOCK_JOB_READY', job, jobRead],
  [
    'BLOCK_JOB_ERROR',
    { device: 'j', operation: 'read', action: 'report' },
    { device: 'j', operation: 'read', action: 'report' },
  ],
  ['BLOCK_JOB_PENDING', { type: 'mirror', id: 'j' }, { type: 'mirror', id: 'j' }],
  ['JOB_STATUS_CHANGE', { id: 'j', status: 'ready' }, { id: 'j', status: 'ready' }],
  ['BLOCK_EXPORT_DELETED', { id: 'e' }, { id: 'e' }],
  ['VNC_CONNECTED', vnc, vncRead],
  ['VNC_INITIALIZED', vnc, vncRead],
  ['VNC_DISCONNECTED', vnc, vncRead],
  ['MIGRATION', { status: 'completed' }, { status: 'completed' }],
  ['MIGRATION_PASS', { pass: 2 }, { pass: 2 }],
]

test('events that are used are read', () => {
  for (const [name, sent, data] of samples) {
    assert.deepEqual(read(name, sent), { name, atMs: 5, data })
  }
})

test('events that are not used are passed on as they are', () => {
  const data = { 'watchdog-thing': [1, { a: null }] }
  const event = read('SPICE_CONNECTED', data)
  assert.deepEqual(event, {
    name: 'other',
    eventName: 'SPICE_CONNECTED',
    atMs: 5,
    data,
    problem: null,
  })
  for (const name of ['__proto__', 'constructor', 'toString', 'other', '']) {
    const odd = read(name)
    assert.deepEqual([odd.name, odd.name === 'other' && odd.eventName], ['other', name])
  }
})

test('a known event with data that do not fit is passed on with the problem', () => {
  for (const [name, data, problem] of [
    ['RTC_CHANGE', { offset: 2 ** 60 }, /^RTC_CHANGE\.offset: an integer beyond/],
    ['BALLOON_CHANGE', {}, /^BALLOON_CHANGE\.actual: expected/],
    ['DEVICE_DELETED', { device: 5, path: '/' }, /^DEVICE_DELETED\.device/],
    ['VNC_CONNECTED', { client: [] }, /^VNC_CONNECTED\.client/],
    ['SHUTDOWN', { guest: 'yes', reason: 'none' }, /^SHUTDOWN\.guest/],
  ] as const) {
    const event = read(name, data)
    assert.ok(event.name === 'other')
    assert.equal(event.eventName, name)
    assert.deepEqual(event.data, data)
    assert.match(event.problem ?? '', problem)
  }
})

test('everybody hears events in order, until they no longer want to', async () => {
  const early: string[] = []
  const { qemu, client } = await openPair({ onEvent: ({ name }) => early.push(name) })
  const heard: QmpEvent[] = []
  const off = client.onEvent((event) => heard.push(event))
  qemu.event('STOP')
  qemu.event('SHUTDOWN', { guest: false, reason: 'host-qmp-quit' })
  await settle()
  assert.deepEqual(heard, [
    { name: 'STOP', atMs: 1_700_000_000_250, data: {} },
    {
      name: 'SHUTDOWN',
      atMs: 1_700_000_000_250,
      data: { isByGuest: false, reason: 'host-qmp-quit' },
    },
  ])
  off()
  off()
  qemu.event('RESUME')
  await settle()
  assert.equal(heard.length, 2)
  assert.deepEqual(early, ['STOP', 'SHUTDOWN', 'RESUME'])
  client.close()
})

test('events that come before the negotiation ends reach the first listener', async () => {
  const names: string[] = []
  const qemu = new ScriptedQemu()
  const opening = QmpClient.open(qemu.clientEnd, {
    random: () => 0.5,
    onEvent: ({ name }) => names.push(name),
  })
  qemu.send(GREETING)
  qemu.event('RESUME')
  await settle()
  qemu.sendRaw(`{"return":{},"id":"${qemu.last().id}"}\r\n{"event":"STOP"}\r\n`)
  const client = await opening
  assert.deepEqual(names, ['RESUME', 'STOP'])
  client.close()
})

test('a listener that throws disturbs neither the others nor the connection', async () => {
  const errors: unknown[] = []
  const heard: string[] = []
  const { qemu, client } = await openPair({
    onListenerError: (error) => {
      errors.push(error)
    },
  })
  client.onEvent(() => {
    throw new Error('a mistake')
  })
  client.onEvent(({ name }) => heard.push(name))
  qemu.event('STOP')
  const status = client.run('query-name')
  await settle()
  qemu.reply({})
  assert.equal(await status, null)
  assert.deepEqual(heard, ['STOP'])
  assert.match(String(errors[0]), /a mistake/)
  client.close()
})

test('a listener may add and take off listeners while it hears', async () => {
  const { qemu, client } = await openPair()
  let count = 0
  const listen = (): void => {
    const off = client.onEvent(() => {
      count += 1
      off()
      listen()
    })
  }
  listen()
  qemu.event('STOP')
  await settle()
  assert.equal(count, 1)
  qemu.event('STOP')
  await settle()
  assert.equal(count, 2)
  client.close()
})

test('waiting ends with the first event that fits, typed by the predicate', async () => {
  const { qemu, client, timers } = await openPair()
  const gone = client.waitForEvent(
    (event) => event.name === 'DEVICE_DELETED' && event.data.device === 'disk1',
    { timeoutMs: 1_000 },
  )
  const ready = client.waitForEvent((event) => event.name === 'JOB_STATUS_CHANGE', {
    timeoutMs: 1_000,
  })
  qemu.event('DEVICE_DELETED', { path: '/machine/peripheral/disk1/virtio-backend' })
  qemu.event('JOB_STATUS_CHANGE', { id: 'j', status: 'ready' })
  qemu.event('DEVICE_DELETED', { device: 'disk1', path: '/machine/peripheral/disk1' })
  assert.deepEqual((await ready).data, { id: 'j', status: 'ready' })
  assert.equal((await gone).name, 'DEVICE_DELETED')
  assert.equal(timers.pending, 0)
  client.close()
})

test('waiting ends at its deadline, with its signal, and with what the predicate throws', async () => {
  const { qemu, client, timers } = await openPair()
  const late = assert.rejects(
    client.waitForEvent(() => true, { timeoutMs: 10 }),
    QmpTimeoutError,
  )
  await timers.advance(10)
  await late
  const caller = new AbortController()
  const { signal } = caller
  const given = client.waitForEvent(() => true, { timeoutMs: 10, signal })
  caller.abort()
  await assert.rejects(given, QmpAbortedError)
  await assert.rejects(
    client.waitForEvent(() => true, { timeoutMs: 10, signal }),
    QmpAbortedError,
  )
  const thrown = client.waitForEvent(
    () => {
      throw new RangeError('mine')
    },
    { timeoutMs: 10 },
  )
  qemu.event('STOP')
  await assert.rejects(thrown, RangeError)
  assert.equal(client.isClosed, false)
  assert.equal(timers.pending, 0)
  client.close()
})

test('listeners and waits are limited together', async () => {
  const { client } = await openPair({ limits: { listenersMax: 2 } })
  const off = client.onEvent(() => undefined)
  const waiting = client.waitForEvent(() => true, { timeoutMs: 10 })
  waiting.catch(() => undefined)
  assert.throws(() => client.onEvent(() => undefined), QmpOverloadedError)
  await assert.rejects(
    client.waitForEvent(() => true, { timeoutMs: 10 }),
    QmpOverloadedError,
  )
  off()
  client.onEvent(() => undefined)
  client.close()
})
