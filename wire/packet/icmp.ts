import { fitting, needBytes, readU16, readU8, writeU16 } from './bytes.ts'
import { internetChecksum, onesSum } from './checksum.ts'
import { PacketDecodeError, PacketEncodeError } from './errors.ts'
import { IP_PROTOCOL_ICMP, isFragment, type Ipv4Packet } from './ipv4.ts'

const HEADER_BYTES = 8
const ECHO_REPLY = 0
const DESTINATION_UNREACHABLE = 3
const ECHO_REQUEST = 8
const CHECKSUM = 2
const SUM_OF_INTACT = 0xffff
/** A whole error fits the 576 bytes that everybody can take (RFC 1812, 4.3.2.3): 20 of IPv4, 8 of ICMP, 548 quoted. */
export const ICMP_QUOTE_BYTES_MAX = 576 - 20 - HEADER_BYTES
const ECHO_BYTES_MAX = 0xffff - 20 - HEADER_BYTES

/** Of "destination unreachable", as RFC 792, 1122 and 1812 number them. */
export const unreachableCode = {
  network: 0,
  host: 1,
  protocol: 2,
  port: 3,
  fragmentationNeeded: 4,
  prohibited: 13,
} as const

export type IcmpMessage =
  | {
      readonly type: 'echoRequest' | 'echoReply'
      readonly identifier: number
      readonly sequence: number
      readonly payload: Uint8Array
    }
  | {
      readonly type: 'destinationUnreachable'
      readonly code: number
      /** With `fragmentationNeeded` (RFC 1191); 0 otherwise. */
      readonly nextHopMtuBytes: number
      /** The refused IPv4 packet from its first byte on, or as much of it as is known. */
      readonly quote: Uint8Array
    }

/**
 * From a decoded IPv4 packet. Throws PacketDecodeError: `otherProtocol` (other types of ICMP too), `fragment`, `tooShort`,
 * `badHeader`, `badChecksum`. What it returns holds views of what came in.
 */
export function decodeIcmp(packet: Ipv4Packet): IcmpMessage {
  if (packet.protocol !== IP_PROTOCOL_ICMP) {
    throw new PacketDecodeError(
      'otherProtocol',
      `ICMP: the packet is of protocol ${packet.protocol}`,
    )
  }
  if (isFragment(packet)) throw new PacketDecodeError('fragment', 'ICMP: in fragments')
  const bytes = packet.payload
  needBytes(bytes, HEADER_BYTES, 'ICMP')
  if (onesSum(bytes) !== SUM_OF_INTACT) {
    throw new PacketDecodeError('badChecksum', 'ICMP: the checksum is wrong')
  }
  const type = readU8(bytes, 0)
  const code = readU8(bytes, 1)
  const payload = bytes.subarray(HEADER_BYTES)
  if (type === DESTINATION_UNREACHABLE) {
    const isTooBig = code === unreachableCode.fragmentationNeeded
    const nextHopMtuBytes = isTooBig ? readU16(bytes, 6) : 0
    return { type: 'destinationUnreachable', code, nextHopMtuBytes, quote: payload }
  }
  if (type !== ECHO_REQUEST && type !== ECHO_REPLY) {
    throw new PacketDecodeError('otherProtocol', `ICMP: type ${type}`)
  }
  if (code !== 0) throw new PacketDecodeError('badHeader', `ICMP: an echo with code ${code}`)
  return {
    type: type === ECHO_REQUEST ? 'echoRequest' : 'echoReply',
    identifier: readU16(bytes, 4),
    sequence: readU16(bytes, 6),
    payload,
  }
}

/** The payload of an IPv4 packet. A quote is cut to ICMP_QUOTE_BYTES_MAX. Throws PacketEncodeError. */
export function encodeIcmp(message: IcmpMessage): Uint8Array {
  const bytes = message.type === 'destinationUnreachable' ? unreachable(message) : echo(message)
  writeU16(bytes, CHECKSUM, internetChecksum(bytes))
  return bytes
}

type Unreachable = Extract<IcmpMessage, { type: 'destinationUnreachable' }>
type Echo = Exclude<IcmpMessage, Unreachable>

function unreachable({ code, nextHopMtuBytes, quote }: Unreachable): Uint8Array {
  if (nextHopMtuBytes !== 0 && code !== unreachableCode.fragmentationNeeded) {
    throw new PacketEncodeError(`nextHopMtuBytes: only with code 4, not with ${code}`)
  }
  const quoted = quote.subarray(0, ICMP_QUOTE_BYTES_MAX)
  const bytes = new Uint8Array(HEADER_BYTES + quoted.length)
  bytes[0] = DESTINATION_UNREACHABLE
  bytes[1] = fitting(code, 8, 'code')
  writeU16(bytes, 6, fitting(nextHopMtuBytes, 16, 'nextHopMtuBytes'))
  bytes.set(quoted, HEADER_BYTES)
  return bytes
}

function echo({ type, identifier, sequence, payload }: Echo): Uint8Array {
  if (payload.length > ECHO_BYTES_MAX) {
    throw new PacketEncodeError(`ICMP: ${payload.length} bytes, at most ${ECHO_BYTES_MAX}`)
  }
  const bytes = new Uint8Array(HEADER_BYTES + payload.length)
  bytes[0] = type === 'echoRequest' ? ECHO_REQUEST : ECHO_REPLY
  writeU16(bytes, 4, fitting(identifier, 16, 'identifier'))
  writeU16(bytes, 6, fitting(sequence, 16, 'sequence'))
  bytes.set(payload, HEADER_BYTES)
  return bytes
}
