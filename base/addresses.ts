/** IPv4 addresses, ranges and MACs. Addresses are numbers inside, text at the edges. */
export interface Cidr {
  /** First address, as an unsigned 32-bit number; host bits are zero. */
  readonly base: number
  /** 0..32 */
  readonly prefix: number
}

/** '10.0.0.1' → 167772161. Undefined if it is not four decimal octets without leading zeros. */
export function parseIpv4(text: string): number | undefined {
  let value = 0
  let octet = 0
  let digits = 0
  let dots = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === DOT) {
      if (digits === 0) return undefined
      value = value * 256 + octet
      octet = 0
      digits = 0
      dots += 1
      continue
    }
    const digit = code - ZERO
    const hasLeadingZero = digits > 0 && octet === 0
    if (digit < 0 || digit > 9 || hasLeadingZero) return undefined
    octet = octet * 10 + digit
    if (octet > 255) return undefined
    digits += 1
  }
  return dots === 3 && digits > 0 ? value * 256 + octet : undefined
}

const DOT = '.'.charCodeAt(0)
const ZERO = '0'.charCodeAt(0)

export function formatIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.')
}

/** '10.0.0.0/24'. Undefined if it is malformed or has host bits set. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/')
  if (slash < 0) return undefined
  const base = parseIpv4(text.slice(0, slash))
  const prefixText = text.slice(slash + 1)
  if (base === undefined || !/^(0|[1-9]\d?)$/.test(prefixText)) return undefined
  const prefix = Number(prefixText)
  if (prefix > 32) return undefined
  const cidr = { base, prefix }
  return base % cidrSize(cidr) === 0 ? cidr : undefined
}

export function formatCidr(cidr: Cidr): string {
  return `${formatIpv4(cidr.base)}/${cidr.prefix}`
}

/** How many addresses the range holds, first and last included. */
export function cidrSize(cidr: Cidr): number {
  return 2 ** (32 - cidr.prefix)
}

export function cidrContains(cidr: Cidr, address: number): boolean {
  return address >= cidr.base && address < cidr.base + cidrSize(cidr)
}

/** Whether `inner` lies wholly in `outer`. */
export function cidrEncloses(outer: Cidr, inner: Cidr): boolean {
  return inner.prefix >= outer.prefix && cidrContains(outer, inner.base)
}

export function cidrsOverlap(a: Cidr, b: Cidr): boolean {
  return cidrEncloses(a, b) || cidrEncloses(b, a)
}

const macPattern = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/

/** True for six lower-case octets with colons. */
export function isMac(text: string): boolean {
  return macPattern.test(text)
}

/** A locally administered unicast MAC from five random octets. */
export function macFromBytes(bytes: Uint8Array): string {
  return [
    '0a',
    ...[...bytes.subarray(0, 5)].map((byte) => byte.toString(16).padStart(2, '0')),
  ].join(':')
}

/**
 * The MAC of a host's tunnel end, derived from its underlay address, so that every host knows it without asking
 * (the first packet to a new tunnel end would be lost while the switch asks). Host preparation gives it to the
 * underlay bridge.
 */
export function vtepMac(address: string): string {
  const value = parseIpv4(address)
  if (value === undefined) throw new Error(`not an IPv4 address: ${address}`)
  return [
    '0a',
    '6e',
    ...[24, 16, 8, 0].map((shift) => ((value >>> shift) & 0xff).toString(16).padStart(2, '0')),
  ].join(':')
}
