import { PacketDecodeError, PacketEncodeError } from './errors.ts'

// Callers have checked the length of what they read; a byte that is not there counts as zero.

export function readU8(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0
}

/** Everything in these protocols is big-endian. */
export function readU16(bytes: Uint8Array, at: number): number {
  return (readU8(bytes, at) << 8) | readU8(bytes, at + 1)
}

export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value & 0xff
}

/** Throws unless `bytes` holds a header of `byteCount`. */
export function needBytes(bytes: Uint8Array, byteCount: number, what: string): void {
  if (bytes.length < byteCount) {
    throw new PacketDecodeError(
      'tooShort',
      `${what}: ${bytes.length} bytes, a header has ${byteCount}`,
    )
  }
}

/** The value, if it is an integer that fits the bits of its field. */
export function fitting(value: number, bits: number, what: string): number {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** bits) {
    throw new PacketEncodeError(`${what}: ${value} does not fit ${bits} bits`)
  }
  return value
}
