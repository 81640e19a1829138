import { QmpProtocolError } from './errors.ts'

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const FIRST_BYTES = 4 * 1024
/** A buffer that a long line made larger than this is not kept for the next line. */
const KEPT_BYTES_MAX = 64 * 1024

/**
 * Cuts a byte stream into lines (QEMU ends each message with CRLF; docs/interop/qmp-spec.rst, "General Definitions").
 * Each byte is copied at most a few times however small the chunks are: the buffer doubles, so that a line which
 * arrives byte by byte costs as much memory as one which arrives at once.
 */
export class LineSplitter {
  readonly #lineBytesMax: number
  #buffer: Buffer = Buffer.allocUnsafe(0)
  #bytes = 0

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax
  }

  /** Bytes of a line that has begun but not ended. */
  get partialBytes(): number {
    return this.#bytes
  }

  /**
   * Takes the next bytes and calls `onLine`, without the line's end, for every line that they complete, in order.
   * The line is valid during the call only. Throws `QmpProtocolError` for a line over the limit; after that the
   * splitter must not be used again.
   */
  push(chunk: Buffer, onLine: (line: Buffer) => void): void {
    let from = 0
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, from)) {
      const piece = chunk.subarray(from, end)
      from = end + 1
      if (this.#bytes === 0) {
        this.#check(piece.length)
        onLine(withoutReturn(piece))
        continue
      }
      this.#keep(piece)
      const line = this.#buffer.subarray(0, this.#bytes)
      this.#bytes = 0
      if (this.#buffer.length > KEPT_BYTES_MAX) this.#buffer = Buffer.allocUnsafe(0)
      onLine(withoutReturn(line))
    }
    this.#keep(chunk.subarray(from))
  }

  #keep(piece: Buffer): void {
    const bytes = this.#bytes + piece.length
    this.#check(bytes)
    if (bytes > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(bytes, 2 * this.#buffer.length, FIRST_BYTES))
      this.#buffer.copy(larger, 0, 0, this.#bytes)
      this.#buffer = larger
    }
    piece.copy(this.#buffer, this.#bytes)
    this.#bytes = bytes
  }

  #check(bytes: number): void {
    if (bytes <= this.#lineBytesMax) return
    throw new QmpProtocolError(`a line is longer than ${this.#lineBytesMax} bytes`)
  }
}

function withoutReturn(line: Buffer): Buffer {
  return line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line
}
