import { readU16, readU8 } from './bytes.ts'

/**
 * The sum of RFC 1071 before it is complemented, folded to 16 bits. `start` continues an earlier sum over an even number
 * of bytes. Over bytes that hold their own checksum it is 0xffff.
 */
export function onesSum(bytes: Uint8Array, start = 0): number {
  let sum = start
  const even = bytes.length & ~1
  for (let at = 0; at < even; at += 2) sum += readU16(bytes, at)
  // An odd byte at the end is the upper half of a word.
  if (even < bytes.length) sum += readU8(bytes, even) << 8
  // 65,535 bytes are 32,768 words: the sum stays below 2^32, and two folds suffice.
  sum = (sum & 0xffff) + Math.floor(sum / 0x1_0000)
  return (sum & 0xffff) + (sum >>> 16)
}

/** What belongs into the checksum field, with that field zero in `bytes`. */
export function internetChecksum(bytes: Uint8Array, start = 0): number {
  return ~onesSum(bytes, start) & 0xffff
}
