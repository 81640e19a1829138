// Proves that what cannot be said is refused by name, and nothing is written.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { encodeArp } from './arp.ts'
import { PacketEncodeError } from './errors.ts'
import { encodeEthernet } from './ethernet.ts'
import { decodeIcmp, encodeIcmp, ICMP_QUOTE_BYTES_MAX } from './icmp.ts'
import { decodeIpv4, encodeIpv4 } from './ipv4.ts'
import { encodeUdp } from './udp.ts'

const none = new Uint8Array(0)
const mac = 'fa:16:3e:00:00:01'
const addresses = { source: '10.0.0.1', destination: '10.0.0.2' }

function refused(pattern: RegExp, encode: () => unknown): void {
  assert.throws(
    encode,
    (error) => error instanceof PacketEncodeError && pattern.test(error.message),
  )
}

describe('encoding', () => {
  test('refuses addresses that are none', () => {
    for (const source of [
      '',
      'fa:16:3e:00:00',
      'fa:16:3e:00:00:0g',
      'fa-16-3e-00-00-01',
      `${mac}:`,
    ])
      refused(/no MAC/, () =>
        encodeEthernet({ destination: mac, source, etherType: 0x800, payload: none }),
      )
    for (const source of [
      '',
      '10.0.0',
      '10.0.0.256',
      '10.0.0.1.1',
      '10.0.0.',
      'a.b.c.d',
      '1e1.0.0.0',
    ])
      refused(/no IPv4/, () => encodeIpv4({ ...addresses, source, protocol: 17, payload: none }))
    refused(/no IPv4/, () =>
      encodeArp({
        operation: 'reply',
        senderMac: mac,
        senderAddress: '10.0.0.0/8',
        targetMac: mac,
        targetAddress: '10.0.0.1',
      }),
    )
  })

  test('refuses numbers that do not fit', () => {
    const packet = { ...addresses, protocol: 17, payload: none }
    refused(/ttl/, () => encodeIpv4({ ...packet, ttl: 256 }))
    refused(/identification/, () => encodeIpv4({ ...packet, identification: -1 }))
    refused(/protocol/, () => encodeIpv4({ ...packet, protocol: 1.5 }))
    refused(/multiple of 8/, () => encodeIpv4({ ...packet, fragmentOffset: 4 }))
    refused(/at most 65535/, () => encodeIpv4({ ...packet, fragmentOffset: 65_528 }))
    refused(/options of 3/, () => encodeIpv4({ ...packet, options: new Uint8Array(3) }))
    refused(/options of 44/, () => encodeIpv4({ ...packet, options: new Uint8Array(44) }))
    refused(/at most 65535/, () => encodeIpv4({ ...packet, payload: new Uint8Array(65_516) }))
    refused(/sourcePort/, () =>
      encodeUdp({ sourcePort: 65_536, destinationPort: 1, payload: none }, addresses),
    )
    refused(/at most 65515/, () =>
      encodeUdp({ sourcePort: 1, destinationPort: 1, payload: new Uint8Array(65_508) }, addresses),
    )
    const frame = { destination: mac, source: mac, payload: none }
    refused(/a length or a tag/, () => encodeEthernet({ ...frame, etherType: 0x8100 }))
    refused(/a length or a tag/, () => encodeEthernet({ ...frame, etherType: 46 }))
  })

  test('an error quotes so much that it fits 576 bytes, and has a next MTU with code 4 alone', () => {
    const error = { type: 'destinationUnreachable', code: 3, nextHopMtuBytes: 0 } as const
    const payload = encodeIcmp({ ...error, quote: new Uint8Array(1_500).fill(7) })
    const packet = encodeIpv4({ ...addresses, protocol: 1, payload })
    assert.equal(packet.length, 576)
    const read = decodeIcmp(decodeIpv4(packet))
    assert.ok(read.type === 'destinationUnreachable')
    assert.equal(read.quote.length, ICMP_QUOTE_BYTES_MAX)
    refused(/nextHopMtuBytes/, () => encodeIcmp({ ...error, nextHopMtuBytes: 1_400, quote: none }))
    const tooBig = encodeIcmp({ ...error, code: 4, nextHopMtuBytes: 1_400, quote: none })
    assert.deepEqual(tooBig.subarray(6, 8), Uint8Array.of(0x05, 0x78))
  })

  test('a UDP checksum that comes out as zero is written as ones', () => {
    // Ports are chosen so that everything adds up to 0xffff: each pair of candidates differs by one in the sum.
    const found = Array.from({ length: 0x10000 }, (_, sourcePort) => sourcePort).filter(
      (sourcePort) => {
        const bytes = encodeUdp({ sourcePort, destinationPort: 1, payload: none }, addresses)
        return bytes[6] === 0xff && bytes[7] === 0xff
      },
    )
    assert.ok(found.length > 0)
    const zero = Array.from({ length: 0x10000 }, (_, sourcePort) =>
      encodeUdp({ sourcePort, destinationPort: 1, payload: none }, addresses),
    ).filter((bytes) => bytes[6] === 0 && bytes[7] === 0)
    assert.equal(zero.length, 0)
  })
})
