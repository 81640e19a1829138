import type { ByteWriter } from './bytes.ts'
import { NICIRA_MESSAGE, writeNiciraMessage } from './experimenter.ts'
import { MESSAGE_TYPE, writeMessage } from './message.ts'
import { writeProperty } from './properties.ts'
import type { OpenFlowVersion } from './version.ts'

/** What a switch may send without being asked. */
export type AsyncEvent = 'packetIn' | 'flowRemoved' | 'portStatus'

interface Header {
  readonly version: OpenFlowVersion
  readonly xid: number
}

const WHOLE_PACKET = 0xffff
const PACKET_IN2 = 2

/** OFPACPT_* for a controller that is not a slave, with all reasons of OpenFlow 1.4. */
const properties: {
  readonly [K in AsyncEvent]: { readonly type: number; readonly reasons: number }
} = {
  packetIn: { type: 1, reasons: 0b11_1111 },
  portStatus: { type: 3, reasons: 0b111 },
  flowRemoved: { type: 5, reasons: 0b11_1111 },
}

/**
 * OFPT_SET_CONFIG: fragments are handled as usual, packets go to the controller whole. A connection to `<bridge>.mgmt`
 * gets no packets at all until this was said.
 */
export function writeSetConfig(writer: ByteWriter, header: Header): void {
  writeMessage(writer, { ...header, type: MESSAGE_TYPE.setConfig }, () => {
    writer.u16(0)
    writer.u16(WHOLE_PACKET)
  })
}

/** NXT_SET_PACKET_IN_FORMAT: packet-ins with userdata and continuation. */
export function writeSetPacketInFormat(writer: ByteWriter, header: Header): void {
  writeNiciraMessage(writer, NICIRA_MESSAGE.setPacketInFormat, header, () => writer.u32(PACKET_IN2))
}

/** OFPT_SET_ASYNC: exactly these events are wanted. */
export function writeSetAsync(
  writer: ByteWriter,
  events: readonly AsyncEvent[],
  header: Header,
): void {
  writeMessage(writer, { ...header, type: MESSAGE_TYPE.setAsync }, () => {
    for (const event of ['packetIn', 'portStatus', 'flowRemoved'] as const) {
      const { type, reasons } = properties[event]
      writeProperty(writer, type, () => writer.u32(events.includes(event) ? reasons : 0))
    }
  })
}
