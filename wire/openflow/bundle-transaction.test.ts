import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { suite, test } from 'node:test'

import { OpenFlowBundleError } from './bundle-transaction.ts'
import { BUNDLE_STEP, decodeBundleControl } from './bundle.ts'
import { BUNDLES_QUEUED_MAX, OpenFlowClient } from './client.ts'
import { OpenFlowClosedError, OpenFlowLimitError, OpenFlowTimeoutError } from './errors.ts'
import type { Flow, FlowChange } from './flow.ts'
import { MESSAGE_TYPE } from './message.ts'
import { FakeSwitch } from './testing/fake-switch.ts'
import { ManualTimers, openClient, settle } from './testing/open-client.ts'
import { VERSION_14 } from './version.ts'

function flow(index: number): Flow {
  return { table: 1, priority: index, cookie: 5n, match: { inPort: 1 }, actions: [] }
}

function additions(count: number): FlowChange[] {
  return Array.from({ length: count }, (_, index) => ({ type: 'add', flow: flow(index) }))
}

function steps(fake: FakeSwitch): readonly number[] {
  return fake.of(MESSAGE_TYPE.bundleControl).map(({ body }) => decodeBundleControl(body).step)
}

suite('Bundles', () => {
  test('open, every change in order, close, commit', async () => {
    const { client, fake } = await openClient()
    await client.applyBundle(additions(3000))
    assert.deepEqual(steps(fake), [BUNDLE_STEP.open, BUNDLE_STEP.close, BUNDLE_STEP.commit])
    const added = fake.of(MESSAGE_TYPE.bundleAdd)
    assert.equal(added.length, 3000)
    // The priority of the flow-mod inside, which is its index here.
    assert.ok(added.every(({ body }, index) => body.readUInt16BE(16 + 22) === index))
    await client.applyBundle([])
    assert.equal(steps(fake).length, 3)
    client.close()
  })

  test('a refused change is named, the bundle is discarded and nothing committed', async () => {
    const { client, fake } = await openClient((message, own) => {
      if (message.type !== MESSAGE_TYPE.bundleAdd || message.body.readUInt16BE(38) % 4 !== 3)
        return 'default'
      own.refuse(message, { type: 4, code: 9 })
      return undefined
    })
    const error = await rejection(client.applyBundle(additions(9)))
    assert.ok(error instanceof OpenFlowBundleError)
    assert.deepEqual(
      error.failures.map(({ index, error: cause }) => [index, cause.message]),
      [
        [3, 'the switch refused: OFPBMC_BAD_PREREQ'],
        [7, 'the switch refused: OFPBMC_BAD_PREREQ'],
      ],
    )
    assert.match(error.message, /change 3 .*OFPBMC_BAD_PREREQ.*nothing was changed/)
    assert.deepEqual(steps(fake), [BUNDLE_STEP.open, BUNDLE_STEP.close, BUNDLE_STEP.discard])
    await client.applyBundle(additions(2))
    assert.equal(steps(fake).at(-1), BUNDLE_STEP.commit)
    client.close()
  })

  test('a change that cannot be expressed is named as well', async () => {
    const { client, fake } = await openClient()
    const changes = additions(5)
    changes[2] = { type: 'add', flow: { ...flow(2), match: { tcpDst: 80 } } }
    const error = await rejection(client.applyBundle(changes))
    assert.ok(error instanceof OpenFlowBundleError)
    assert.deepEqual(
      error.failures.map(({ index }) => index),
      [2],
    )
    assert.match(error.message, /change 2.*tcpDst/)
    assert.ok(!steps(fake).includes(BUNDLE_STEP.commit))
    client.close()
  })

  test('a refused commit blames the change that the switch blames', async () => {
    const { client } = await openClient((message, own) => {
      if (message.type !== MESSAGE_TYPE.bundleControl) return 'default'
      if (decodeBundleControl(message.body).step !== BUNDLE_STEP.commit) return 'default'
      const second = own.of(MESSAGE_TYPE.bundleAdd)[1]
      assert.ok(second)
      own.refuse(second, { type: 5, code: 1 })
      own.refuse(message, { type: 17, code: 13 })
      return undefined
    })
    const error = await rejection(client.applyBundle(additions(3)))
    assert.ok(error instanceof OpenFlowBundleError)
    assert.match(error.message, /change 1 .*OFPFMFC_TABLE_FULL/)
    assert.match(String(error.cause), /OFPBFC_MSG_FAILED/)
    client.close()
  })

  test('a refused open is told', async () => {
    const { client } = await openClient((message, own) => {
      if (message.type !== MESSAGE_TYPE.bundleControl) return 'default'
      if (decodeBundleControl(message.body).step !== BUNDLE_STEP.open) return 'default'
      own.refuse(message, { type: 17, code: 5 })
      return undefined
    })
    const error = await rejection(client.applyBundle(additions(1)))
    assert.ok(error instanceof OpenFlowBundleError)
    assert.match(String(error.cause), /OFPBFC_OUT_OF_BUNDLES/)
    client.close()
  })

  test('they take turns, and the queue has an end', async () => {
    const { client, fake } = await openClient()
    const runs = Array.from({ length: BUNDLES_QUEUED_MAX }, () => client.applyBundle(additions(1)))
    await assert.rejects(client.applyBundle(additions(1)), OpenFlowLimitError)
    await Promise.all(runs)
    const each = [BUNDLE_STEP.open, BUNDLE_STEP.close, BUNDLE_STEP.commit]
    assert.deepEqual(steps(fake), Array.from(runs, () => each).flat())
    await client.applyBundle(additions(1))
    client.close()
  })

  test('a failing bundle does not stop the next', async () => {
    const { client } = await openClient((message, own) => {
      if (message.type !== MESSAGE_TYPE.bundleAdd || message.body.readUInt16BE(38) !== 1)
        return 'default'
      own.refuse(message, { type: 4, code: 9 })
      return undefined
    })
    const [first, second] = await Promise.allSettled([
      client.applyBundle(additions(2)),
      client.applyBundle(additions(1)),
    ])
    assert.deepEqual([first.status, second.status], ['rejected', 'fulfilled'])
    client.close()
  })

  test('a signal before the commit discards, after it is too late', async () => {
    const controller = new AbortController()
    const before = await openClient((message) => {
      if (message.type === MESSAGE_TYPE.bundleAdd) controller.abort(new Error('changed my mind'))
      return 'default'
    })
    await assert.rejects(
      before.client.applyBundle(additions(2), { signal: controller.signal }),
      /changed my mind/,
    )
    assert.deepEqual(steps(before.fake).at(-1), BUNDLE_STEP.discard)
    before.client.close()

    const late = new AbortController()
    const after = await openClient((message) => {
      if (
        message.type === MESSAGE_TYPE.bundleControl &&
        decodeBundleControl(message.body).step === BUNDLE_STEP.commit
      ) {
        late.abort(new Error('too late'))
      }
      return 'default'
    })
    await after.client.applyBundle(additions(2), { signal: late.signal })
    after.client.close()
  })

  test('an unanswered commit closes the connection, because the outcome is unknown', async () => {
    const { client, timers } = await openClient((message) =>
      message.type === MESSAGE_TYPE.bundleControl &&
      decodeBundleControl(message.body).step === BUNDLE_STEP.commit
        ? undefined
        : 'default',
    )
    const run = assert.rejects(
      client.applyBundle(additions(1), { timeoutMs: 70 }),
      OpenFlowTimeoutError,
    )
    await timers.pass(70)
    await run
    assert.ok((await client.closed) instanceof OpenFlowTimeoutError)
  })

  test('one that waits for its turn is given up at once', async () => {
    let isHolding = true
    const { client, fake } = await openClient((message) =>
      isHolding && message.type === MESSAGE_TYPE.bundleControl ? undefined : 'default',
    )
    const first = client.applyBundle(additions(1))
    await settle()
    const controller = new AbortController()
    const second = client.applyBundle(additions(1), { signal: controller.signal })
    controller.abort(new Error('never mind'))
    await assert.rejects(second, /never mind/)
    isHolding = false
    for (const message of fake.of(MESSAGE_TYPE.bundleControl)) fake.answerByDefault(message)
    await first
    await client.applyBundle(additions(1))
    assert.equal(fake.of(MESSAGE_TYPE.bundleAdd).length, 2)
    client.close()
  })

  test('a peer that does not read holds back the writer, and its deadline ends it', async () => {
    const [near, far] = duplexPair()
    const fake = new FakeSwitch(far, { version: VERSION_14 })
    fake.hello()
    const timers = new ManualTimers()
    const client = await OpenFlowClient.open(near, { timers, echoIntervalMs: 1e6 })
    far.pause()
    const run = assert.rejects(
      client.applyBundle(additions(60_000), { timeoutMs: 500 }),
      OpenFlowTimeoutError,
    )
    await settle()
    assert.ok(near.writableLength < 2 * 1024 * 1024, `${near.writableLength} bytes wait`)
    await timers.pass(500)
    await run
    assert.ok((await client.closed) instanceof OpenFlowTimeoutError)
    assert.equal(timers.count, 0)
  })

  test('closing ends one under way', async () => {
    const { client } = await openClient(({ type }) =>
      type === MESSAGE_TYPE.bundleControl ? undefined : 'default',
    )
    const run = assert.rejects(client.applyBundle(additions(10)), OpenFlowClosedError)
    await settle()
    client.close()
    await run
  })
})

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  const [outcome] = await Promise.allSettled([promise])
  assert.equal(outcome.status, 'rejected')
  return outcome.status === 'rejected' ? outcome.reason : undefined
}
