import { fitting, needBytes, readU16, writeU16 } from './bytes.ts'
import { internetChecksum, onesSum } from './checksum.ts'
import { PacketDecodeError, PacketEncodeError } from './errors.ts'
import { IP_PROTOCOL_UDP, isFragment, type Ipv4Packet } from './ipv4.ts'
import { writeIpv4Address } from './ipv4-address.ts'

const HEADER_BYTES = 8
/** A datagram of IPv4 has room for so much behind its own header. */
const SEGMENT_BYTES_MAX = 0xffff - 20
const CHECKSUM = 6
const NO_CHECKSUM = 0
const SUM_OF_INTACT = 0xffff

export interface UdpDatagram {
  readonly sourcePort: number
  readonly destinationPort: number
  /** When decoded a view of what came in. */
  readonly payload: Uint8Array
}

export interface DecodeUdpOptions {
  /**
   * Accept a checksum that covers the pseudo-header alone. A guest that leaves checksums to its network card sends
   * such datagrams, and a switch that hands them to a controller without having sent them anywhere may not have
   * completed them. Off unless asked for.
   */
  readonly partialChecksum?: boolean
}

/**
 * From a decoded IPv4 packet. A checksum of 0 means that there is none (RFC 768).
 * Throws PacketDecodeError: `otherProtocol`, `fragment`, `tooShort`, `badHeader`, `badChecksum`.
 */
export function decodeUdp(packet: Ipv4Packet, options: DecodeUdpOptions = {}): UdpDatagram {
  if (packet.protocol !== IP_PROTOCOL_UDP) {
    throw new PacketDecodeError(
      'otherProtocol',
      `UDP: the packet is of protocol ${packet.protocol}`,
    )
  }
  if (isFragment(packet)) throw new PacketDecodeError('fragment', 'UDP: in fragments')
  const bytes = packet.payload
  needBytes(bytes, HEADER_BYTES, 'UDP')
  const byteCount = readU16(bytes, 4)
  if (byteCount < HEADER_BYTES) {
    throw new PacketDecodeError('badHeader', `UDP: a length of ${byteCount} bytes`)
  }
  if (byteCount > bytes.length) {
    throw new PacketDecodeError('tooShort', `UDP: a length of ${byteCount}, ${bytes.length} came`)
  }
  // IPv4 may carry more than UDP says; like every stack we do not look at it.
  const segment = bytes.subarray(0, byteCount)
  if (!isIntact(packet, segment, options)) {
    throw new PacketDecodeError('badChecksum', 'UDP: the checksum is wrong')
  }
  return {
    sourcePort: readU16(bytes, 0),
    destinationPort: readU16(bytes, 2),
    payload: segment.subarray(HEADER_BYTES),
  }
}

function isIntact(packet: Ipv4Packet, segment: Uint8Array, options: DecodeUdpOptions): boolean {
  const found = readU16(segment, CHECKSUM)
  if (found === NO_CHECKSUM) return true
  const pseudo = pseudoHeaderSum(packet, segment.length)
  if (onesSum(segment, pseudo) === SUM_OF_INTACT) return true
  return options.partialChecksum === true && found === pseudo
}

/** Source, destination, protocol and length count as if they stood before the datagram. */
function pseudoHeaderSum(
  { source, destination }: Pick<Ipv4Packet, 'source' | 'destination'>,
  byteCount: number,
): number {
  const pseudo = new Uint8Array(12)
  writeIpv4Address(pseudo, 0, source)
  writeIpv4Address(pseudo, 4, destination)
  writeU16(pseudo, 8, IP_PROTOCOL_UDP)
  writeU16(pseudo, 10, byteCount)
  return onesSum(pseudo)
}

/** The payload of an IPv4 packet between these addresses, which its checksum covers. Throws PacketEncodeError. */
export function encodeUdp(
  datagram: UdpDatagram,
  addresses: Pick<Ipv4Packet, 'source' | 'destination'>,
): Uint8Array {
  const byteCount = HEADER_BYTES + datagram.payload.length
  if (byteCount > SEGMENT_BYTES_MAX) {
    throw new PacketEncodeError(`UDP: ${byteCount} bytes, at most ${SEGMENT_BYTES_MAX}`)
  }
  const bytes = new Uint8Array(byteCount)
  writeU16(bytes, 0, fitting(datagram.sourcePort, 16, 'sourcePort'))
  writeU16(bytes, 2, fitting(datagram.destinationPort, 16, 'destinationPort'))
  writeU16(bytes, 4, byteCount)
  bytes.set(datagram.payload, HEADER_BYTES)
  const checksum = internetChecksum(bytes, pseudoHeaderSum(addresses, byteCount))
  // Zero would say that there is none; its other form in ones' complement says the same number.
  writeU16(bytes, CHECKSUM, checksum === NO_CHECKSUM ? 0xffff : checksum)
  return bytes
}
