// Proves that every message of either side passes through every version, or is known not to exist there.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  contractOfSessionPath,
  contractOfStreamPath,
  HOST_CONTRACT_LATEST,
  HOST_CONTRACT_OLDEST,
  hostCodec,
  hostContractVersions,
  hostSessionPath,
  hostStreamPath,
  type AgentMessage,
  type HostContract,
  type ServerMessage,
  type StreamRequest,
} from './index.ts'

const hostId = '0190a000-0005-7000-8000-000000000001'
const hello: AgentMessage = {
  type: 'hello',
  contracts: [3, 2, 1],
  hostId,
  bootId: 'boot',
  wantedRevision: 7,
  inventory: {
    cores: 1,
    memoryBytes: 1,
    diskBytes: 1,
    kernel: '6',
    engines: {},
    nics: [],
    agentVersion: '0',
  },
  capacity: { cpuMillis: 1, memoryBytes: 1, diskBytes: 1 },
  reserve: { cpuMillis: 0, memoryBytes: 0, diskBytes: 0 },
  vtepAddress: '172.16.0.1',
  underlayMtuBytes: 1_600,
  stopsWithinMs: 8_000,
  probeAddress: '172.16.0.1:7444',
  accelerator: null,
  vmsProblem: null,
}
const agentMessages: AgentMessage[] = [
  hello,
  { type: 'heartbeat', sequence: 1 },
  { type: 'found', full: true, last: true, wantedRevision: null, instances: [] },
  { type: 'probe-report', id: 1, results: [{ hostId, answer: null }] },
]
const welcome: ServerMessage = {
  type: 'welcome',
  contract: 2,
  serverName: 's1',
  region: 'r',
  heartbeatPeriodMs: 2_000,
  leaseMs: 30_000,
  servers: ['s1:7443'],
  registry: 'r:5000',
  probeKey: '7'.repeat(64),
}
const serverMessages: ServerMessage[] = [
  welcome,
  { type: 'wanted', revision: 1, full: true, last: true, upserts: [], removes: [] },
  { type: 'heartbeat-answer', sequence: 1, leaseMs: 30_000 },
  { type: 'open-stream', server: 's1:7443', token: 't' },
  { type: 'probe', id: 1, timeoutMs: 1_000, targets: [{ hostId, address: 'a:1' }] },
]

const { parseAgentMessage, parseServerMessage } = hostCodec(HOST_CONTRACT_LATEST)

test('the newest version carries every message as it is', () => {
  const codec = hostCodec(HOST_CONTRACT_LATEST)
  for (const message of agentMessages)
    assert.deepEqual(parseAgentMessage(JSON.parse(codec.encodeAgentMessage(message) ?? '')), {
      success: true,
      data: message,
    })
  for (const message of serverMessages)
    assert.deepEqual(parseServerMessage(JSON.parse(codec.encodeServerMessage(message) ?? '')), {
      success: true,
      data: message,
    })
})

test('version 1 carries what it has a word for, and what it lacks reads as nothing guaranteed', () => {
  const codec = hostCodec(1)
  const unknown: string[] = []
  const through = (text: string | undefined, read: (json: unknown) => unknown, type: string) => {
    if (text === undefined) return void unknown.push(type)
    return read(JSON.parse(text))
  }
  for (const message of agentMessages) {
    const data =
      message.type === 'hello'
        ? { ...message, contracts: [1], stopsWithinMs: null, probeAddress: null }
        : message
    const text = codec.encodeAgentMessage(message)
    const read = through(text, codec.parseAgentMessage, message.type)
    if (read !== undefined) assert.deepEqual(read, { success: true, data })
  }
  for (const message of serverMessages) {
    const data = message.type === 'welcome' ? { ...message, probeKey: null } : message
    const text = codec.encodeServerMessage(message)
    const read = through(text, codec.parseServerMessage, message.type)
    if (read !== undefined) assert.deepEqual(read, { success: true, data })
  }
  assert.deepEqual(unknown, ['probe-report', 'probe'])
})

test('words of version 2 are refused on a connection of version 1, and the other way round', () => {
  for (const message of [hello, agentMessages[3]])
    assert.equal(hostCodec(1).parseAgentMessage(message).success, false)
  for (const message of [welcome, serverMessages[4]])
    assert.equal(hostCodec(1).parseServerMessage(message).success, false)
  const before = JSON.parse(hostCodec(1).encodeAgentMessage(hello) ?? '')
  assert.equal(parseAgentMessage(before).success, false)
})

test('the path of a session names its version', () => {
  const numbers = hostContractVersions.map(({ number }) => number)
  assert.equal(numbers.at(-1), HOST_CONTRACT_LATEST)
  for (const number of numbers)
    assert.equal(
      contractOfSessionPath(hostSessionPath(number)),
      number >= HOST_CONTRACT_OLDEST ? number : undefined,
    )
  for (const path of ['/host/v4/session', '/host/v0/session', '/host/v3/session?', '/', undefined])
    assert.equal(contractOfSessionPath(path), undefined)
})

test('what a stream is asked for passes through every version; one that knows no positions begins before the first', () => {
  const exec: StreamRequest = {
    type: 'exec',
    setId: hostId,
    epoch: 1,
    container: 'main',
    command: ['true'],
    tty: false,
    stdin: false,
    columns: 80,
    rows: 24,
  }
  const logs: StreamRequest = {
    type: 'logs',
    setId: hostId,
    epoch: 1,
    container: null,
    follow: true,
    sinceMs: 5,
    tail: 3,
    positions: true,
    after: {
      main: { atNs: '1700000000123456789', count: 2 },
      db: { atNs: '1800000000000000000', count: 1 },
    },
  }
  const through = (contract: HostContract, request: StreamRequest): StreamRequest | undefined => {
    const codec = hostCodec(contract)
    const parsed = codec.parseStreamRequest(JSON.parse(codec.encodeStreamRequest(request)))
    return parsed.success ? parsed.data : undefined
  }
  for (const { number } of hostContractVersions) assert.deepEqual(through(number, exec), exec)
  assert.deepEqual(through(2, logs), logs)
  assert.deepEqual(through(1, { ...logs, after: null }), { ...logs, after: null, positions: false })
  assert.deepEqual(through(1, logs), {
    ...logs,
    positions: false,
    after: null,
    sinceMs: 1_700_000_000_123,
    tail: null,
  })
  const newer: unknown = JSON.parse(hostCodec(2).encodeStreamRequest(logs))
  assert.ok(!hostCodec(1).parseStreamRequest(newer).success)
})

test('the path of a stream names its version and token', () => {
  for (const { number } of hostContractVersions)
    assert.deepEqual(contractOfStreamPath(hostStreamPath(number, 'tok-en')), {
      contract: number,
      token: 'tok-en',
    })
  for (const path of ['/host/v4/streams/x', '/host/v1/session', '/v1/streams/x', undefined])
    assert.equal(contractOfStreamPath(path), undefined)
})
