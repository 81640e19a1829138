export { PacketDecodeError, PacketEncodeError, PacketError, type RefusalReason } from './errors.ts'
export { BROADCAST_MAC } from './mac.ts'
export { BROADCAST_ADDRESS } from './ipv4-address.ts'
export {
  decodeEthernet,
  encodeEthernet,
  ETHER_TYPE_ARP,
  ETHER_TYPE_IPV4,
  FRAME_BYTES_MAX,
  FRAME_BYTES_MIN,
  type EthernetFrame,
} from './ethernet.ts'
export { decodeArp, encodeArp, type ArpPacket } from './arp.ts'
export {
  decodeIpv4,
  encodeIpv4,
  IP_PROTOCOL_ICMP,
  IP_PROTOCOL_UDP,
  isFragment,
  type Ipv4Fields,
  type Ipv4Packet,
} from './ipv4.ts'
export { decodeUdp, encodeUdp, type DecodeUdpOptions, type UdpDatagram } from './udp.ts'
export {
  decodeIcmp,
  encodeIcmp,
  ICMP_QUOTE_BYTES_MAX,
  unreachableCode,
  type IcmpMessage,
} from './icmp.ts'
export { decodeUdpFrame, encodeUdpFrame, type UdpFrame } from './udp-frame.ts'
