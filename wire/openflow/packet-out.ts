import { encodeActions, type ListedAction } from './actions.ts'
import type { ByteWriter } from './bytes.ts'
import type { ReservedPort } from './flow.ts'
import { encodeMatch } from './match.ts'
import { MESSAGE_TYPE, writeMessage } from './message.ts'
import { portNumber } from './ports.ts'
import { VERSION_15, type OpenFlowVersion } from './version.ts'

/** A packet to send, or with `resubmit` to put through the tables. */
export interface PacketOut {
  readonly packet: Uint8Array
  readonly actions: readonly ListedAction[]
  /** The port that the packet pretends to come from; `controller` by default. */
  readonly inPort?: number | ReservedPort
}

const OFP_NO_BUFFER = 0xffffffff

/** Writes OFPT_PACKET_OUT. Throws OpenFlowEncodeError. */
export function writePacketOut(
  writer: ByteWriter,
  { packet, actions, inPort = 'controller' }: PacketOut,
  { version, xid }: { readonly version: OpenFlowVersion; readonly xid: number },
): void {
  const port = portNumber(inPort)
  writeMessage(writer, { version, type: MESSAGE_TYPE.packetOut, xid }, () => {
    writer.u32(OFP_NO_BUFFER)
    if (version !== VERSION_15) writer.u32(port)
    const lengthAt = writer.length
    writer.u16(0)
    if (version === VERSION_15) {
      writer.zeros(2)
      encodeMatch(writer, { inPort: port }, version)
    } else {
      writer.zeros(6)
    }
    const start = writer.length
    encodeActions(writer, actions, version)
    writer.patchLength(lengthAt, start)
    writer.bytes(packet)
  })
}
