import { OpenFlowDecodeError, OpenFlowEncodeError } from './errors.ts'

/** An OpenFlow message says its length in 16 bits. */
export const MESSAGE_BYTES_MAX = 0xffff

/** A growing big-endian buffer. Everything in OpenFlow is big-endian. */
export class ByteWriter {
  #buffer: Buffer
  #length = 0

  constructor(sizeHint = 512) {
    this.#buffer = Buffer.alloc(sizeHint)
  }

  get length(): number {
    return this.#length
  }

  u8(value: number): void {
    const at = this.#reserve(1)
    this.#buffer.writeUInt8(value, at)
  }

  u16(value: number): void {
    const at = this.#reserve(2)
    this.#buffer.writeUInt16BE(value, at)
  }

  u32(value: number): void {
    const at = this.#reserve(4)
    this.#buffer.writeUInt32BE(value, at)
  }

  u64(value: bigint): void {
    const at = this.#reserve(8)
    this.#buffer.writeBigUInt64BE(value, at)
  }

  /** An unsigned integer of `byteCount` bytes, 1 to 8. */
  uint(value: bigint, byteCount: number): void {
    if (byteCount === 8) {
      this.u64(value)
      return
    }
    const at = this.#reserve(byteCount)
    // At most 56 bits reach this line from a field of 1, 2, 4 or 6 bytes, so Number() is exact.
    this.#buffer.writeUIntBE(Number(value), at, byteCount)
  }

  bytes(source: Uint8Array): void {
    const at = this.#reserve(source.length)
    this.#buffer.set(source, at)
  }

  zeros(count: number): void {
    const at = this.#reserve(count)
    this.#buffer.fill(0, at, at + count)
  }

  /** Zeros up to the next multiple of `alignment`, counted from `start`. */
  align(alignment: number, start = 0): void {
    const over = (this.#length - start) % alignment
    if (over !== 0) this.zeros(alignment - over)
  }

  /** Overwrites a 16-bit field written before, usually a length known only afterwards. */
  patchU16(at: number, value: number): void {
    if (value > 0xffff) {
      throw new OpenFlowEncodeError(`${value} bytes do not fit the 16-bit length of OpenFlow`)
    }
    this.#buffer.writeUInt16BE(value, at)
  }

  /** Writes the distance from `start` to here into the 16-bit length field at `at`. */
  patchLength(at: number, start: number): void {
    this.patchU16(at, this.#length - start)
  }

  /** What was written, without a copy; the writer must not be used afterwards. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  /** Drops what was written behind `length`. */
  truncate(length: number): void {
    this.#length = length
  }

  #reserve(count: number): number {
    const at = this.#length
    const needed = at + count
    if (needed > this.#buffer.length) {
      const grown = Buffer.alloc(Math.max(needed, this.#buffer.length * 2))
      this.#buffer.copy(grown, 0, 0, at)
      this.#buffer = grown
    }
    this.#length = needed
    return at
  }
}

/** A bounded big-endian view. Reading past its end is an OpenFlowDecodeError, never anything else. */
export class ByteReader {
  readonly #buffer: Buffer
  #at = 0

  constructor(source: Uint8Array) {
    this.#buffer = Buffer.isBuffer(source)
      ? source
      : Buffer.from(source.buffer, source.byteOffset, source.byteLength)
  }

  get remaining(): number {
    return this.#buffer.length - this.#at
  }

  get offset(): number {
    return this.#at
  }

  u8(): number {
    return this.#buffer.readUInt8(this.#take(1))
  }

  u16(): number {
    return this.#buffer.readUInt16BE(this.#take(2))
  }

  u32(): number {
    return this.#buffer.readUInt32BE(this.#take(4))
  }

  u64(): bigint {
    return this.#buffer.readBigUInt64BE(this.#take(8))
  }

  /** An unsigned integer of `byteCount` bytes, 1 to 8. */
  uint(byteCount: number): bigint {
    if (byteCount === 8) return this.u64()
    return BigInt(this.#buffer.readUIntBE(this.#take(byteCount), byteCount))
  }

  /** A view, not a copy. */
  bytes(count: number): Buffer {
    const at = this.#take(count)
    return this.#buffer.subarray(at, at + count)
  }

  skip(count: number): void {
    this.#take(count)
  }

  /** The next `count` bytes, without stepping over them. */
  peek(count: number): Buffer {
    const at = this.#take(count)
    this.#at = at
    return this.#buffer.subarray(at, at + count)
  }

  /** A reader of the next `count` bytes, which this reader steps over. */
  sub(count: number): ByteReader {
    return new ByteReader(this.bytes(count))
  }

  rest(): Buffer {
    return this.bytes(this.remaining)
  }

  #take(count: number): number {
    if (count < 0 || count > this.remaining) {
      throw new OpenFlowDecodeError(
        `truncated: ${count} bytes wanted at offset ${this.#at}, ${this.remaining} left`,
      )
    }
    const at = this.#at
    this.#at += count
    return at
  }
}
