import { OpenFlowDecodeError } from './errors.ts'
import { HEADER_BYTES, readMessage, type Message } from './message.ts'

/**
 * Cuts a stream of bytes into messages. Holds at most one incomplete message, which the protocol limits to 65,535
 * bytes. A length below 8 or a foreign version cannot be stepped over, so it ends the stream with OpenFlowDecodeError.
 */
export class MessageSplitter {
  /** Set once negotiated; before, any version passes, since a HELLO may come in one that we do not speak. */
  expectedVersion: number | undefined
  #kept: Buffer = Buffer.alloc(0)
  #chunks: Buffer[] = []
  #chunkBytes = 0

  /** Bytes of a message that has not arrived whole. */
  get pendingBytes(): number {
    return this.#kept.length + this.#chunkBytes
  }

  /** The messages completed by this chunk, in order, lazily: `expectedVersion` may change between two of them. */
  *push(chunk: Buffer): Generator<Message> {
    this.#chunks.push(chunk)
    this.#chunkBytes += chunk.length
    if (this.pendingBytes < this.#bytesNeeded()) return
    this.#join()
    while (this.#kept.length >= HEADER_BYTES) {
      const length = this.#messageLength()
      if (this.#kept.length < length) return
      const bytes = this.#kept.subarray(0, length)
      this.#kept = this.#kept.subarray(length)
      yield readMessage(bytes)
    }
  }

  /** Chunks are joined only when a message is complete, so that many small ones cost one copy. */
  #join(): void {
    const [only, ...more] = this.#chunks
    this.#kept =
      this.#kept.length === 0 && only !== undefined && more.length === 0
        ? only
        : Buffer.concat([this.#kept, ...this.#chunks])
    this.#chunks = []
    this.#chunkBytes = 0
  }

  #bytesNeeded(): number {
    return this.#kept.length < HEADER_BYTES ? HEADER_BYTES : this.#messageLength()
  }

  #messageLength(): number {
    const version = this.#kept.readUInt8(0)
    const length = this.#kept.readUInt16BE(2)
    if (this.expectedVersion !== undefined && version !== this.expectedVersion) {
      throw new OpenFlowDecodeError(
        `message of version ${version} on a connection of version ${this.expectedVersion}`,
      )
    }
    if (length < HEADER_BYTES) throw new OpenFlowDecodeError(`message of ${length} bytes`)
    return length
  }
}
