import { fitting, needBytes, readU16, readU8, writeU16 } from './bytes.ts'
import { internetChecksum, onesSum } from './checksum.ts'
import { PacketDecodeError, PacketEncodeError } from './errors.ts'
import { readIpv4Address, writeIpv4Address } from './ipv4-address.ts'

export const IP_PROTOCOL_ICMP = 1
export const IP_PROTOCOL_UDP = 17

const VERSION = 4
const HEADER_BYTES_MIN = 20
const HEADER_BYTES_MAX = 60
const DATAGRAM_BYTES_MAX = 0xffff
const CHECKSUM = 10
const DONT_FRAGMENT = 0x4000
const MORE_FRAGMENTS = 0x2000
const OFFSET_UNIT_BYTES = 8
const DEFAULT_TTL = 64
const SUM_OF_INTACT = 0xffff

export interface Ipv4Packet {
  readonly source: string
  readonly destination: string
  readonly protocol: number
  readonly ttl: number
  /** DSCP and ECN, the former type of service. */
  readonly trafficClass: number
  readonly identification: number
  readonly dontFragment: boolean
  readonly moreFragments: boolean
  /** Where this piece begins in its datagram, in bytes; 0 for a whole one. */
  readonly fragmentOffset: number
  /** Of the header, unread: a multiple of 4 bytes, at most 40. */
  readonly options: Uint8Array
  /** Without the padding of the frame. When decoded a view of what came in. */
  readonly payload: Uint8Array
}

/** True for each piece of a datagram that was cut, the first one too. */
export function isFragment(packet: Pick<Ipv4Packet, 'moreFragments' | 'fragmentOffset'>): boolean {
  return packet.moreFragments || packet.fragmentOffset > 0
}

/**
 * From the payload of a frame: what lies behind the total length is padding. Fragments are decoded, not put together.
 * Throws PacketDecodeError: `tooShort`, `badHeader`, `badChecksum`.
 */
export function decodeIpv4(bytes: Uint8Array): Ipv4Packet {
  needBytes(bytes, HEADER_BYTES_MIN, 'IPv4')
  const versionAndLength = readU8(bytes, 0)
  if (versionAndLength >>> 4 !== VERSION) {
    throw new PacketDecodeError('badHeader', `IPv4: version ${versionAndLength >>> 4}`)
  }
  const headerBytes = (versionAndLength & 0xf) * 4
  if (headerBytes < HEADER_BYTES_MIN) {
    throw new PacketDecodeError('badHeader', `IPv4: a header of ${headerBytes} bytes`)
  }
  needBytes(bytes, headerBytes, 'IPv4')
  const totalBytes = readU16(bytes, 2)
  if (totalBytes < headerBytes) {
    throw new PacketDecodeError('badHeader', `IPv4: ${totalBytes} bytes in all, header included`)
  }
  if (totalBytes > bytes.length) {
    throw new PacketDecodeError(
      'tooShort',
      `IPv4: ${totalBytes} bytes in all, ${bytes.length} came`,
    )
  }
  if (onesSum(bytes.subarray(0, headerBytes)) !== SUM_OF_INTACT) {
    throw new PacketDecodeError('badChecksum', 'IPv4: the checksum of the header is wrong')
  }
  return fieldsOf(bytes, headerBytes, totalBytes)
}

function fieldsOf(bytes: Uint8Array, headerBytes: number, totalBytes: number): Ipv4Packet {
  const flagsAndOffset = readU16(bytes, 6)
  const fragmentOffset = (flagsAndOffset & 0x1fff) * OFFSET_UNIT_BYTES
  // The last piece may not reach beyond the longest datagram ("ping of death").
  if (fragmentOffset + totalBytes > DATAGRAM_BYTES_MAX) {
    throw new PacketDecodeError('badHeader', `IPv4: a fragment at ${fragmentOffset} ends too far`)
  }
  return {
    source: readIpv4Address(bytes, 12),
    destination: readIpv4Address(bytes, 16),
    protocol: readU8(bytes, 9),
    ttl: readU8(bytes, 8),
    trafficClass: readU8(bytes, 1),
    identification: readU16(bytes, 4),
    dontFragment: (flagsAndOffset & DONT_FRAGMENT) !== 0,
    moreFragments: (flagsAndOffset & MORE_FRAGMENTS) !== 0,
    fragmentOffset,
    options: bytes.subarray(HEADER_BYTES_MIN, headerBytes),
    payload: bytes.subarray(headerBytes, totalBytes),
  }
}

/** What must be said; the rest is that of a whole datagram with a TTL of 64, which may not be cut. */
export type Ipv4Fields = Pick<Ipv4Packet, 'source' | 'destination' | 'protocol' | 'payload'> &
  Partial<Ipv4Packet>

/** Throws PacketEncodeError. */
export function encodeIpv4(packet: Ipv4Fields): Uint8Array {
  const options = packet.options ?? new Uint8Array(0)
  const headerBytes = HEADER_BYTES_MIN + options.length
  if (headerBytes > HEADER_BYTES_MAX || headerBytes % 4 !== 0) {
    throw new PacketEncodeError(`IPv4: options of ${options.length} bytes; up to 40, by fours`)
  }
  const totalBytes = headerBytes + packet.payload.length
  const endBytes = (packet.fragmentOffset ?? 0) + totalBytes
  if (endBytes > DATAGRAM_BYTES_MAX) {
    throw new PacketEncodeError(`IPv4: ${endBytes} bytes, at most ${DATAGRAM_BYTES_MAX}`)
  }
  const bytes = new Uint8Array(totalBytes)
  bytes[0] = (VERSION << 4) | (headerBytes / 4)
  bytes[1] = fitting(packet.trafficClass ?? 0, 8, 'trafficClass')
  writeU16(bytes, 2, totalBytes)
  writeU16(bytes, 4, fitting(packet.identification ?? 0, 16, 'identification'))
  writeU16(bytes, 6, flagsAndOffsetOf(packet))
  bytes[8] = fitting(packet.ttl ?? DEFAULT_TTL, 8, 'ttl')
  bytes[9] = fitting(packet.protocol, 8, 'protocol')
  writeIpv4Address(bytes, 12, packet.source)
  writeIpv4Address(bytes, 16, packet.destination)
  bytes.set(options, HEADER_BYTES_MIN)
  writeU16(bytes, CHECKSUM, internetChecksum(bytes.subarray(0, headerBytes)))
  bytes.set(packet.payload, headerBytes)
  return bytes
}

function flagsAndOffsetOf(packet: Ipv4Fields): number {
  const offset = packet.fragmentOffset ?? 0
  if (offset % OFFSET_UNIT_BYTES !== 0) {
    throw new PacketEncodeError(`fragmentOffset: ${offset} is no multiple of ${OFFSET_UNIT_BYTES}`)
  }
  const units = fitting(offset / OFFSET_UNIT_BYTES, 13, 'fragmentOffset')
  // Without it the identification would have to be unique (RFC 6864); we have none to give.
  const dontFragment = packet.dontFragment ?? true
  return (
    (dontFragment ? DONT_FRAGMENT : 0) |
    (packet.moreFragments === true ? MORE_FRAGMENTS : 0) |
    units
  )
}
