import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { suite, test } from 'node:test'

import { OpenFlowClient } from './client.ts'
import { OpenFlowRemoteError } from './error-message.ts'
import {
  OpenFlowClosedError,
  OpenFlowDecodeError,
  OpenFlowTimeoutError,
  OpenFlowVersionError,
} from './errors.ts'
import type { Flow } from './flow.ts'
import { MESSAGE_TYPE, type Message } from './message.ts'
import { FakeSwitch } from './testing/fake-switch.ts'
import { ManualTimers, openClient, settle, silentOn } from './testing/open-client.ts'
import { SeededRandom } from './testing/random-flow.ts'
import { writeFlowEntry } from './testing/switch-messages.ts'
import { VERSION_14, VERSION_15, type OpenFlowVersion } from './version.ts'

function flow(index: number): Flow {
  return { table: 1, priority: index, cookie: 5n, match: { inPort: 1 }, actions: [] }
}

const ignore = (): undefined => undefined

suite('Opening', () => {
  test('nothing is said before the peer has said HELLO, then all at once', async () => {
    const [near, far] = duplexPair()
    const fake = new FakeSwitch(far, { version: VERSION_14 })
    const opening = OpenFlowClient.open(near, { timers: new ManualTimers() })
    await settle()
    assert.equal(fake.received.length, 0)
    fake.hello()
    const client = await opening
    assert.equal(client.version, VERSION_14)
    assert.equal(client.features.datapathId, 0xabcn)
    assert.deepEqual(
      fake.received.map(({ type }) => type),
      [
        MESSAGE_TYPE.hello,
        MESSAGE_TYPE.setConfig,
        MESSAGE_TYPE.experimenter,
        MESSAGE_TYPE.setAsync,
        MESSAGE_TYPE.featuresRequest,
        MESSAGE_TYPE.barrierRequest,
      ],
    )
    client.close()
  })

  test('the highest common version is used, with a bitmap and without', async () => {
    const cases: readonly (readonly [readonly OpenFlowVersion[], OpenFlowVersion])[] = [
      [[VERSION_14, VERSION_15], VERSION_15],
      [[VERSION_15], VERSION_15],
      [[VERSION_14], VERSION_14],
    ]
    for (const [offered, expected] of cases) {
      const [near, far] = duplexPair()
      const fake = new FakeSwitch(far, { version: expected })
      fake.hello(offered)
      const client = await OpenFlowClient.open(near, { timers: new ManualTimers() })
      assert.equal(client.version, expected)
      client.close()
    }
    const [near, far] = duplexPair()
    const fake = new FakeSwitch(far, { version: VERSION_14 })
    fake.sendRaw(Buffer.from('0500000800000001', 'hex'))
    const client = await OpenFlowClient.open(near, { timers: new ManualTimers() })
    assert.equal(client.version, VERSION_14)
    client.close()
  })

  test('a peer without a common version, without HELLO or with nonsense is refused', async () => {
    const cases: readonly (readonly [string, new (...args: never) => Error])[] = [
      ['0400000800000001', OpenFlowVersionError],
      ['04000010000000010001000800000010', OpenFlowVersionError],
      ['0505000800000001', OpenFlowDecodeError],
      ['05000010000000010001000200000030', OpenFlowDecodeError],
      ['0500000300000001', OpenFlowDecodeError],
    ]
    for (const [hex, kind] of cases) {
      const [near, far] = duplexPair()
      far.on('error', ignore)
      far.write(Buffer.from(hex, 'hex'))
      await assert.rejects(OpenFlowClient.open(near, { timers: new ManualTimers() }), kind, hex)
      assert.ok(near.destroyed)
    }
  })

  test('silence, an end and an abort end the opening', async () => {
    const timers = new ManualTimers()
    const [silent] = duplexPair()
    const waiting = assert.rejects(
      OpenFlowClient.open(silent, { timers, openTimeoutMs: 100 }),
      OpenFlowTimeoutError,
    )
    await timers.pass(100)
    await waiting
    assert.ok(silent.destroyed)

    const [ending, far] = duplexPair()
    far.end()
    await assert.rejects(OpenFlowClient.open(ending, { timers }), OpenFlowClosedError)

    const [aborted] = duplexPair()
    const controller = new AbortController()
    const opening = OpenFlowClient.open(aborted, { timers, signal: controller.signal })
    controller.abort(new Error('enough'))
    await assert.rejects(opening, /enough/)
    assert.equal(timers.count, 0)
  })

  test('a switch that does not let itself be configured is refused', async () => {
    await assert.rejects(
      openClient((message, fake) => {
        if (message.type !== MESSAGE_TYPE.setAsync) return 'default'
        fake.refuse(message, { type: 15, code: 1 })
        return undefined
      }),
      (error) => error instanceof OpenFlowRemoteError && error.codeName === 'OFPACFC_UNSUPPORTED',
    )
    const timers = new ManualTimers()
    const opening = openClient(silentOn(MESSAGE_TYPE.featuresRequest), {
      timers,
      openTimeoutMs: 50,
    })
    const refused = assert.rejects(opening, OpenFlowTimeoutError)
    await timers.pass(50)
    await refused
    assert.equal(timers.count, 0)
  })
})

