import {
  cidrContains,
  cidrsOverlap,
  formatCidr,
  isMac,
  parseCidr,
  parseIpv4,
  type Cidr,
} from '@nubo/base'
import {
  SliceError,
  type LocalPort,
  type ObjectKey,
  type RemotePort,
  type SliceNetwork,
  type SliceProblem,
  type SliceSubnet,
} from './slice.ts'

/** A subnet that was checked, with all that its rows need. */
export interface PlacedSubnet {
  readonly key: ObjectKey
  readonly subnetId: string
  readonly vni: number
  readonly cidr: Cidr
  readonly gatewayAddress: string
  /** gatewayAddress as a number. */
  readonly gateway: number
  readonly gatewayMac: string
}

/** A network that was checked in itself. */
export interface PlacedNetwork {
  readonly key: ObjectKey
  readonly item: SliceNetwork
  readonly vni: number
  readonly subnets: ReadonlyMap<string, PlacedSubnet>
  readonly gatewayAddresses: ReadonlySet<number>
  readonly gatewayMacs: ReadonlySet<string>
}

export type PlacedPort =
  | { readonly kind: 'localPort'; readonly item: LocalPort; readonly address: number }
  | { readonly kind: 'remotePort'; readonly item: RemotePort; readonly address: number }

const VNI_MAX = 2 ** 24 - 1
/** RFC 791 asks every host to take 68 bytes; an IPv4 packet has at most 65,535. */
const MTU_BYTES_MIN = 68
const MTU_BYTES_MAX = 65_535
/** OFPP_MAX is 0xff00: numbers from there on are reserved (OpenFlow 1.0 numbering, which OVS keeps). */
const OFPORT_MAX = 0xfeff
/** 224.0.0.0: from here on multicast and reserved. */
const FIRST_NON_UNICAST = 0xe000_0000

export function refuse(
  object: ObjectKey,
  field: string,
  problem: SliceProblem,
  reason: string,
): never {
  throw new SliceError({ problem, object, field, reason })
}

/** Checks a network without looking at any other object. */
export function placeNetwork(item: SliceNetwork): PlacedNetwork {
  const key: ObjectKey = `network/${item.networkId}`
  checkInteger(key, 'vni', item.vni, { min: 1, max: VNI_MAX })
  checkInteger(key, 'mtuBytes', item.mtuBytes, { min: MTU_BYTES_MIN, max: MTU_BYTES_MAX })
  const subnets = new Map<string, PlacedSubnet>()
  const gatewayAddresses = new Set<number>()
  const gatewayMacs = new Set<string>()
  for (const subnet of item.subnets) {
    const placed = placeSubnet(item.vni, subnet)
    if (subnets.has(subnet.subnetId)) refuse(placed.key, 'subnetId', 'duplicate', 'occurs twice')
    subnets.set(subnet.subnetId, placed)
    gatewayAddresses.add(placed.gateway)
    gatewayMacs.add(subnet.gatewayMac)
  }
  checkNoOverlap([...subnets.values()])
  return { key, item, vni: item.vni, subnets, gatewayAddresses, gatewayMacs }
}

function placeSubnet(vni: number, item: SliceSubnet): PlacedSubnet {
  const key: ObjectKey = `subnet/${item.subnetId}`
  const cidr = parseCidr(item.cidr)
  if (cidr === undefined) refuse(key, 'cidr', 'malformed', `is not a range: ${item.cidr}`)
  // Zero would be indistinguishable from an unset register.
  if (cidr.base === 0 || cidr.base >= FIRST_NON_UNICAST) {
    refuse(key, 'cidr', 'out_of_range', `is not a unicast range: ${item.cidr}`)
  }
  const gateway = checkAddress(key, 'gatewayAddress', item.gatewayAddress)
  if (!cidrContains(cidr, gateway)) {
    refuse(key, 'gatewayAddress', 'outside_subnet', `${item.gatewayAddress} is not in ${item.cidr}`)
  }
  checkMac(key, 'gatewayMac', item.gatewayMac)
  const { subnetId, gatewayAddress, gatewayMac } = item
  return { key, subnetId, vni, cidr, gatewayAddress, gateway, gatewayMac }
}

function checkNoOverlap(subnets: PlacedSubnet[]): void {
  // Sorted by first address, two ranges overlap only if some two neighbours do.
  subnets.sort((a, b) => a.cidr.base - b.cidr.base || a.cidr.prefix - b.cidr.prefix)
  for (const [i, subnet] of subnets.entries()) {
    const before = subnets[i - 1]
    if (before === undefined || !cidrsOverlap(before.cidr, subnet.cidr)) continue
    const ranges = `${formatCidr(subnet.cidr)} and ${formatCidr(before.cidr)} of ${before.key}`
    refuse(subnet.key, 'cidr', 'overlap', `overlaps another range of its network: ${ranges}`)
  }
}

/** Checks the fields of a port that need no other object. */
export function placePort(
  port:
    | { readonly kind: 'localPort'; readonly item: LocalPort }
    | { readonly kind: 'remotePort'; readonly item: RemotePort },
): PlacedPort {
  const key: ObjectKey = `port/${port.item.portId}`
  const address = checkAddress(key, 'address', port.item.address)
  checkMac(key, 'mac', port.item.mac)
  if (port.kind === 'localPort') {
    checkInteger(key, 'ofport', port.item.ofport, { min: 1, max: OFPORT_MAX })
  } else {
    checkAddress(key, 'vtep', port.item.vtep)
  }
  return { ...port, address }
}

/** Throws a SliceError unless `value` is an integer of the range; `object` names who has the field. */
function checkInteger(
  object: ObjectKey,
  field: string,
  value: number,
  range: { min: number; max: number },
): void {
  if (Number.isInteger(value) && value >= range.min && value <= range.max) return
  refuse(object, field, 'out_of_range', `is ${value}, not ${range.min}..${range.max}`)
}

export function checkOfport(object: ObjectKey, ofport: number): void {
  checkInteger(object, 'ofport', ofport, { min: 1, max: OFPORT_MAX })
}

function checkAddress(object: ObjectKey, field: string, text: string): number {
  const address = parseIpv4(text)
  if (address === undefined) refuse(object, field, 'malformed', `is not an IPv4 address: ${text}`)
  if (address === 0 || address >= FIRST_NON_UNICAST) {
    refuse(object, field, 'out_of_range', `is not a unicast address: ${text}`)
  }
  return address
}

function checkMac(object: ObjectKey, field: string, text: string): void {
  if (!isMac(text)) refuse(object, field, 'malformed', `is not a MAC in lower case: ${text}`)
  // The lowest bit of the first octet marks multicast and broadcast (IEEE 802).
  const isMulticast = Number.parseInt(text.slice(0, 2), 16) % 2 === 1
  if (isMulticast || text === '00:00:00:00:00:00') {
    refuse(object, field, 'out_of_range', `is not a unicast MAC: ${text}`)
  }
}
