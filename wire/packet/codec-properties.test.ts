// Proves, under seeds, that what is written is read as the same, and that hostile bytes give the typed error alone.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { decodeArp, encodeArp, type ArpPacket } from './arp.ts'
import { PacketDecodeError } from './errors.ts'
import { decodeEthernet, encodeEthernet } from './ethernet.ts'
import { decodeIcmp, encodeIcmp, type IcmpMessage } from './icmp.ts'
import { decodeIpv4, encodeIpv4, type Ipv4Packet } from './ipv4.ts'
import { bytesOf, capturedFrames } from './testing/frames.ts'
import { SeededRandom } from './testing/random.ts'
import { decodeUdpFrame, encodeUdpFrame } from './udp-frame.ts'

function randomArp(random: SeededRandom): ArpPacket {
  return {
    operation: random.chance(0.5) ? 'request' : 'reply',
    senderMac: random.mac(),
    senderAddress: random.address(),
    targetMac: random.mac(),
    targetAddress: random.address(),
  }
}

function randomPacket(random: SeededRandom): Ipv4Packet {
  return {
    source: random.address(),
    destination: random.address(),
    protocol: random.below(256),
    ttl: random.below(256),
    trafficClass: random.below(256),
    identification: random.below(0x10000),
    dontFragment: random.chance(0.5),
    moreFragments: random.chance(0.5),
    fragmentOffset: random.below(0x1f00) * 8,
    options: random.bytes(random.below(11) * 4),
    payload: random.bytes(random.below(100)),
  }
}

function randomIcmp(random: SeededRandom): IcmpMessage {
  if (random.chance(0.5)) {
    return {
      type: random.chance(0.5) ? 'echoRequest' : 'echoReply',
      identifier: random.below(0x10000),
      sequence: random.below(0x10000),
      payload: random.bytes(random.below(100)),
    }
  }
  const code = random.below(16)
  const nextHopMtuBytes = code === 4 ? random.below(0x10000) : 0
  return {
    type: 'destinationUnreachable',
    code,
    nextHopMtuBytes,
    quote: random.bytes(random.below(100)),
  }
}

describe('what is written is read as the same', () => {
  test('2,000 frames of each kind', () => {
    for (let seed = 1; seed <= 2000; seed += 1) {
      const random = new SeededRandom(seed)
      const arp = randomArp(random)
      assert.deepEqual(decodeArp(encodeArp(arp)), arp, `seed ${seed}`)
      const packet = randomPacket(random)
      assert.deepEqual(decodeIpv4(encodeIpv4(packet)), packet, `seed ${seed}`)
      const icmp = randomIcmp(random)
      const carried = { source: '10.0.0.1', destination: '10.0.0.2', protocol: 1 }
      const decoded = decodeIpv4(encodeIpv4({ ...carried, payload: encodeIcmp(icmp) }))
      assert.deepEqual(decodeIcmp(decoded), icmp, `seed ${seed}`)
      const frame = {
        sourceMac: random.mac(),
        destinationMac: random.mac(),
        sourceAddress: random.address(),
        destinationAddress: random.address(),
        sourcePort: random.below(0x10000),
        destinationPort: random.below(0x10000),
        payload: random.bytes(random.below(100)),
      }
      assert.deepEqual(decodeUdpFrame(encodeUdpFrame(frame)), frame, `seed ${seed}`)
    }
  })
})

/** Reads a frame as far as it can be read, as an agent would; only a PacketDecodeError may stop it. */
function readAll(frame: Uint8Array): void {
  const readers: readonly ((bytes: Uint8Array) => unknown)[] = [
    decodeUdpFrame,
    (bytes) => decodeUdpFrame(bytes, { partialChecksum: true }),
    (bytes) => decodeArp(decodeEthernet(bytes).payload),
    (bytes) => decodeIcmp(decodeIpv4(decodeEthernet(bytes).payload)),
    (bytes) => decodeIcmp({ ...decodeIpv4(bytes), protocol: 1 }),
    decodeArp,
  ]
  for (const read of readers) {
    try {
      read(frame)
    } catch (error) {
      if (!(error instanceof PacketDecodeError)) {
        throw new Error(Buffer.from(frame).toString('hex'), { cause: error })
      }
    }
  }
}

describe('hostile bytes give a PacketDecodeError and nothing else', () => {
  test('20,000 frames of random bytes', () => {
    const random = new SeededRandom(4711)
    for (let round = 0; round < 20_000; round += 1) readAll(random.bytes(random.below(120)))
  })

  test('real frames, cut or with bits flipped', () => {
    const random = new SeededRandom(815)
    const frames = Object.values(capturedFrames).map(bytesOf)
    for (let round = 0; round < 20_000; round += 1) {
      const frame = (frames[random.below(frames.length)] ?? new Uint8Array(0)).slice()
      for (let flips = random.below(4); flips > 0; flips -= 1) {
        const at = random.below(frame.length)
        frame[at] = (frame[at] ?? 0) ^ (1 << random.below(8))
      }
      readAll(random.chance(0.3) ? frame.subarray(0, random.below(frame.length + 1)) : frame)
    }
  })

  test('a frame that was written and then damaged anywhere in its IPv4 header or datagram is refused', () => {
    const random = new SeededRandom(42)
    const frame = encodeEthernet({
      ...decodeEthernet(bytesOf(capturedFrames.discover)),
    })
    for (let round = 0; round < 2_000; round += 1) {
      const damaged = frame.slice()
      const at = 14 + random.below(damaged.length - 14)
      damaged[at] = (damaged[at] ?? 0) ^ (1 << random.below(8))
      // A bit in the upper or lower half of the UDP checksum cannot make it zero, which would mean "none".
      assert.throws(() => decodeUdpFrame(damaged), PacketDecodeError, `byte ${at}`)
    }
  })
})
