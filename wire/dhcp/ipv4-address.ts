import { readU32, readU8 } from './bytes.ts'
import { DhcpEncodeError } from './errors.ts'

// An IPv4 address is text of four decimal groups: '10.0.0.1'.

export const ADDRESS_BYTES = 4
export const NO_ADDRESS = '0.0.0.0'
export const BROADCAST_ADDRESS = '255.255.255.255'

export function readAddress(bytes: Uint8Array, at: number): string {
  return `${readU8(bytes, at)}.${readU8(bytes, at + 1)}.${readU8(bytes, at + 2)}.${readU8(bytes, at + 3)}`
}

/** Throws DhcpEncodeError for text that is no IPv4 address. */
export function addressBytes(address: string): Uint8Array {
  const groups = address.split('.')
  if (groups.length !== ADDRESS_BYTES || !groups.every(isOctet)) {
    throw new DhcpEncodeError(`"${address.slice(0, 40)}" is no IPv4 address`)
  }
  return Uint8Array.of(...groups.map(Number))
}

function isOctet(group: string): boolean {
  return /^\d{1,3}$/.test(group) && Number(group) <= 255
}

function addressNumber(address: string): number {
  return readU32(addressBytes(address), 0)
}

function addressOf(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 0xff}.${(value >>> 8) & 0xff}.${value & 0xff}`
}

/** The mask of a prefix as a number; throws DhcpEncodeError beyond 0 to 32. */
function maskNumber(prefixLength: number): number {
  if (!Number.isInteger(prefixLength) || prefixLength < 0 || prefixLength > 32) {
    throw new DhcpEncodeError(`prefixLength: ${prefixLength} is not between 0 and 32`)
  }
  // A shift by 32 would be one by 0.
  return prefixLength === 0 ? 0 : (0xffff_ffff << (32 - prefixLength)) >>> 0
}

export function subnetMask(prefixLength: number): string {
  return addressOf(maskNumber(prefixLength))
}

/** The address with the bits behind the prefix cleared. */
export function networkAddress(address: string, prefixLength: number): string {
  return addressOf((addressNumber(address) & maskNumber(prefixLength)) >>> 0)
}

/** Undefined where a subnet has none: /31 (RFC 3021) and /32. */
export function broadcastAddress(address: string, prefixLength: number): string | undefined {
  if (prefixLength >= 31) return undefined
  return addressOf((addressNumber(address) | ~maskNumber(prefixLength)) >>> 0)
}
