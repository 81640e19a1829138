import { DockerError } from './errors.ts'

/** A piece of what a container's process wrote, in the order in which the engine read it. */
export interface OutputChunk {
  readonly stream: 'stdout' | 'stderr'
  readonly bytes: Buffer
}

/** 8 bytes: the stream's number, three zeros, the payload's length as big-endian 32 bits. */
const HEADER_BYTES = 8

/** dockerd 20.10 writes at most 32 KiB at once from a process and about 16 KiB per log entry; the rest is margin. */
export const FRAME_BYTES_MAX = 1024 * 1024

/**
 * Decodes the multiplexed stream of `attach`, `logs` and `exec` without a TTY.
 * Memory is bounded by `frameBytesMax`. Whatever is not such a stream ends in a DockerError of kind `protocol`;
 * a frame of stream 3 carries an error of the engine itself and is thrown with kind `server`.
 * After an error the decoder is spent.
 */
export class FrameDecoder {
  readonly #frameBytesMax: number
  readonly #header = Buffer.alloc(HEADER_BYTES)
  #headerBytes = 0
  #payload: Buffer | null = null
  #payloadBytes = 0

  constructor(options: { frameBytesMax?: number } = {}) {
    this.#frameBytesMax = options.frameBytesMax ?? FRAME_BYTES_MAX
  }

  /** The frames that `bytes` completes, in order; empty frames are left out. */
  push(bytes: Uint8Array): OutputChunk[] {
    const chunks: OutputChunk[] = []
    let at = 0
    while (at < bytes.length || (this.#payload !== null && this.#payload.length === 0)) {
      if (this.#payload === null) {
        const part = bytes.subarray(at, at + HEADER_BYTES - this.#headerBytes)
        this.#header.set(part, this.#headerBytes)
        this.#headerBytes += part.length
        at += part.length
        if (this.#headerBytes === HEADER_BYTES) this.#payload = this.#begin()
        continue
      }
      const part = bytes.subarray(at, at + this.#payload.length - this.#payloadBytes)
      this.#payload.set(part, this.#payloadBytes)
      this.#payloadBytes += part.length
      at += part.length
      if (this.#payloadBytes === this.#payload.length) {
        const chunk = this.#finish(this.#payload)
        if (chunk.bytes.length > 0) chunks.push(chunk)
      }
    }
    return chunks
  }

  /** To be called at the end of the stream: throws if it ended inside a frame. */
  end(): void {
    if (this.#headerBytes > 0)
      throw new DockerError('protocol', 'output stream ended inside a frame')
  }

  #begin(): Buffer {
    const stream = this.#header.readUInt8(0)
    if (stream > 3 || this.#header.readUIntBE(1, 3) !== 0) {
      throw new DockerError('protocol', `not an output frame: ${this.#header.toString('hex')}`)
    }
    const length = this.#header.readUInt32BE(4)
    if (length > this.#frameBytesMax) {
      throw new DockerError(
        'protocol',
        `output frame of ${length} bytes; at most ${this.#frameBytesMax} are accepted`,
      )
    }
    return Buffer.allocUnsafe(length)
  }

  #finish(payload: Buffer): OutputChunk {
    const stream = this.#header.readUInt8(0)
    this.#headerBytes = 0
    this.#payload = null
    this.#payloadBytes = 0
    if (stream === 3) throw new DockerError('server', payload.toString('utf8').trim())
    // Docker's documentation: what is marked as stdin (0) "is written on stdout".
    return { stream: stream === 2 ? 'stderr' : 'stdout', bytes: payload }
  }
}

/**
 * The output of a process from the raw connection. With a TTY there are no frames: everything is stdout.
 * Backpressure: nothing is read from the connection while the consumer does not ask.
 */
export async function* decodeOutput(
  source: AsyncIterable<Buffer>,
  options: { tty: boolean; frameBytesMax?: number },
): AsyncGenerator<OutputChunk, void, undefined> {
  if (options.tty) {
    for await (const bytes of source) yield { stream: 'stdout', bytes }
    return
  }
  const decoder = new FrameDecoder(options)
  for await (const bytes of source) yield* decoder.push(bytes)
  decoder.end()
}