suite('Requests', () => {
  test('answers find their request in any order', async () => {
    const held: Message[] = []
    let isHolding = false
    const { client, fake } = await openClient((message) => {
      if (message.type !== MESSAGE_TYPE.barrierRequest || !isHolding) return 'default'
      held.push(message)
      return undefined
    })
    isHolding = true
    const order: number[] = []
    const barriers = [0, 1, 2].map((index) => client.barrier().then(() => order.push(index)))
    await settle()
    for (const message of held.toReversed()) fake.answerByDefault(message)
    await Promise.all(barriers)
    assert.deepEqual(order, [2, 1, 0])
    client.close()
  })

  test('a refusal rejects the request with the name of the reason', async () => {
    const { client } = await openClient((message, fake) => {
      if (message.type !== MESSAGE_TYPE.multipartRequest) return 'default'
      fake.refuse(message, { type: 1, code: 9 })
      return undefined
    })
    await assert.rejects(client.dumpFlows(), /OFPBRC_BAD_TABLE_ID/)
    await client.barrier()
    client.close()
  })

  test('a request ends at its deadline or with its signal, and late answers harm nobody', async () => {
    const held: Message[] = []
    const { client, fake, timers } = await openClient((message) => {
      if (message.type !== MESSAGE_TYPE.multipartRequest) return 'default'
      held.push(message)
      return undefined
    })
    const late = assert.rejects(client.dumpFlows({}, { timeoutMs: 30 }), OpenFlowTimeoutError)
    await timers.pass(30)
    await late
    const controller = new AbortController()
    const dropped = assert.rejects(client.portStats({ signal: controller.signal }), /no longer/)
    controller.abort(new Error('no longer'))
    await dropped
    for (const message of held) fake.answerByDefault(message)
    await client.barrier()
    client.close()
    await assert.rejects(
      client.dumpFlows({}, { signal: AbortSignal.abort(new Error('before')) }),
      /before/,
    )
  })

  test('an answer in many messages is put together', async () => {
    for (const version of [VERSION_14, VERSION_15] as const) {
      const { client } = await openClient(
        (message, fake) => {
          if (message.type !== MESSAGE_TYPE.multipartRequest) return 'default'
          for (const part of [0, 1, 2]) {
            fake.send(MESSAGE_TYPE.multipartReply, message.xid, (writer) => {
              writer.u16(1)
              writer.u16(part < 2 ? 1 : 0)
              writer.zeros(4)
              writeFlowEntry(writer, flow(part), version)
            })
          }
          return undefined
        },
        { version },
      )
      const { flows, foreign } = await client.dumpFlows()
      assert.deepEqual(
        flows.map((entry) => entry.flow.priority),
        [0, 1, 2],
      )
      assert.equal(foreign.length, 0)
      client.close()
    }
  })

  test('a broken answer rejects its request and leaves the connection alone', async () => {
    const { client } = await openClient((message, fake) => {
      if (message.type !== MESSAGE_TYPE.multipartRequest) return 'default'
      fake.send(MESSAGE_TYPE.multipartReply, message.xid, (writer) => {
        writer.u16(1)
        writer.zeros(6)
        writer.u16(4)
      })
      return undefined
    })
    await assert.rejects(client.dumpFlows(), OpenFlowDecodeError)
    await client.barrier()
    client.close()
  })

  test('closing rejects all that waits, from either side', async () => {
    const silent = silentOn(MESSAGE_TYPE.multipartRequest)
    const mine = await openClient(silent)
    const waiting = assert.rejects(mine.client.dumpFlows(), OpenFlowClosedError)
    mine.client.close()
    mine.client.close()
    await waiting
    assert.match((await mine.client.closed).message, /this side/)
    await assert.rejects(mine.client.barrier(), OpenFlowClosedError)
    await assert.rejects(
      mine.client.applyBundle([{ type: 'add', flow: flow(1) }]),
      OpenFlowClosedError,
    )
    assert.throws(
      () => mine.client.packetOut({ packet: new Uint8Array(60), actions: [] }),
      OpenFlowClosedError,
    )
    assert.equal(mine.timers.count, 0)

    const theirs = await openClient(silent)
    const reasons: Error[] = []
    theirs.client.on('close', (reason) => reasons.push(reason))
    const bundle = assert.rejects(theirs.client.dumpFlows(), OpenFlowClosedError)
    theirs.fake.end()
    await bundle
    assert.match((await theirs.client.closed).message, /switch closed/)
    assert.equal(reasons.length, 1)
    assert.equal(theirs.timers.count, 0)
  })
})

