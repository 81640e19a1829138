// Proves what is refused, with which reason, and what a decoder must put up with.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { decodeArp } from './arp.ts'
import { internetChecksum, onesSum } from './checksum.ts'
import { PacketDecodeError, type RefusalReason } from './errors.ts'
import { decodeEthernet, FRAME_BYTES_MAX } from './ethernet.ts'
import { decodeIcmp } from './icmp.ts'
import { decodeIpv4, encodeIpv4, isFragment, type Ipv4Fields } from './ipv4.ts'
import { bytesOf, capturedFrames, withBytes } from './testing/frames.ts'
import { decodeUdp, encodeUdp } from './udp.ts'
import { decodeUdpFrame } from './udp-frame.ts'

function refused(reason: RefusalReason, decode: () => unknown): void {
  assert.throws(decode, (error) => error instanceof PacketDecodeError && error.reason === reason)
}

const addresses = { source: '10.0.0.1', destination: '10.0.0.2' }
const udp = encodeUdp(
  { sourcePort: 68, destinationPort: 67, payload: Uint8Array.of(1, 2, 3) },
  addresses,
)

function packetWith(fields: Partial<Ipv4Fields>): Uint8Array {
  return encodeIpv4({ ...addresses, protocol: 17, payload: udp, ...fields })
}

/** With the checksum of the header made right again. */
function resealed(packet: Uint8Array): Uint8Array {
  const bytes = withBytes(packet, 10, 0, 0)
  const headerBytes = ((bytes[0] ?? 0) & 0xf) * 4
  const sum = internetChecksum(bytes.subarray(0, headerBytes))
  return withBytes(bytes, 10, sum >>> 8, sum & 0xff)
}

describe('checksums', () => {
  test('are those of the example in RFC 1071, of an odd number of bytes too', () => {
    assert.equal(onesSum(bytesOf('0001 f203 f4f5 f6f7')), 0xddf2)
    assert.equal(internetChecksum(bytesOf('0001 f203 f4f5 f6f7')), 0x220d)
    assert.equal(onesSum(bytesOf('0001 f2')), onesSum(bytesOf('0001 f200')))
  })

  test('carry over the longest datagram', () => {
    assert.equal(onesSum(new Uint8Array(0xffff).fill(0xff)), 0xff00)
  })
})

describe('Ethernet', () => {
  const frame = bytesOf(capturedFrames.discover)

  test('refuses tags of all kinds, the 802.3 form, and what is too short or too long', () => {
    for (const tag of [
      [0x81, 0x00],
      [0x88, 0xa8],
      [0x91, 0x00],
    ])
      refused('tagged', () => decodeEthernet(withBytes(frame, 12, ...tag)))
    refused('notEthernet2', () => decodeEthernet(withBytes(frame, 12, 0x05, 0xff)))
    refused('tooShort', () => decodeEthernet(frame.subarray(0, 13)))
    refused('tooLong', () => decodeEthernet(new Uint8Array(FRAME_BYTES_MAX + 1)))
  })

  test('takes a header without payload', () => {
    assert.equal(decodeEthernet(frame.subarray(0, 14)).payload.length, 0)
  })
})

describe('ARP', () => {
  const packet = decodeEthernet(bytesOf(capturedFrames.arpRequest)).payload

  test('refuses other hardware, other protocols, other lengths, other operations, and a piece', () => {
    refused('badHeader', () => decodeArp(withBytes(packet, 0, 0, 6)))
    refused('badHeader', () => decodeArp(withBytes(packet, 2, 0x86, 0xdd)))
    refused('badHeader', () => decodeArp(withBytes(packet, 4, 8)))
    refused('badHeader', () => decodeArp(withBytes(packet, 5, 16)))
    refused('otherProtocol', () => decodeArp(withBytes(packet, 6, 0, 3)))
    refused('tooShort', () => decodeArp(packet.subarray(0, 27)))
  })
})

