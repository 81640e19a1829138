import { readU8 } from './bytes.ts'
import { PacketEncodeError } from './errors.ts'

// An IPv4 address is text of four decimal groups: '10.0.0.1'.

export const IPV4_ADDRESS_BYTES = 4
export const BROADCAST_ADDRESS = '255.255.255.255'

export function readIpv4Address(bytes: Uint8Array, at: number): string {
  return `${readU8(bytes, at)}.${readU8(bytes, at + 1)}.${readU8(bytes, at + 2)}.${readU8(bytes, at + 3)}`
}

/** Throws PacketEncodeError for text that is no IPv4 address. */
export function writeIpv4Address(bytes: Uint8Array, at: number, address: string): void {
  const groups = address.split('.')
  if (groups.length !== IPV4_ADDRESS_BYTES || !groups.every(isOctet)) {
    throw new PacketEncodeError(`"${address.slice(0, 40)}" is no IPv4 address`)
  }
  for (const [index, group] of groups.entries()) bytes[at + index] = Number(group)
}

function isOctet(group: string): boolean {
  return /^\d{1,3}$/.test(group) && Number(group) <= 255
}
