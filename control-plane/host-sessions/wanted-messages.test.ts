// Proves that snapshots and deltas of any size are cut into messages that the contract allows, and lose nothing.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  HOST_MESSAGE_BYTES_MAX,
  serverMessage,
  WANTED_ITEMS_PER_MESSAGE_MAX,
  wantedKey,
  type WantedItem,
} from '@nubo/contracts/host'
import { encodeItem, wantedMessages, type WantedChange } from './wanted-messages.ts'

function portItem(n: number): WantedItem {
  const id = `d0000000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`
  return {
    kind: 'port',
    id,
    networkId: id,
    subnetId: id,
    mac: '0a:00:00:00:00:01',
    address: '10.0.0.1',
    at: { on: 'remote', vtep: '10.1.0.1' },
  }
}

function receive(change: WantedChange) {
  const texts = [...wantedMessages(change)]
  const messages = texts.map((text) => {
    assert.ok(Buffer.byteLength(text) <= HOST_MESSAGE_BYTES_MAX)
    const message = serverMessage.parse(JSON.parse(text))
    assert.ok(message.type === 'wanted')
    assert.equal(message.revision, change.revision)
    assert.equal(message.full, change.full)
    return message
  })
  assert.deepEqual(
    messages.map((message) => message.last),
    messages.map((_, index) => index === messages.length - 1),
  )
  return {
    messages,
    upserts: messages.flatMap((message) => message.upserts.map(wantedKey)),
    removes: messages.flatMap((message) => message.removes),
  }
}

test('an empty snapshot is one message', () => {
  const { messages } = receive({ revision: 7, full: true, upserts: [], removes: [] })
  assert.equal(messages.length, 1)
})

test('many items are cut by number and keep their order', () => {
  const items = Array.from({ length: 2 * WANTED_ITEMS_PER_MESSAGE_MAX + 1 }, (_, n) => portItem(n))
  const removes = Array.from({ length: WANTED_ITEMS_PER_MESSAGE_MAX + 5 }, (_, n) => `port/${n}`)
  const got = receive({ revision: 7, full: false, upserts: items.map(encodeItem), removes })
  assert.equal(got.messages.length, 3)
  assert.deepEqual(got.upserts, items.map(wantedKey))
  assert.deepEqual(got.removes, removes)
  for (const { upserts } of got.messages) assert.ok(upserts.length <= WANTED_ITEMS_PER_MESSAGE_MAX)
})

test('large items are cut by size, the largest travels alone', () => {
  const id = portItem(1).id
  const set = (envBytes: number): WantedItem => ({
    kind: 'set',
    id,
    projectId: id,
    name: 'big',
    generation: 1,
    epoch: 1,
    run: 'running',
    restartCount: 0,
    recovery: 'local',
    cpuMillis: 1,
    memoryBytes: 1,
    portIds: [],
    containers: [
      {
        name: 'main',
        index: 0,
        image: { repository: 'r', digest: 'd' },
        command: null,
        cpuMillis: null,
        memoryBytes: null,
        healthCheck: null,
        stopTimeoutMs: 1,
        env: { BIG: 'é'.repeat(envBytes / 2) },
        restart: { policy: 'always', backoffMaxMs: 100 },
      },
    ],
  })
  const sizes = [1_500_000, 1_000_000, 900_000, 200_000, 3_000_000, 100]
  const got = receive({
    revision: 7,
    full: true,
    upserts: sizes.map((bytes) => encodeItem(set(bytes))),
    removes: [],
  })
  assert.equal(got.upserts.length, sizes.length)
  assert.deepEqual(
    got.messages.map((message) => message.upserts.length),
    [1, 2, 1, 1, 1],
  )
})
