import type { ByteWriter } from '../bytes.ts'
import type { Flow } from '../flow.ts'
import { encodeInstructions } from '../instructions.ts'
import { encodeMatch } from '../match.ts'
import { VERSION_15, type OpenFlowVersion } from '../version.ts'

/** What only a switch writes, for tests that play one. */

const OFPFF_SEND_FLOW_REM = 1
const COUNTERS = { packets: 3n, bytes: 180n, seconds: 5, nanoseconds: 7_000_000 }

function writeHead(writer: ByteWriter, flow: Flow): void {
  writer.u16(flow.priority)
  writer.u16(flow.idleTimeoutSeconds ?? 0)
  writer.u16(flow.hardTimeoutSeconds ?? 0)
  writer.u16(flow.sendFlowRemoved === true ? OFPFF_SEND_FLOW_REM : 0)
  writer.u16(0)
}

/** struct ofp_stats with the counters above, padded. */
function writeCounters(writer: ByteWriter): void {
  const start = writer.length
  writer.zeros(2)
  writer.u16(0)
  const put = (field: number, value: bigint): void => {
    writer.u16(0x8002)
    writer.u8(field << 1)
    writer.u8(8)
    writer.u64(value)
  }
  put(0, (BigInt(COUNTERS.seconds) << 32n) | BigInt(COUNTERS.nanoseconds))
  put(1, 0n)
  put(4, COUNTERS.packets)
  put(5, COUNTERS.bytes)
  writer.patchLength(start + 2, start)
  writer.align(8, start)
}

/** One entry of a reply to OFPMP_FLOW, or in OpenFlow 1.5 to OFPMP_FLOW_DESC. */
export function writeFlowEntry(writer: ByteWriter, flow: Flow, version: OpenFlowVersion): void {
  const start = writer.length
  writer.u16(0)
  if (version === VERSION_15) {
    writer.zeros(2)
    writer.u8(flow.table)
    writer.zeros(1)
    writeHead(writer, flow)
    writer.u64(flow.cookie)
    encodeMatch(writer, flow.match, version)
    writeCounters(writer)
  } else {
    writer.u8(flow.table)
    writer.zeros(1)
    writer.u32(COUNTERS.seconds)
    writer.u32(COUNTERS.nanoseconds)
    writeHead(writer, flow)
    writer.zeros(2)
    writer.u64(flow.cookie)
    writer.u64(COUNTERS.packets)
    writer.u64(COUNTERS.bytes)
    encodeMatch(writer, flow.match, version)
  }
  encodeInstructions(writer, flow.actions, version)
  writer.patchLength(start, start)
}