suite('Signs of life', () => {
  test('a silent peer is asked, and lives on if it answers', async () => {
    const { client, fake, timers } = await openClient(undefined, {
      echoIntervalMs: 100,
      echoTimeoutMs: 50,
    })
    await timers.pass(1000)
    assert.ok(fake.of(MESSAGE_TYPE.echoRequest).length >= 4)
    await client.barrier()
    client.close()
  })

  test('one that does not answer is given up', async () => {
    const silent: readonly number[] = [MESSAGE_TYPE.echoRequest, MESSAGE_TYPE.multipartRequest]
    const { client, timers } = await openClient(
      ({ type }) => (silent.includes(type) ? undefined : 'default'),
      { echoIntervalMs: 100, echoTimeoutMs: 50 },
    )
    const waiting = assert.rejects(client.dumpFlows(), OpenFlowClosedError)
    await timers.pass(300)
    assert.ok((await client.closed) instanceof OpenFlowTimeoutError)
    await waiting
    assert.equal(timers.count, 0)
  })

  test('its own questions are answered', async () => {
    const { client, fake } = await openClient()
    fake.send(MESSAGE_TYPE.echoRequest, 99, (writer) => writer.bytes(Uint8Array.of(1, 2, 3)))
    await settle()
    const [answer] = fake.of(MESSAGE_TYPE.echoReply)
    assert.deepEqual([answer?.xid, answer?.body], [99, Buffer.of(1, 2, 3)])
    client.close()
  })
})

suite('Events', () => {
  test('a refused packet-out is an error event', async () => {
    const { client } = await openClient((message, own) => {
      if (message.type !== MESSAGE_TYPE.packetOut) return 'default'
      own.refuse(message, { type: 2, code: 4 })
      return undefined
    })
    const errors: Error[] = []
    const off = client.on('error', (error) => errors.push(error))
    const packetOut = {
      packet: new Uint8Array(60),
      actions: [{ type: 'output', port: 99 } as const],
    }
    client.packetOut(packetOut)
    await client.barrier()
    assert.match(String(errors[0]), /OFPBAC_BAD_OUT_PORT/)
    off()
    client.packetOut(packetOut)
    await client.barrier()
    assert.equal(errors.length, 1)
    client.close()
  })

  test('an event that cannot be read is an error event, and the next one comes', async () => {
    const { client, fake } = await openClient()
    const errors: Error[] = []
    const reasons: string[] = []
    client.on('error', (error) => errors.push(error))
    client.on('portStatus', ({ reason }) => reasons.push(reason))
    fake.send(MESSAGE_TYPE.portStatus, 0, (writer) => writer.zeros(12))
    fake.send(MESSAGE_TYPE.portStatus, 0, (writer) => {
      writer.u8(1)
      writer.zeros(7)
      writer.u32(4)
      writer.u16(40)
      writer.zeros(34)
    })
    await client.barrier()
    assert.ok(errors[0] instanceof OpenFlowDecodeError)
    assert.deepEqual(reasons, ['delete'])
    client.close()
  })

  test('resuming a packet that was not paused is a mistake of the caller', async () => {
    const { client } = await openClient()
    const packetIn = {
      packet: new Uint8Array(60),
      fullLength: 60,
      table: 0,
      cookie: 0n,
      reason: 1,
      inPort: 1,
      metadata: {},
      userdata: new Uint8Array(),
      continuation: undefined,
    }
    assert.throws(() => client.resume(packetIn), /not paused/)
    client.close()
  })
})

suite('A peer that talks nonsense', () => {
  test('closes the connection or is survived, never more', async () => {
    const random = new SeededRandom(99)
    for (let round = 0; round < 300; round += 1) {
      const { client, fake } = await openClient()
      client.on('error', ignore)
      const waiting = client.dumpFlows({}, { timeoutMs: 5 }).catch(ignore)
      for (let part = 0; part < 5; part += 1) fake.sendRaw(nonsense(random))
      await settle()
      client.close()
      await waiting
      await client.closed
    }
  })
})

/** Random bytes, half of the time behind a header that fits. */
function nonsense(random: SeededRandom): Buffer {
  const body = Buffer.from(random.bytes(random.below(64)))
  if (random.chance(0.5)) return body
  const header = Buffer.alloc(8)
  header.writeUInt8(VERSION_14, 0)
  header.writeUInt8(random.below(40), 1)
  header.writeUInt16BE(8 + body.length, 2)
  header.writeUInt32BE(random.below(10), 4)
  return Buffer.concat([header, body])
}
