import { ByteReader, type ByteWriter } from './bytes.ts'
import { OpenFlowDecodeError, OpenFlowEncodeError } from './errors.ts'
import { NICIRA_MESSAGE, writeNiciraMessage } from './experimenter.ts'
import type { Match } from './flow.ts'
import { decodeKnownOxmFields } from './match.ts'
import { readProperties } from './properties.ts'
import type { OpenFlowVersion } from './version.ts'

/** A packet that a flow sent to us, NXT_PACKET_IN2. */
export interface PacketIn {
  readonly packet: Uint8Array
  /** Bytes of the packet before it was cut to the flow's maxLength. */
  readonly fullLength: number
  readonly table: number
  /** Of the flow that sent it; absent where the switch cannot tell, e.g. behind a packet-out. */
  readonly cookie: bigint | undefined
  /** OFPR_*: 0 no match, 1 action, 2 invalid TTL, … */
  readonly reason: number
  /** The port it came in by, absent for a packet that was made by a packet-out. */
  readonly inPort: number | undefined
  /** Tunnel, registers, metadata and connection state at that point; fields that we do not know are left out. */
  readonly metadata: Match
  readonly userdata: Uint8Array
  /** Set if the flow paused the packet: hand it to `resume` to let it go on. Opaque. */
  readonly continuation: Continuation | undefined
}

/** The whole message body, which is what NXT_RESUME wants back. */
export interface Continuation {
  readonly body: Uint8Array
}

/** NXPINT_* */
const PROPERTY_PACKET = 0
const PROPERTY_FULL_LENGTH = 1
const PROPERTY_TABLE = 3
const PROPERTY_COOKIE = 4
const PROPERTY_REASON = 5
const PROPERTY_METADATA = 6
const PROPERTY_USERDATA = 7
const PROPERTY_CONTINUATION = 8

interface Draft {
  packet?: Uint8Array
  fullLength?: number
  table: number
  cookie: bigint | undefined
  reason: number
  metadata: Match
  userdata: Uint8Array
  isPaused: boolean
}

/** Reads the body behind experimenter and subtype. Throws OpenFlowDecodeError. */
export function decodePacketIn2(reader: ByteReader): PacketIn {
  const body = reader.rest()
  const draft: Draft = {
    table: 0,
    cookie: undefined,
    reason: 0,
    metadata: {},
    userdata: new Uint8Array(),
    isPaused: false,
  }
  for (const { type, value } of readProperties(new ByteReader(body))) readInto(draft, type, value)
  const { packet } = draft
  if (packet === undefined) throw new OpenFlowDecodeError('packet-in without a packet')
  const inPort = draft.metadata.inPort
  return {
    packet,
    fullLength: draft.fullLength ?? packet.length,
    table: draft.table,
    cookie: draft.cookie,
    reason: draft.reason,
    inPort: typeof inPort === 'number' ? inPort : undefined,
    metadata: draft.metadata,
    userdata: draft.userdata,
    continuation: draft.isPaused ? { body: Uint8Array.from(body) } : undefined,
  }
}

function readInto(draft: Draft, type: number, value: ByteReader): void {
  switch (type) {
    case PROPERTY_PACKET:
      // Copied: the receive buffer is shared with other messages.
      draft.packet = Uint8Array.from(value.rest())
      return
    case PROPERTY_FULL_LENGTH:
      draft.fullLength = value.u32()
      return
    case PROPERTY_TABLE:
      draft.table = value.u8()
      return
    case PROPERTY_COOKIE:
      // A 64-bit value in a property is aligned to 8 bytes.
      value.skip(4)
      draft.cookie = value.u64()
      return
    case PROPERTY_REASON:
      draft.reason = value.u8()
      return
    case PROPERTY_METADATA:
      draft.metadata = decodeKnownOxmFields(value)
      return
    case PROPERTY_USERDATA:
      draft.userdata = Uint8Array.from(value.rest())
      return
    case PROPERTY_CONTINUATION:
      draft.isPaused = true
      return
    default:
    // Buffer ids and whatever comes later do not concern us.
  }
}

/** Writes NXT_RESUME: the paused packet goes on where it stopped. Throws OpenFlowEncodeError if it was not paused. */
export function writeResume(
  writer: ByteWriter,
  packetIn: PacketIn,
  header: { readonly version: OpenFlowVersion; readonly xid: number },
): void {
  const { continuation } = packetIn
  if (continuation === undefined) throw new OpenFlowEncodeError('resume: the packet was not paused')
  writeNiciraMessage(writer, NICIRA_MESSAGE.resume, header, () => writer.bytes(continuation.body))
}
