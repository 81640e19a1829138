import type { ByteReader, ByteWriter } from './bytes.ts'
import { EXPERIMENTER_NICIRA } from './actions/codec.ts'
import { MESSAGE_TYPE, writeMessage } from './message.ts'
import type { OpenFlowVersion } from './version.ts'

/** NXT_*: Nicira's own messages inside OFPT_EXPERIMENTER. */
export const NICIRA_MESSAGE = {
  setPacketInFormat: 16,
  resume: 28,
  packetIn2: 30,
} as const

export function writeNiciraMessage(
  writer: ByteWriter,
  subtype: number,
  header: { readonly version: OpenFlowVersion; readonly xid: number },
  body: (writer: ByteWriter) => void,
): void {
  writeMessage(writer, { ...header, type: MESSAGE_TYPE.experimenter }, () => {
    writer.u32(EXPERIMENTER_NICIRA)
    writer.u32(subtype)
    body(writer)
  })
}

/** The subtype of a Nicira message, read off the front; undefined for another experimenter. Throws OpenFlowDecodeError. */
export function readNiciraSubtype(reader: ByteReader): number | undefined {
  const experimenter = reader.u32()
  const subtype = reader.u32()
  return experimenter === EXPERIMENTER_NICIRA ? subtype : undefined
}
