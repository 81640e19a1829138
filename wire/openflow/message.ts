import { ByteReader, ByteWriter, MESSAGE_BYTES_MAX } from './bytes.ts'
import { OpenFlowDecodeError, OpenFlowEncodeError } from './errors.ts'
import type { OpenFlowVersion } from './version.ts'

/** Every message starts with: version 8, type 8, length 16 (of the whole message), xid 32. */
export const HEADER_BYTES = 8

/** OFPT_* of OpenFlow 1.4 and 1.5, as far as this package uses them. */
export const MESSAGE_TYPE = {
  hello: 0,
  error: 1,
  echoRequest: 2,
  echoReply: 3,
  experimenter: 4,
  featuresRequest: 5,
  featuresReply: 6,
  setConfig: 9,
  packetIn: 10,
  flowRemoved: 11,
  portStatus: 12,
  packetOut: 13,
  flowMod: 14,
  multipartRequest: 18,
  multipartReply: 19,
  barrierRequest: 20,
  barrierReply: 21,
  setAsync: 28,
  bundleControl: 33,
  bundleAdd: 34,
} as const

/** A message as it came, header read, body not. */
export interface Message {
  /** Any number; a HELLO may come with a version that we do not speak. */
  readonly version: number
  readonly type: number
  readonly xid: number
  /** A view into the receive buffer: whoever keeps it copies it. */
  readonly body: Buffer
}

/** Writes one message: header, then what `body` writes. Throws OpenFlowEncodeError beyond 65,535 bytes. */
export function writeMessage(
  writer: ByteWriter,
  header: { readonly version: OpenFlowVersion; readonly type: number; readonly xid: number },
  body: (writer: ByteWriter) => void,
): void {
  const start = writer.length
  writer.u8(header.version)
  writer.u8(header.type)
  writer.u16(0)
  writer.u32(header.xid)
  body(writer)
  const length = writer.length - start
  if (length > MESSAGE_BYTES_MAX) {
    throw new OpenFlowEncodeError(
      `a message of ${length} bytes; OpenFlow allows ${MESSAGE_BYTES_MAX}`,
    )
  }
  writer.patchU16(start + 2, length)
}

/** Splits the header off one whole message. Throws OpenFlowDecodeError. */
export function readMessage(bytes: Uint8Array): Message {
  const reader = new ByteReader(bytes)
  const version = reader.u8()
  const type = reader.u8()
  const length = reader.u16()
  const xid = reader.u32()
  if (length !== bytes.length) {
    throw new OpenFlowDecodeError(`message of ${bytes.length} bytes says it has ${length}`)
  }
  return { version, type, xid, body: reader.rest() }
}

const nothing = (): void => undefined

/** A message with nothing but a header, such as a barrier request. */
export function writeEmptyMessage(
  writer: ByteWriter,
  header: { readonly version: OpenFlowVersion; readonly type: number; readonly xid: number },
): void {
  writeMessage(writer, header, nothing)
}
