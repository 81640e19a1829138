// Proves that frames are read and written, byte for byte, as a Linux kernel and a DHCP client of the field write them.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { decodeArp, encodeArp } from './arp.ts'
import { decodeEthernet, encodeEthernet, FRAME_BYTES_MIN } from './ethernet.ts'
import { decodeIcmp, encodeIcmp } from './icmp.ts'
import { decodeIpv4, encodeIpv4 } from './ipv4.ts'
import { bytesOf, capturedFrames } from './testing/frames.ts'
import { decodeUdp, encodeUdp } from './udp.ts'
import { decodeUdpFrame, encodeUdpFrame } from './udp-frame.ts'

function padded(frame: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(Math.max(frame.length, FRAME_BYTES_MIN))
  bytes.set(frame)
  return bytes
}

describe('ARP', () => {
  test('a request and its reply are read, written again, and padded to 60 bytes', () => {
    for (const hex of [capturedFrames.arpRequest, capturedFrames.arpReply]) {
      const frame = bytesOf(hex)
      const ethernet = decodeEthernet(frame)
      const payload = encodeArp(decodeArp(ethernet.payload))
      assert.deepEqual(encodeEthernet({ ...ethernet, payload }), padded(frame))
    }
    assert.deepEqual(decodeArp(decodeEthernet(bytesOf(capturedFrames.arpReply)).payload), {
      operation: 'reply',
      senderMac: 'fa:16:3e:00:00:02',
      senderAddress: '10.9.0.2',
      targetMac: 'fa:16:3e:00:00:01',
      targetAddress: '10.9.0.1',
    })
  })
})

describe('ICMP', () => {
  test('an echo, its reply and "port unreachable" are read and written again', () => {
    const { echoRequest, echoReply, portUnreachable } = capturedFrames
    for (const hex of [echoRequest, echoReply, portUnreachable]) {
      const frame = bytesOf(hex)
      const ethernet = decodeEthernet(padded(frame))
      const packet = decodeIpv4(ethernet.payload)
      const again = encodeIpv4({ ...packet, payload: encodeIcmp(decodeIcmp(packet)) })
      assert.deepEqual(encodeEthernet({ ...ethernet, payload: again }), padded(frame))
    }
  })

  test('what an error quotes is the packet that was refused', () => {
    const error = decodeIpv4(decodeEthernet(bytesOf(capturedFrames.portUnreachable)).payload)
    const message = decodeIcmp(error)
    assert.ok(message.type === 'destinationUnreachable')
    assert.equal(message.code, 3)
    assert.deepEqual(message.quote, decodeEthernet(bytesOf(capturedFrames.partialUdp)).payload)
  })
})

describe('UDP', () => {
  test('a frame of a DHCP client is read and written again, checksums included', () => {
    const frame = bytesOf(capturedFrames.discover)
    const { payload, ...addresses } = decodeUdpFrame(frame)
    assert.deepEqual(addresses, {
      sourceMac: 'fa:16:3e:00:00:01',
      destinationMac: 'ff:ff:ff:ff:ff:ff',
      sourceAddress: '0.0.0.0',
      destinationAddress: '255.255.255.255',
      sourcePort: 68,
      destinationPort: 67,
    })
    assert.equal(payload.length, 300)
    const written = encodeUdpFrame({ ...addresses, payload })
    // The client leaves "don't fragment" clear, we set it; it counts in the checksum of the header, at 10 behind 14.
    const expected = frame.slice()
    expected.set([0x40], 14 + 6)
    expected.set([0x39, 0xa6], 14 + 10)
    assert.deepEqual(written, expected)
  })

  test('a partial checksum is refused, accepted when asked for, and completed as tcpdump computes it', () => {
    const packet = decodeIpv4(decodeEthernet(bytesOf(capturedFrames.partialUdp)).payload)
    assert.throws(() => decodeUdp(packet), { name: 'PacketDecodeError', reason: 'badChecksum' })
    const datagram = decodeUdp(packet, { partialChecksum: true })
    assert.equal(Buffer.from(datagram.payload).toString(), 'hello')
    assert.deepEqual(encodeUdp(datagram, packet).subarray(6, 8), Uint8Array.of(0xfb, 0x16))
  })
})
