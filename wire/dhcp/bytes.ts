import { DhcpEncodeError } from './errors.ts'

// Callers have checked the length of what they read; a byte that is not there counts as zero.

export function readU8(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0
}

/** Everything in DHCP is big-endian. */
export function readU16(bytes: Uint8Array, at: number): number {
  return (readU8(bytes, at) << 8) | readU8(bytes, at + 1)
}

export function readU32(bytes: Uint8Array, at: number): number {
  return ((readU16(bytes, at) << 16) | readU16(bytes, at + 2)) >>> 0
}

/** The value as `byteCount` bytes; throws DhcpEncodeError if it does not fit. */
export function uintBytes(value: number, byteCount: number, what: string): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * byteCount)) {
    throw new DhcpEncodeError(`${what}: ${value} does not fit ${byteCount} bytes`)
  }
  const bytes = new Uint8Array(byteCount)
  for (let index = 0; index < byteCount; index += 1) {
    bytes[index] = (value >>> (8 * (byteCount - 1 - index))) & 0xff
  }
  return bytes
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/**
 * One character for each byte. RFC 2132 means ASCII; what clients of the field send beyond it comes back as it was.
 */
export function readText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

/** Throws DhcpEncodeError for what is beyond one byte, and for NUL, which ends a text in C. */
export function textBytes(text: string, what: string): Uint8Array {
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === 0 || code > 0xff) {
      throw new DhcpEncodeError(`${what}: character ${at} of the text does not fit a byte`)
    }
  }
  return Uint8Array.from(Buffer.from(text, 'latin1'))
}
