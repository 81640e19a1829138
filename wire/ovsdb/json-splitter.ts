import { isUtf8 } from 'node:buffer'

import { OvsdbError } from './errors.ts'

/** Bounds on what a peer may send before the connection is given up. */
export interface JsonSplitterLimits {
  /** Bytes of one message. */
  readonly messageBytesMax: number
  /** Nesting of objects and arrays in one message. */
  readonly depthMax: number
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

/**
 * Cuts a byte stream into JSON objects that follow each other without a separator (RFC 7047, section 4).
 * It only counts brackets outside of strings; `JSON.parse` judges the rest, so every byte is looked at
 * once here however the stream was cut into chunks.
 */
export class JsonSplitter {
  readonly #limits: JsonSplitterLimits
  readonly #chunks: Buffer[] = []
  #bytes = 0
  #depth = 0
  #inString = false
  #escaped = false

  constructor(limits: JsonSplitterLimits) {
    this.#limits = limits
  }

  /** Bytes of a message that has begun but not ended. */
  get partialBytes(): number {
    return this.#bytes
  }

  /**
   * Takes the next bytes and calls `onObject` for every object that they complete, in order.
   * Throws `OvsdbError` of kind `protocol`; after that the splitter must not be used again.
   */
  push(chunk: Buffer, onObject: (object: Record<string, unknown>) => void): void {
    let start = 0
    let at = 0
    while (at < chunk.length) {
      if (this.#depth === 0) {
        at = this.#skipToObject(chunk, at)
        if (at === chunk.length) return
        start = at
      }
      const end = this.#scan(chunk, at)
      if (end === -1) break
      this.#checkBytes(end - start)
      const text = this.#take(chunk.subarray(start, end))
      start = end
      at = end
      onObject(parseObject(text))
    }
    if (this.#depth > 0) {
      this.#checkBytes(chunk.length - start)
      this.#chunks.push(chunk.subarray(start))
      this.#bytes += chunk.length - start
    }
  }

  #skipToObject(chunk: Buffer, from: number): number {
    let at = from
    while (at < chunk.length) {
      const byte = chunk[at]
      if (byte === OPEN_BRACE) return at
      if (byte === undefined || !isSpace(byte)) {
        throw new OvsdbError('protocol', { error: 'a JSON object was expected' })
      }
      at += 1
    }
    return at
  }

  /** Index after the end of the object, or -1 if the chunk ends first. */
  #scan(chunk: Buffer, from: number): number {
    for (let at = from; at < chunk.length; at += 1) {
      const byte = chunk[at]
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false
        else if (byte === BACKSLASH) this.#escaped = true
        else if (byte === QUOTE) this.#inString = false
      } else if (byte === QUOTE) {
        this.#inString = true
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        this.#depth += 1
        if (this.#depth > this.#limits.depthMax) {
          throw new OvsdbError('protocol', {
            error: 'a message is nested too deeply',
            details: `limit ${this.#limits.depthMax}`,
          })
        }
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        this.#depth -= 1
        if (this.#depth === 0) return at + 1
      }
    }
    return -1
  }

  #checkBytes(more: number): void {
    if (this.#bytes + more <= this.#limits.messageBytesMax) return
    throw new OvsdbError('protocol', {
      error: 'a message is too large',
      details: `limit ${this.#limits.messageBytesMax} bytes`,
    })
  }

  #take(last: Buffer): Buffer {
    if (this.#chunks.length === 0) return last
    const whole = Buffer.concat([...this.#chunks, last])
    this.#chunks.length = 0
    this.#bytes = 0
    return whole
  }
}

function parseObject(text: Buffer): Record<string, unknown> {
  if (!isUtf8(text)) throw new OvsdbError('protocol', { error: 'a message is not UTF-8' })
  try {
    // The splitter only hands over text that begins with '{', so what parses is an object.
    return JSON.parse(text.toString('utf8')) as Record<string, unknown>
  } catch (cause) {
    throw new OvsdbError('protocol', { error: 'a message is not JSON', cause })
  }
}
