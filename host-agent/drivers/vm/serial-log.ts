import { Duplex } from 'node:stream'
import { PlatformError } from '@nubo/base'
import { SERIAL_HISTORY_BYTES, SERIAL_READERS_MAX } from './vm-driver.ts'

/**
 * What one run of a guest writes to its serial port, for whoever reads it: the last part is kept, and each reader has a
 * queue of the same length, from which the oldest goes. So a guest that floods, or a reader that sleeps, costs nobody more
 * than that.
 */
export class SerialLog {
  readonly #history = new ByteQueue(SERIAL_HISTORY_BYTES)
  readonly #readers = new Set<SerialReader>()
  readonly #write: (bytes: Buffer, done: () => void) => void
  #isEnded = false

  /** `write` hands bytes to the guest and calls `done` when it takes more. */
  constructor(write: (bytes: Buffer, done: () => void) => void) {
    this.#write = write
  }

  /** Bytes from the guest. */
  add(bytes: Buffer): void {
    this.#history.add(bytes)
    for (const reader of this.#readers) reader.add(bytes)
  }

  /** A stream that begins with what is kept. Throws TOO_MANY_REQUESTS. */
  open(): Duplex {
    if (this.#readers.size >= SERIAL_READERS_MAX) {
      throw new PlatformError(
        'TOO_MANY_REQUESTS',
        { limit: SERIAL_READERS_MAX, next: 'close another console of this VM' },
        { message: `at most ${SERIAL_READERS_MAX} consoles of a VM at a time` },
      )
    }
    const reader: SerialReader = new SerialReader(this.#write, () => this.#readers.delete(reader))
    this.#readers.add(reader)
    for (const bytes of this.#history.chunks()) reader.add(bytes)
    if (this.#isEnded) reader.finish()
    return reader
  }

  /** The run is over: readers end when they have read what there is. Idempotent. */
  end(): void {
    this.#isEnded = true
    for (const reader of this.#readers) reader.finish()
  }
}

class SerialReader extends Duplex {
  readonly #waiting = new ByteQueue(SERIAL_HISTORY_BYTES)
  readonly #toGuest: (bytes: Buffer, done: () => void) => void
  readonly #leave: () => void
  #isWanted = false
  #isOver = false

  constructor(toGuest: (bytes: Buffer, done: () => void) => void, leave: () => void) {
    super({ allowHalfOpen: false })
    this.#toGuest = toGuest
    this.#leave = leave
    // Whoever writes to a guest that has ended meanwhile must not end the agent.
    this.on('error', () => undefined)
  }

  add(bytes: Buffer): void {
    this.#waiting.add(bytes)
    this.#flow()
  }

  finish(): void {
    this.#isOver = true
    this.#flow()
  }

  override _read(): void {
    this.#isWanted = true
    this.#flow()
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    if (this.#isOver) return done()
    this.#toGuest(bytes, done)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#leave()
    done(error)
  }

  #flow(): void {
    while (this.#isWanted) {
      const bytes = this.#waiting.take()
      if (bytes === undefined) break
      this.#isWanted = this.push(bytes)
    }
    if (this.#isWanted && this.#isOver) {
      this.#isWanted = false
      this.push(null)
    }
  }
}

/** The last so many bytes of what was added, in pieces. */
class ByteQueue {
  readonly #bytesMax: number
  #pieces: Buffer[] = []
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  add(bytes: Buffer): void {
    // A copy of its own: a small part of a large buffer would keep all of it.
    const piece = Buffer.from(bytes.subarray(-this.#bytesMax))
    const last = this.#pieces.at(-1)
    // Guests write letter by letter; a piece for each would cost far more than the letters.
    if (last !== undefined && last.length + piece.length <= 4_096)
      this.#pieces[this.#pieces.length - 1] = Buffer.concat([last, piece])
    else this.#pieces.push(piece)
    this.#bytes += piece.length
    while (this.#bytes > this.#bytesMax) this.#dropOldest(this.#bytes - this.#bytesMax)
  }

  chunks(): readonly Buffer[] {
    return this.#pieces
  }

  take(): Buffer | undefined {
    const piece = this.#pieces.shift()
    this.#bytes -= piece?.length ?? 0
    return piece
  }

  #dropOldest(excess: number): void {
    const oldest = this.#pieces[0] ?? Buffer.alloc(0)
    if (oldest.length <= excess) {
      this.take()
      return
    }
    this.#pieces[0] = oldest.subarray(excess)
    this.#bytes -= excess
  }
}
