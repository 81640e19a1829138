import assert from 'node:assert/strict'
import { test } from 'node:test'

import { seededRandom, VirtualClock } from '@nubo/base'
import {
  OpenFlowClosedError,
  OpenFlowEncodeError,
  OpenFlowLimitError,
  OpenFlowTimeoutError,
  type Flow,
  type FlowChange,
} from '@nubo/wire-openflow'

import { SwitchError, UNREADABLE_ACTIONS } from '../switch-driver.ts'
import { FlowChannel, type FlowClient } from './flow-channel.ts'

type Dump = Awaited<ReturnType<FlowClient['dumpFlows']>>

class ScriptedClient implements FlowClient {
  readonly applied: (readonly FlowChange[])[] = []
  readonly #closed = Promise.withResolvers<unknown>()
  readonly closed = this.#closed.promise
  isClosed = false
  dump: Dump = { flows: [], foreign: [] }
  failure: Error | undefined

  async applyBundle(changes: readonly FlowChange[]): Promise<void> {
    await Promise.resolve()
    if (this.failure !== undefined) throw this.failure
    this.applied.push(changes)
  }

  async dumpFlows(filter?: { table: number }): Promise<Dump> {
    await Promise.resolve()
    if (this.failure !== undefined) throw this.failure
    const isAsked = ({ table }: { table: number }): boolean =>
      filter === undefined || filter.table === table
    return { flows: this.dump.flows.filter(isAsked), foreign: this.dump.foreign.filter(isAsked) }
  }

  close(): void {
    this.isClosed = true
    this.#closed.resolve(new OpenFlowClosedError('closed'))
  }
}

function makeRig(makeClient: (attempt: number) => ScriptedClient | undefined) {
  const clock = new VirtualClock()
  const clients: ScriptedClient[] = []
  const heard: string[] = []
  let attempts = 0
  const channel = new FlowChannel({
    connect: async () => {
      await Promise.resolve()
      attempts += 1
      const client = makeClient(attempts)
      if (client === undefined) throw new OpenFlowClosedError('nobody listens')
      clients.push(client)
      return client
    },
    clock,
    random: seededRandom(1),
    onConnected: ({ isFirst, isEmpty }) =>
      heard.push(`connected${isFirst ? ' first' : ''}${isEmpty ? ' empty' : ''}`),
    onLost: () => heard.push('lost'),
  })
  return { clock, clients, heard, channel, attempts: () => attempts }
}

const FLOW: Flow = { table: 9, priority: 1, cookie: 5n, match: {}, actions: [] }

test('it connects when started, and tells whether the switch is empty each time', async () => {
  const rig = makeRig((attempt) => {
    const client = new ScriptedClient()
    if (attempt === 2) client.dump = { flows: [FLOW], foreign: [] }
    return client
  })
  await rig.clock.advance(1_000)
  assert.equal(rig.attempts(), 0)
  rig.channel.start()
  rig.channel.start()
  await rig.clock.advance(0)
  rig.clients[0]?.close()
  await rig.clock.advance(20)
  rig.clients[1]?.close()
  await rig.clock.advance(20)
  assert.deepEqual(rig.heard, [
    'connected first empty',
    'lost',
    'connected',
    'lost',
    'connected empty',
  ])
  rig.channel.stop()
  assert.equal(rig.clients[2]?.isClosed, true)
})

test('attempts go on with growing pauses, and failing is not told as losing', async () => {
  const rig = makeRig((attempt) => (attempt > 20 ? new ScriptedClient() : undefined))
  rig.channel.start()
  await rig.clock.advance(0)
  await assert.rejects(rig.channel.dump(), { problem: 'unreachable' })
  await rig.clock.advance(100)
  const early = rig.attempts()
  assert.ok(early >= 3 && early <= 7, `${early} attempts in 100 ms`)
  await rig.clock.advance(60_000)
  assert.deepEqual(rig.heard, ['connected first empty'])
  rig.channel.stop()
})

test('a client that fails while it is looked at is closed and tried again', async () => {
  const rig = makeRig((attempt) => {
    const client = new ScriptedClient()
    if (attempt === 1) client.failure = new OpenFlowTimeoutError('slow')
    return client
  })
  rig.channel.start()
  await rig.clock.advance(20)
  assert.equal(rig.clients[0]?.isClosed, true)
  assert.deepEqual(rig.heard, ['connected first empty'])
  rig.channel.stop()
})

test('before the start and after the stop calls say why they fail', async () => {
  const rig = makeRig(() => new ScriptedClient())
  await assert.rejects(rig.channel.dump(), { problem: 'host_not_ready' })
  rig.channel.start()
  rig.channel.stop()
  await rig.clock.advance(10_000)
  await assert.rejects(rig.channel.apply([]), { problem: 'closed' })
  assert.equal(rig.clients[0]?.isClosed, true, 'what connected after the stop is closed')
  assert.deepEqual(rig.heard, [])
})

test('failures of the connection become problems of the driver', async () => {
  const rig = makeRig(() => new ScriptedClient())
  rig.channel.start()
  await rig.clock.advance(0)
  const [client] = rig.clients
  assert.ok(client)
  const cases: readonly [Error, string][] = [
    [new OpenFlowTimeoutError('slow'), 'timed_out'],
    [new OpenFlowClosedError('gone'), 'unreachable'],
    [new OpenFlowLimitError('full'), 'overloaded'],
    [new OpenFlowEncodeError('bad'), 'flows_refused'],
  ]
  for (const [failure, problem] of cases) {
    client.failure = failure
    await assert.rejects(
      rig.channel.apply([{ type: 'add', flow: FLOW }]),
      (error) =>
        error instanceof SwitchError && error.problem === problem && error.cause === failure,
    )
  }
  client.failure = new TypeError('a defect')
  await assert.rejects(rig.channel.dump(), TypeError)
  rig.channel.stop()
})

test('foreign flows are shown with actions that nobody sends, and deleted if they have no readable match', async () => {
  const rig = makeRig(() => new ScriptedClient())
  rig.channel.start()
  await rig.clock.advance(0)
  const [client] = rig.clients
  assert.ok(client)
  const readable = { table: 1, priority: 2, cookie: 3n, match: { inPort: 4 }, reason: 'action' }
  client.dump = {
    flows: [FLOW],
    foreign: [readable, { ...readable, cookie: 8n, match: undefined, reason: 'match' }],
  }
  const clear = client.applyBundle.bind(client)
  client.applyBundle = async (changes) => {
    await clear(changes)
    client.dump = { flows: [FLOW], foreign: [readable] }
  }
  assert.deepEqual(await rig.channel.dump(), [
    FLOW,
    { table: 1, priority: 2, cookie: 3n, match: { inPort: 4 }, actions: UNREADABLE_ACTIONS },
  ])
  assert.deepEqual(client.applied, [
    [{ type: 'deleteByCookie', cookie: 8n, cookieMask: 0xffff_ffff_ffff_ffffn }],
  ])
  rig.channel.stop()
})
