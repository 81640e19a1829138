import { ByteReader } from './bytes.ts'
import type { Match } from './flow.ts'
import { decodeMatch } from './match.ts'
import { decodeFlowCounters, durationMs, type FlowCounters } from './oxs.ts'
import { VERSION_15, type OpenFlowVersion } from './version.ts'

/** OFPRR_* */
export type FlowRemovedReason =
  | 'idleTimeout'
  | 'hardTimeout'
  | 'delete'
  | 'groupDelete'
  | 'meterDelete'
  | 'eviction'
  | 'other'

const reasons: readonly FlowRemovedReason[] = [
  'idleTimeout',
  'hardTimeout',
  'delete',
  'groupDelete',
  'meterDelete',
  'eviction',
]

/** A flow with `sendFlowRemoved` has gone. */
export interface FlowRemoved {
  readonly table: number
  readonly priority: number
  readonly cookie: bigint
  readonly match: Match
  readonly reason: FlowRemovedReason
  readonly counters: FlowCounters
}

/** Throws OpenFlowDecodeError. */
export function decodeFlowRemoved(body: Uint8Array, version: OpenFlowVersion): FlowRemoved {
  const reader = new ByteReader(body)
  return version === VERSION_15 ? decode15(reader) : decode14(reader)
}

function decode14(reader: ByteReader): FlowRemoved {
  const cookie = reader.u64()
  const priority = reader.u16()
  const reason = reasons[reader.u8()] ?? 'other'
  const table = reader.u8()
  const duration = durationMs(reader.u32(), reader.u32())
  reader.skip(4)
  const counters = { packets: reader.u64(), bytes: reader.u64(), durationMs: duration }
  return { table, priority, cookie, reason, counters, match: decodeMatch(reader) }
}

function decode15(reader: ByteReader): FlowRemoved {
  const table = reader.u8()
  const reason = reasons[reader.u8()] ?? 'other'
  const priority = reader.u16()
  reader.skip(4)
  const cookie = reader.u64()
  const match = decodeMatch(reader)
  return { table, priority, cookie, reason, match, counters: decodeFlowCounters(reader) }
}
