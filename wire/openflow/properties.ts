import type { ByteReader, ByteWriter } from './bytes.ts'
import { OpenFlowDecodeError } from './errors.ts'

/** Type-length-value with padding to 8 bytes, as OpenFlow 1.4 and Nicira use it everywhere. The length excludes the padding. */
export interface Property {
  readonly type: number
  readonly value: ByteReader
}

const HEADER_BYTES = 4

export function writeProperty(
  writer: ByteWriter,
  type: number,
  value: (writer: ByteWriter) => void,
): void {
  const start = writer.length
  writer.u16(type)
  writer.u16(0)
  value(writer)
  writer.patchLength(start + 2, start)
  writer.align(8, start)
}

/** Properties up to the end of the reader. Throws OpenFlowDecodeError. */
export function* readProperties(reader: ByteReader): Generator<Property> {
  while (reader.remaining > 0) {
    const type = reader.u16()
    const length = reader.u16()
    if (length < HEADER_BYTES) throw new OpenFlowDecodeError(`property ${type} of ${length} bytes`)
    const value = reader.sub(length - HEADER_BYTES)
    // The last one may come without its padding.
    reader.skip(Math.min((8 - (length % 8)) % 8, reader.remaining))
    yield { type, value }
  }
}
