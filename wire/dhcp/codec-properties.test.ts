// Proves, under seeds, that what is written is read as the same, that hostile bytes give the typed error alone, and that no
// message makes the responder throw or give another address than the bound one.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { addressReply } from './address-reply.ts'
import { answer } from './answer.ts'
import type { Binding } from './binding.ts'
import { DhcpDecodeError } from './errors.ts'
import { decodeMessage, encodeMessage, MESSAGE_BYTES_MAX, type DhcpMessage } from './message.ts'
import type { DhcpOptions } from './options.ts'
import { discoverOfUdhcpc } from './testing/messages.ts'
import { SeededRandom } from './testing/random.ts'
import { randomMessage } from './testing/random-message.ts'

const binding: Binding = {
  mac: 'fa:16:3e:00:00:01',
  address: '10.9.0.7',
  prefixLength: 24,
  serverId: '10.9.0.1',
  leaseSeconds: 3_600,
  routers: ['10.9.0.1'],
  dnsServers: ['10.9.0.1', '10.9.0.2'],
  mtuBytes: 1_450,
  routes: [{ destination: '169.254.169.254', prefixLength: 32, router: '10.9.0.1' }],
  hostName: 'web-1',
  domainName: 'shop.internal',
  domainSearch: ['shop.internal', 'internal'],
}

describe('what is written is read as the same', () => {
  test('3,000 messages', () => {
    for (let seed = 1; seed <= 3_000; seed += 1) {
      const message = randomMessage(new SeededRandom(seed))
      const bytes = encodeMessage(message)
      assert.deepEqual(decodeMessage(bytes), message, `seed ${seed}`)
      // A Buffer, as sockets hand out, with other bytes before and behind.
      const inside = Buffer.concat([Buffer.alloc(5, 1), bytes, Buffer.alloc(5, 1)])
      assert.deepEqual(decodeMessage(inside.subarray(5, -5)), message, `seed ${seed}`)
    }
  })
})

function decoded(bytes: Uint8Array): DhcpMessage | undefined {
  try {
    return decodeMessage(bytes)
  } catch (error) {
    if (error instanceof DhcpDecodeError) return undefined
    throw new Error(Buffer.from(bytes).toString('hex'), { cause: error })
  }
}

/** Answers as an agent would and checks what must hold of every answer. */
function checkAnswer(request: DhcpMessage): 'reply' | 'silent' {
  const found = answer(request, binding)
  if (found.kind === 'silent') return 'silent'
  const { reply, limits } = found
  assert.ok(['10.9.0.7', '0.0.0.0'].includes(reply.yourAddress), reply.yourAddress)
  assert.equal(reply.clientMac, binding.mac)
  assert.equal(reply.options.serverId, binding.serverId)
  const isLease = reply.options.leaseSeconds !== undefined
  assert.equal(isLease, reply.yourAddress === binding.address)
  const { destinationAddress } = addressReply(reply)
  assert.ok(['10.9.0.7', '255.255.255.255', request.clientAddress].includes(destinationAddress))
  const bytes = encodeMessage(reply, limits)
  assert.ok(bytes.length <= limits.bytesMax && bytes.length <= 1_422)
  assert.equal(decodeMessage(bytes).yourAddress, reply.yourAddress)
  return 'reply'
}

describe('hostile bytes', () => {
  test('random ones give a DhcpDecodeError and nothing else', () => {
    const random = new SeededRandom(4711)
    const start = discoverOfUdhcpc.subarray(0, 240)
    for (let round = 0; round < 5_000; round += 1) {
      decoded(random.bytes(random.below(400)))
      const message = decoded(Buffer.concat([start, random.bytes(random.below(200))]))
      if (message !== undefined) checkAnswer(message)
    }
  })

  test('messages that were cut or had bits flipped are refused, or read and answered with the bound address', () => {
    const random = new SeededRandom(815)
    const counts = { reply: 0, silent: 0, refused: 0 }
    for (let round = 0; round < 5_000; round += 1) {
      const bytes = discoverOfUdhcpc.slice()
      for (let flips = random.below(6); flips > 0; flips -= 1) {
        const at = random.below(bytes.length)
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
      }
      const message = decoded(
        random.chance(0.3) ? bytes.subarray(0, random.below(bytes.length + 1)) : bytes,
      )
      counts[message === undefined ? 'refused' : checkAnswer(message)] += 1
    }
    // The rounds would prove nothing if all went one way.
    assert.ok(
      Object.values(counts).every((count) => count > 100),
      JSON.stringify(counts),
    )
  })

  test('options made to be slow are bounded before they are read', () => {
    const start = discoverOfUdhcpc.subarray(0, 240)
    const area = new Uint8Array(MESSAGE_BYTES_MAX - 240)
    for (let at = 0; at < area.length; at += 2) area[at] = 12
    assert.throws(() => decodeMessage(Buffer.concat([start, area])), { reason: 'tooManyOptions' })
    // Names that are pointers to one long name: each would be 250 bytes of text for 2 of input.
    const name = [...Array.from({ length: 4 }, () => [60, ...Array(60).fill(97)]).flat(), 0]
    const search = [...name, ...Array.from({ length: 1_000 }, () => [0xc0, 0]).flat()]
    const pieces: number[] = []
    for (let at = 0; at < search.length; at += 255) {
      const piece = search.slice(at, at + 255)
      pieces.push(119, piece.length, ...piece)
    }
    const read = decodeMessage(Buffer.concat([start, Uint8Array.from(pieces)]))
    assert.equal(read.options.domainSearch, undefined)
    assert.equal(read.options.others?.get(119)?.length, search.length)
  })
})

/** Random options of which enough make sense together. */
function options(
  random: SeededRandom,
  { relayAgentInformation, ...rest }: DhcpOptions,
): DhcpOptions {
  if (random.chance(0.1)) return { ...rest, relayAgentInformation: relayAgentInformation ?? none }
  if (random.chance(0.3)) return rest
  const { serverId: _, ...others } = rest
  return {
    ...others,
    messageType: random.pick(['discover', 'request', 'inform', 'release', 'decline'] as const),
    requestedAddress: random.pick(['10.9.0.7', '10.9.0.8', '0.0.0.0']),
  }
}

const none = new Uint8Array(0)

describe('any message', () => {
  test('of the client of the port is answered with the bound address or not at all', () => {
    const counts = { reply: 0, silent: 0 }
    for (let seed = 1; seed <= 3_000; seed += 1) {
      const random = new SeededRandom(seed)
      const message = randomMessage(random)
      counts[
        checkAnswer({
          ...message,
          operation: 'request',
          clientMac: binding.mac,
          relayAddress: '0.0.0.0',
          clientAddress: random.pick(['0.0.0.0', '10.9.0.7', '10.9.0.8', '8.8.8.8']),
          options: options(random, message.options),
        })
      ] += 1
    }
    assert.ok(counts.reply > 500 && counts.silent > 500, JSON.stringify(counts))
  })
})
