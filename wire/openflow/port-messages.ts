import { ByteReader, type ByteWriter } from './bytes.ts'
import { OpenFlowDecodeError } from './errors.ts'
import { formatMac } from './field-value.ts'
import { MULTIPART, writeMultipartRequest } from './multipart.ts'
import { durationMs } from './oxs.ts'
import { PORT_ANY, port32 } from './ports.ts'
import { VERSION_15, type OpenFlowVersion } from './version.ts'

/** struct ofp_port of OpenFlow 1.4. */
export interface PortDescription {
  readonly port: number
  /** At most 15 characters: the protocol cuts longer ones. */
  readonly name: string
  readonly mac: string
  readonly isAdminDown: boolean
  readonly isLinkDown: boolean
}

/** A counter that the switch does not keep is all ones, 2^64 - 1. */
export interface PortStats {
  readonly port: number
  readonly durationMs: number
  readonly receivedPackets: bigint
  readonly sentPackets: bigint
  readonly receivedBytes: bigint
  readonly sentBytes: bigint
  readonly receivedDropped: bigint
  readonly sentDropped: bigint
  readonly receivedErrors: bigint
  readonly sentErrors: bigint
}

/** A port came, went or changed, OFPT_PORT_STATUS. */
export interface PortStatus {
  readonly reason: 'add' | 'delete' | 'modify' | 'other'
  readonly description: PortDescription
}

interface Header {
  readonly version: OpenFlowVersion
  readonly xid: number
}

const OFPPC_PORT_DOWN = 1
const OFPPS_LINK_DOWN = 1
const NAME_BYTES = 16
const PORT_BYTES = 40
const PORT_STATS_BYTES = 80

export function writePortDescriptionRequest(writer: ByteWriter, header: Header): void {
  writeMultipartRequest(writer, MULTIPART.portDescription, header, () => {
    // OpenFlow 1.5 can ask for one port; all of them are asked for by "any".
    if (header.version === VERSION_15) {
      writer.u32(PORT_ANY)
      writer.zeros(4)
    }
  })
}

/** Of one port, or with PORT_ANY of all. Throws OpenFlowEncodeError for a number that is no port. */
export function writePortStatsRequest(writer: ByteWriter, port: number, header: Header): void {
  writeMultipartRequest(writer, MULTIPART.portStats, header, () => {
    writer.u32(port32(port))
    writer.zeros(4)
  })
}

/** Reads ports up to the end of the reader. Throws OpenFlowDecodeError. */
export function decodePortDescriptions(reader: ByteReader): PortDescription[] {
  const ports: PortDescription[] = []
  while (reader.remaining > 0) ports.push(decodePort(reader))
  return ports
}

function decodePort(reader: ByteReader): PortDescription {
  const port = reader.u32()
  const length = reader.u16()
  if (length < PORT_BYTES) throw new OpenFlowDecodeError(`port of ${length} bytes`)
  const rest = reader.sub(length - 6)
  rest.skip(2)
  const mac = formatMac(rest.uint(6))
  rest.skip(2)
  const name = rest.bytes(NAME_BYTES)
  const config = rest.u32()
  const state = rest.u32()
  const end = name.indexOf(0)
  return {
    port,
    name: name.toString('utf8', 0, end < 0 ? NAME_BYTES : end),
    mac,
    isAdminDown: (config & OFPPC_PORT_DOWN) !== 0,
    isLinkDown: (state & OFPPS_LINK_DOWN) !== 0,
  }
}

/** Reads statistics up to the end of the reader. Throws OpenFlowDecodeError. */
export function decodePortStats(reader: ByteReader): PortStats[] {
  const all: PortStats[] = []
  while (reader.remaining > 0) {
    const length = reader.u16()
    if (length < PORT_STATS_BYTES)
      throw new OpenFlowDecodeError(`port statistics of ${length} bytes`)
    const entry = reader.sub(length - 2)
    entry.skip(2)
    all.push({
      port: entry.u32(),
      durationMs: durationMs(entry.u32(), entry.u32()),
      receivedPackets: entry.u64(),
      sentPackets: entry.u64(),
      receivedBytes: entry.u64(),
      sentBytes: entry.u64(),
      receivedDropped: entry.u64(),
      sentDropped: entry.u64(),
      receivedErrors: entry.u64(),
      sentErrors: entry.u64(),
    })
  }
  return all
}

const statusReasons = ['add', 'delete', 'modify'] as const

/** Throws OpenFlowDecodeError. */
export function decodePortStatus(body: Uint8Array): PortStatus {
  const reader = new ByteReader(body)
  const reason = statusReasons[reader.u8()] ?? 'other'
  reader.skip(7)
  return { reason, description: decodePort(reader) }
}