describe('IPv4', () => {
  const packet = packetWith({})

  test('the total length decides; what follows is padding of the frame', () => {
    const inFrame = new Uint8Array(46)
    inFrame.set(packet)
    assert.deepEqual(decodeIpv4(inFrame).payload, udp)
  })

  test('refuses another version, a header too short, lengths that lie', () => {
    refused('badHeader', () => decodeIpv4(withBytes(packet, 0, 0x65)))
    refused('badHeader', () => decodeIpv4(withBytes(packet, 0, 0x44)))
    refused('tooShort', () => decodeIpv4(withBytes(packet, 0, 0x4f)))
    refused('badHeader', () => decodeIpv4(withBytes(packet, 2, 0, 19)))
    refused('tooShort', () => decodeIpv4(withBytes(packet, 2, 0, packet.length + 1)))
    refused('tooShort', () => decodeIpv4(packet.subarray(0, 19)))
    refused('tooShort', () => decodeIpv4(new Uint8Array(0)))
  })

  test('refuses a damaged header', () => {
    refused('badChecksum', () => decodeIpv4(withBytes(packet, 8, 63)))
  })

  test('reads options of the header over', () => {
    const options = Uint8Array.of(1, 1, 1, 0)
    const decoded = decodeIpv4(packetWith({ options }))
    assert.deepEqual(decoded.options, options)
    assert.deepEqual(decodeUdp(decoded).payload, Uint8Array.of(1, 2, 3))
  })

  test('tells fragments, first and later, and refuses one that ends beyond 65,535', () => {
    const first = { dontFragment: false, moreFragments: true }
    const later = { dontFragment: false, fragmentOffset: 8 }
    assert.equal(isFragment(decodeIpv4(packet)), false)
    for (const fields of [first, later]) {
      const decoded = decodeIpv4(packetWith(fields))
      assert.equal(isFragment(decoded), true)
      refused('fragment', () => decodeUdp(decoded))
      refused('fragment', () => decodeIcmp({ ...decoded, protocol: 1 }))
    }
    refused('badHeader', () => decodeIpv4(resealed(withBytes(packet, 6, 0x1f, 0xff))))
  })
})

describe('UDP', () => {
  const decode = (payload: Uint8Array): unknown => decodeUdp(decodeIpv4(packetWith({ payload })))

  test('refuses other protocols, lengths that lie, a wrong checksum', () => {
    refused('otherProtocol', () => decodeUdp(decodeIpv4(packetWith({ protocol: 6 }))))
    refused('tooShort', () => decode(udp.subarray(0, 7)))
    refused('badHeader', () => decode(withBytes(udp, 4, 0, 7)))
    refused('tooShort', () => decode(withBytes(udp, 4, 0, udp.length + 1)))
    refused('badChecksum', () => decode(withBytes(udp, 8, 9)))
    refused('badChecksum', () => decode(withBytes(udp, 6, 0x12, 0x34)))
  })

  test('a partial checksum must be exactly that of the pseudo-header', () => {
    const packet = decodeIpv4(packetWith({ payload: withBytes(udp, 6, 0x12, 0x34) }))
    refused('badChecksum', () => decodeUdp(packet, { partialChecksum: true }))
  })

  test('without a checksum nothing is checked', () => {
    const payload = withBytes(udp, 6, 0, 0, 9)
    const decoded = decodeUdp(decodeIpv4(packetWith({ payload })))
    assert.deepEqual(decoded.payload, Uint8Array.of(9, 2, 3))
  })

  test('what IPv4 carries behind its length is left out', () => {
    const payload = Uint8Array.of(...udp, 7, 7)
    assert.deepEqual(decodeUdp(decodeIpv4(packetWith({ payload }))).payload.length, 3)
  })

  test('a whole frame of something else is told', () => {
    refused('otherProtocol', () => decodeUdpFrame(bytesOf(capturedFrames.arpRequest)))
    refused('otherProtocol', () => decodeUdpFrame(bytesOf(capturedFrames.echoRequest)))
  })
})

describe('ICMP', () => {
  const echo = decodeIpv4(decodeEthernet(bytesOf(capturedFrames.echoRequest)).payload)

  test('refuses other protocols and types, an echo with a code, damage, and a piece', () => {
    const icmp = (payload: Uint8Array): unknown => decodeIcmp({ ...echo, payload })
    const sealed = (payload: Uint8Array): Uint8Array => {
      const sum = internetChecksum(withBytes(payload, 2, 0, 0))
      return withBytes(payload, 2, sum >>> 8, sum & 0xff)
    }
    refused('otherProtocol', () => decodeIcmp({ ...echo, protocol: 17 }))
    refused('otherProtocol', () => icmp(sealed(withBytes(echo.payload, 0, 5))))
    refused('badHeader', () => icmp(sealed(withBytes(echo.payload, 1, 1))))
    refused('badChecksum', () => icmp(withBytes(echo.payload, 9, 0xff)))
    refused('tooShort', () => icmp(echo.payload.subarray(0, 7)))
  })
})
