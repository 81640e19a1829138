import { ByteReader, type ByteWriter } from './bytes.ts'
import { MESSAGE_TYPE, writeMessage } from './message.ts'
import type { OpenFlowVersion } from './version.ts'

/** OFPMP_* */
export const MULTIPART = { flow: 1, portStats: 4, portDescription: 13 } as const

const OFPMPF_REPLY_MORE = 1

/** Writes OFPT_MULTIPART_REQUEST. */
export function writeMultipartRequest(
  writer: ByteWriter,
  type: number,
  header: { readonly version: OpenFlowVersion; readonly xid: number },
  body: (writer: ByteWriter) => void,
): void {
  writeMessage(writer, { ...header, type: MESSAGE_TYPE.multipartRequest }, () => {
    writer.u16(type)
    writer.zeros(6)
    body(writer)
  })
}

/** One message of a reply. */
export interface MultipartReply {
  readonly type: number
  readonly hasMore: boolean
  readonly body: ByteReader
}

/** Throws OpenFlowDecodeError. */
export function decodeMultipartReply(body: Uint8Array): MultipartReply {
  const reader = new ByteReader(body)
  const type = reader.u16()
  const flags = reader.u16()
  reader.skip(4)
  return { type, hasMore: (flags & OFPMPF_REPLY_MORE) !== 0, body: reader }
}
