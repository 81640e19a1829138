import type { ByteReader } from './bytes.ts'
import { OpenFlowDecodeError } from './errors.ts'

/** What a flow has counted. */
export interface FlowCounters {
  readonly packets: bigint
  readonly bytes: bigint
  /** Since the flow was added. */
  readonly durationMs: number
}

const CLASS_BASIC = 0x8002
const FIELD_DURATION = 0
const FIELD_PACKETS = 4
const FIELD_BYTES = 5
const HEADER_BYTES = 4

/** Seconds and nanoseconds as the protocol carries them. */
export function durationMs(seconds: number, nanoseconds: number): number {
  return seconds * 1000 + Math.floor(nanoseconds / 1_000_000)
}

/** Reads struct ofp_stats of OpenFlow 1.5 with its padding; what is not told is 0. Throws OpenFlowDecodeError. */
export function decodeFlowCounters(reader: ByteReader): FlowCounters {
  reader.skip(2)
  const length = reader.u16()
  if (length < HEADER_BYTES) throw new OpenFlowDecodeError(`statistics of ${length} bytes`)
  const entries = reader.sub(length - HEADER_BYTES)
  reader.skip((8 - (length % 8)) % 8)
  let counters: FlowCounters = { packets: 0n, bytes: 0n, durationMs: 0 }
  while (entries.remaining > 0) counters = { ...counters, ...decodeEntry(entries) }
  return counters
}

function decodeEntry(reader: ByteReader): Partial<FlowCounters> {
  const statisticsClass = reader.u16()
  const field = reader.u8() >> 1
  const payload = reader.sub(reader.u8())
  if (statisticsClass !== CLASS_BASIC) return {}
  if (field === FIELD_DURATION) return { durationMs: durationMs(payload.u32(), payload.u32()) }
  if (field === FIELD_PACKETS) return { packets: payload.u64() }
  if (field === FIELD_BYTES) return { bytes: payload.u64() }
  return {}
}
