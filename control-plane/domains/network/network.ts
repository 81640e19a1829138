import {
  cidrContains,
  cidrEncloses,
  cidrSize,
  cidrsOverlap,
  formatIpv4,
  parseCidr,
  parseIpv4,
  PlatformError,
  type Cidr,
} from '@nubo/base'

/** Sizes that make sense: a network from /28 to /8, a subnet from /29 (five guests) up to its network. */
export const NETWORK_PREFIX_MIN = 8
export const NETWORK_PREFIX_MAX = 28
export const SUBNET_PREFIX_MAX = 29

/** VXLAN over IPv4: outer Ethernet is the underlay's own; outer IP 20 + UDP 8 + VXLAN 8 + inner Ethernet 14. */
export const VXLAN_OVERHEAD_BYTES = 20 + 8 + 8 + 14
const GUEST_MTU_BYTES_MAX = 1_500
const UNDERLAY_MTU_BYTES_DEFAULT = 1_500

/** Ranges that guests must not use, since hosts or the protocol have a meaning for them. */
const reservedRanges: readonly { readonly cidr: string; readonly why: string }[] = [
  { cidr: '0.0.0.0/8', why: '"this network" (RFC 1122)' },
  { cidr: '100.64.0.0/10', why: 'used between hosts and guests by Nubo' },
  { cidr: '127.0.0.0/8', why: 'loopback' },
  { cidr: '169.254.0.0/16', why: 'link-local and metadata' },
  { cidr: '224.0.0.0/4', why: 'multicast' },
  { cidr: '240.0.0.0/4', why: 'reserved' },
]

function mustParse(text: string): Cidr {
  const cidr = parseCidr(text)
  if (cidr === undefined)
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'cidr' },
      { message: `${text} is not a range.` },
    )
  return cidr
}

/** The largest packet that a guest may send so that it fits every host's underlay. */
export function guestMtuBytes(underlayMtusBytes: readonly number[]): number {
  const underlay =
    underlayMtusBytes.length === 0 ? UNDERLAY_MTU_BYTES_DEFAULT : Math.min(...underlayMtusBytes)
  return Math.min(GUEST_MTU_BYTES_MAX, underlay - VXLAN_OVERHEAD_BYTES)
}

/** INVALID_INPUT if the range is too small, too large, or reserved. */
export function checkNetworkRange(text: string): Cidr {
  const cidr = mustParse(text)
  if (cidr.prefix < NETWORK_PREFIX_MIN || cidr.prefix > NETWORK_PREFIX_MAX) {
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'cidr', limit: `/${NETWORK_PREFIX_MIN} to /${NETWORK_PREFIX_MAX}` },
      {
        message: `A network's range is between /${NETWORK_PREFIX_MIN} and /${NETWORK_PREFIX_MAX}; ${text} is not.`,
      },
    )
  }
  const reserved = reservedRanges.find((range) => cidrsOverlap(mustParse(range.cidr), cidr))
  if (reserved !== undefined) {
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'cidr', limit: reserved.cidr, next: 'use a private range such as 10.0.0.0/16' },
      { message: `${text} overlaps ${reserved.cidr}: ${reserved.why}.` },
    )
  }
  return cidr
}

/** NETWORK_OVERLAPS or INVALID_INPUT unless `text` fits into the network beside its other subnets. */
export function checkSubnetRange(
  text: string,
  place: { network: string; others: readonly { name: string; cidr: string }[] },
): Cidr {
  const cidr = mustParse(text)
  if (cidr.prefix > SUBNET_PREFIX_MAX) {
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'cidr', limit: `/${SUBNET_PREFIX_MAX}` },
      { message: `A subnet is at least a /${SUBNET_PREFIX_MAX}.` },
    )
  }
  if (!cidrEncloses(mustParse(place.network), cidr)) {
    throw new PlatformError(
      'NETWORK_OVERLAPS',
      { field: 'cidr', limit: place.network },
      { message: `${text} does not lie in the network's range ${place.network}.` },
    )
  }
  const overlapping = place.others.find((other) => cidrsOverlap(mustParse(other.cidr), cidr))
  if (overlapping !== undefined) {
    throw new PlatformError(
      'NETWORK_OVERLAPS',
      { field: 'cidr', subnet: overlapping.name },
      { message: `${text} overlaps the subnet ${overlapping.name} (${overlapping.cidr}).` },
    )
  }
  return cidr
}

/** The first address after the network's own. */
export function gatewayAddress(subnetCidr: string): string {
  return formatIpv4(mustParse(subnetCidr).base + 1)
}

/** How many addresses guests may have: all but network, gateway and broadcast. */
export function guestAddresses(subnetCidr: string): number {
  return cidrSize(mustParse(subnetCidr)) - 3
}

/** INVALID_INPUT unless a guest of the subnet may have this address. */
export function checkGuestAddress(subnetCidr: string, address: string): void {
  const cidr = mustParse(subnetCidr)
  const value = parseIpv4(address)
  if (value === undefined || !cidrContains(cidr, value)) {
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'address', limit: subnetCidr },
      { message: `${address} does not lie in ${subnetCidr}.` },
    )
  }
  const offset = value - cidr.base
  const reserved =
    offset === 0
      ? 'the network itself'
      : offset === 1
        ? 'the gateway'
        : offset === cidrSize(cidr) - 1
          ? 'broadcast'
          : undefined
  if (reserved !== undefined) {
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'address', limit: subnetCidr },
      { message: `${address} is reserved for ${reserved}.` },
    )
  }
}

/** The lowest address that a guest may have and `isTaken` does not name; undefined when there is none. */
export function firstFreeAddress(
  subnetCidr: string,
  isTaken: (address: string) => boolean,
): string | undefined {
  const { base, prefix } = mustParse(subnetCidr)
  const last = base + cidrSize({ base, prefix }) - 2
  for (let value = base + 2; value <= last; value++) {
    const address = formatIpv4(value)
    if (!isTaken(address)) return address
  }
  return undefined
}
