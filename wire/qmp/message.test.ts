/** A line is read as one of four messages or refused with a typed error, whatever is in it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { QmpProtocolError } from './errors.ts'
import { readMessage, type QmpMessage } from './message.ts'

function read(line: unknown, depthMax = 16): QmpMessage {
  return readMessage(Buffer.from(typeof line === 'string' ? line : JSON.stringify(line)), depthMax)
}

const version = { qemu: { major: 7, minor: 2, micro: 22 }, package: '' }

test('each kind of message is read', () => {
  assert.deepEqual(read({ QMP: { version, capabilities: ['oob'] } }), {
    is: 'greeting',
    greeting: {
      version: { major: 7, minor: 2, micro: 22, package: '' },
      capabilities: ['oob'],
    },
  })
  assert.deepEqual(read({ return: { a: [1] }, id: 'x' }), {
    is: 'return',
    id: 'x',
    value: { a: [1] },
  })
  assert.deepEqual(read({ error: { class: 'C', desc: 'D' }, id: 'x' }), {
    is: 'error',
    id: 'x',
    class: 'C',
    description: 'D',
  })
  assert.deepEqual(
    read({ event: 'E', data: { a: 1 }, timestamp: { seconds: 2, microseconds: 500 } }),
    { is: 'event', name: 'E', atMs: 2_000.5, data: { a: 1 } },
  )
})

test('an id of another form is none of ours', () => {
  for (const id of [7, null, { a: 1 }, undefined]) {
    const message = read({ return: {}, id })
    assert.equal(message.is === 'return' && message.id, null)
  }
})

test('an event may lack data and time, and its time may be unknown or nonsense', () => {
  for (const timestamp of [
    undefined,
    null,
    5,
    [],
    {},
    { seconds: -1, microseconds: -1 },
    { seconds: '2', microseconds: 0 },
    { seconds: 1e300, microseconds: 0 },
    { seconds: Number.MAX_SAFE_INTEGER, microseconds: 0 },
  ]) {
    const message = read({ event: 'E', timestamp })
    assert.deepEqual(message, { is: 'event', name: 'E', atMs: null, data: {} })
  }
})

test('what is no message is refused', () => {
  for (const line of [
    '',
    ' ',
    'x',
    '{',
    '{} {}',
    '[]',
    '1',
    '"QMP"',
    'null',
    '{}',
    '{"id":"x"}',
    '{"return":{},"error":{"class":"C","desc":"D"},"id":"x"}',
    '{"event":"E","return":{}}',
    '{"event":5}',
    '{"event":"E","data":[]}',
    '{"event":"E","data":null}',
    '{"error":{"class":"C"},"id":"x"}',
    '{"error":{"class":1,"desc":"D"},"id":"x"}',
    '{"error":"D","id":"x"}',
    '{"QMP":{}}',
    '{"QMP":{"version":{},"capabilities":[]}}',
    `{"QMP":{"version":${JSON.stringify(version)},"capabilities":[1]}}`,
    '{"QMP":{"version":{"qemu":{"major":-1,"minor":0,"micro":0},"package":""},"capabilities":[]}}',
    '{"__proto__":{"return":{},"id":"x"}}',
  ]) {
    assert.throws(() => read(line), QmpProtocolError, line)
  }
})

test('bytes that are no UTF-8 are refused', () => {
  const line = Buffer.concat([Buffer.from('{"event":"'), Buffer.from([0xff]), Buffer.from('"}')])
  assert.throws(() => readMessage(line, 16), QmpProtocolError)
})

test('depth is limited before anything is built, and brackets in strings do not count', () => {
  assert.equal(read(`{"return":${'['.repeat(15)}${']'.repeat(15)},"id":"x"}`).is, 'return')
  assert.throws(() => read(`{"return":${'['.repeat(16)}${']'.repeat(16)}}`), /nested more than 16/)
  assert.throws(() => read(`{"return":${'['.repeat(5_000_000)}`), /nested more than 16/)
  assert.equal(read({ return: '[{'.repeat(100), id: 'x' }).is, 'return')
  assert.equal(read({ return: '\\"[['.repeat(100), id: 'x' }).is, 'return')
})

test('keys that JavaScript knows change nothing', () => {
  const message = read('{"event":"E","data":{"__proto__":{"evil":1},"constructor":2}}')
  assert.ok(message.is === 'event')
  assert.equal(Object.getPrototypeOf(message.data), Object.prototype)
  assert.equal(message.data['evil'], undefined)
  assert.equal(Object.hasOwn({}, 'evil'), false)
})
