import { PacketDecodeError } from './errors.ts'
import { decodeEthernet, encodeEthernet, ETHER_TYPE_IPV4 } from './ethernet.ts'
import { decodeIpv4, encodeIpv4, IP_PROTOCOL_UDP } from './ipv4.ts'
import { decodeUdp, encodeUdp, type DecodeUdpOptions } from './udp.ts'

/** A UDP datagram with all addresses around it: what a responder to packets gets and gives. */
export interface UdpFrame {
  readonly sourceMac: string
  readonly destinationMac: string
  readonly sourceAddress: string
  readonly destinationAddress: string
  readonly sourcePort: number
  readonly destinationPort: number
  readonly payload: Uint8Array
}

/** All layers at once. Throws PacketDecodeError with any reason. The payload is a view of the frame. */
export function decodeUdpFrame(frame: Uint8Array, options: DecodeUdpOptions = {}): UdpFrame {
  const ethernet = decodeEthernet(frame)
  if (ethernet.etherType !== ETHER_TYPE_IPV4) {
    throw new PacketDecodeError('otherProtocol', `0x${ethernet.etherType.toString(16)} is not IPv4`)
  }
  const packet = decodeIpv4(ethernet.payload)
  return {
    sourceMac: ethernet.source,
    destinationMac: ethernet.destination,
    sourceAddress: packet.source,
    destinationAddress: packet.destination,
    ...decodeUdp(packet, options),
  }
}

/** All layers at once, checksums computed, padded to 60 bytes. Throws PacketEncodeError. */
export function encodeUdpFrame(frame: UdpFrame): Uint8Array {
  const addresses = { source: frame.sourceAddress, destination: frame.destinationAddress }
  const payload = encodeUdp(frame, addresses)
  return encodeEthernet({
    source: frame.sourceMac,
    destination: frame.destinationMac,
    etherType: ETHER_TYPE_IPV4,
    payload: encodeIpv4({ ...addresses, protocol: IP_PROTOCOL_UDP, payload }),
  })
}
