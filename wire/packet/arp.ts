import { needBytes, readU16, readU8, writeU16 } from './bytes.ts'
import { PacketDecodeError } from './errors.ts'
import { ETHER_TYPE_IPV4 } from './ethernet.ts'
import { IPV4_ADDRESS_BYTES, readIpv4Address, writeIpv4Address } from './ipv4-address.ts'
import { MAC_BYTES, readMac, writeMac } from './mac.ts'

const HARDWARE_ETHERNET = 1
const PACKET_BYTES = 28
const SENDER_MAC = 8
const SENDER_ADDRESS = 14
const TARGET_MAC = 18
const TARGET_ADDRESS = 24
const operations = { request: 1, reply: 2 } as const

/** RFC 826, for IPv4 on Ethernet alone. */
export interface ArpPacket {
  readonly operation: keyof typeof operations
  readonly senderMac: string
  readonly senderAddress: string
  readonly targetMac: string
  readonly targetAddress: string
}

/** From the payload of a frame; what follows is padding. Throws PacketDecodeError: `tooShort`, `badHeader`, `otherProtocol`. */
export function decodeArp(bytes: Uint8Array): ArpPacket {
  needBytes(bytes, PACKET_BYTES, 'ARP')
  const isForUs =
    readU16(bytes, 0) === HARDWARE_ETHERNET &&
    readU16(bytes, 2) === ETHER_TYPE_IPV4 &&
    readU8(bytes, 4) === MAC_BYTES &&
    readU8(bytes, 5) === IPV4_ADDRESS_BYTES
  if (!isForUs) throw new PacketDecodeError('badHeader', 'ARP: not for IPv4 on Ethernet')
  const code = readU16(bytes, 6)
  if (code !== operations.request && code !== operations.reply) {
    throw new PacketDecodeError('otherProtocol', `ARP: operation ${code}`)
  }
  return {
    operation: code === operations.request ? 'request' : 'reply',
    senderMac: readMac(bytes, SENDER_MAC),
    senderAddress: readIpv4Address(bytes, SENDER_ADDRESS),
    targetMac: readMac(bytes, TARGET_MAC),
    targetAddress: readIpv4Address(bytes, TARGET_ADDRESS),
  }
}

/** Throws PacketEncodeError. */
export function encodeArp(packet: ArpPacket): Uint8Array {
  const bytes = new Uint8Array(PACKET_BYTES)
  writeU16(bytes, 0, HARDWARE_ETHERNET)
  writeU16(bytes, 2, ETHER_TYPE_IPV4)
  bytes[4] = MAC_BYTES
  bytes[5] = IPV4_ADDRESS_BYTES
  writeU16(bytes, 6, operations[packet.operation])
  writeMac(bytes, SENDER_MAC, packet.senderMac)
  writeIpv4Address(bytes, SENDER_ADDRESS, packet.senderAddress)
  writeMac(bytes, TARGET_MAC, packet.targetMac)
  writeIpv4Address(bytes, TARGET_ADDRESS, packet.targetAddress)
  return bytes
}
