import type { ByteReader, ByteWriter } from './bytes.ts'
import { OpenFlowDecodeError, OpenFlowEncodeError, OpenFlowUnsupportedError } from './errors.ts'
import { TABLE_ALL } from './flow-mod.ts'
import type { Action, Flow, Match } from './flow.ts'
import { decodeInstructions } from './instructions.ts'
import { decodeMatch, encodeMatch } from './match.ts'
import { MULTIPART, writeMultipartRequest } from './multipart.ts'
import { decodeFlowCounters, durationMs, type FlowCounters } from './oxs.ts'
import { PORT_ANY } from './ports.ts'
import { VERSION_15, type OpenFlowVersion } from './version.ts'

/** A flow as it stands in the switch. */
export interface InstalledFlow {
  readonly flow: Flow
  readonly counters: FlowCounters
}

/**
 * A flow with something in it that this package does not speak. It can be replaced by adding a flow of the same
 * identity, or deleted: by cookie always, strictly if its match was understood.
 */
export interface ForeignFlow {
  readonly table: number
  readonly priority: number
  readonly cookie: bigint
  readonly match: Match | undefined
  readonly reason: string
}

export interface FlowDump {
  readonly flows: readonly InstalledFlow[]
  readonly foreign: readonly ForeignFlow[]
}

export interface FlowFilter {
  /** All tables if absent. */
  readonly table?: number
  /** Flows whose cookie agrees with this one in the bits of the mask. */
  readonly cookie?: bigint
  /** All ones if absent and a cookie is given. */
  readonly cookieMask?: bigint
}

const UINT64_MAX = 0xffff_ffff_ffff_ffffn

/** Writes the request for flows. Throws OpenFlowEncodeError. */
export function writeFlowRequest(
  writer: ByteWriter,
  filter: FlowFilter,
  header: { readonly version: OpenFlowVersion; readonly xid: number },
): void {
  const { table = TABLE_ALL, cookie = 0n } = filter
  const cookieMask = filter.cookieMask ?? (filter.cookie === undefined ? 0n : UINT64_MAX)
  if (!Number.isInteger(table) || table < 0 || table > TABLE_ALL) {
    throw new OpenFlowEncodeError(`there is no table ${table}`)
  }
  if (cookie < 0n || cookie > UINT64_MAX || cookieMask < 0n || cookieMask > UINT64_MAX) {
    throw new OpenFlowEncodeError('cookie and cookieMask have 64 bits')
  }
  writeMultipartRequest(writer, MULTIPART.flow, header, () => {
    writer.u8(table)
    writer.zeros(3)
    writer.u32(PORT_ANY)
    writer.u32(PORT_ANY)
    writer.zeros(4)
    writer.u64(cookie & cookieMask)
    writer.u64(cookieMask)
    encodeMatch(writer, {}, header.version)
  })
}

interface EntryHead {
  readonly table: number
  readonly priority: number
  readonly cookie: bigint
  readonly idleTimeoutSeconds: number
  readonly hardTimeoutSeconds: number
  readonly flags: number
  readonly importance: number
}

interface Entry {
  readonly head: EntryHead
  readonly match: Match | OpenFlowUnsupportedError
  readonly actions: readonly Action[] | OpenFlowUnsupportedError
  readonly counters: FlowCounters
}

/** Reads the flows of one message of a reply, up to its end. Throws OpenFlowDecodeError. */
export function decodeFlows(
  reader: ByteReader,
  version: OpenFlowVersion,
): (InstalledFlow | ForeignFlow)[] {
  const found: (InstalledFlow | ForeignFlow)[] = []
  while (reader.remaining > 0) {
    const length = reader.u16()
    if (length < 8) throw new OpenFlowDecodeError(`flow entry of ${length} bytes`)
    const body = reader.sub(length - 2)
    found.push(classify(version === VERSION_15 ? readEntry15(body) : readEntry14(body)))
  }
  return found
}

/** struct ofp_flow_stats of OpenFlow 1.4. */
function readEntry14(body: ByteReader): Entry {
  const table = body.u8()
  body.skip(1)
  const duration = durationMs(body.u32(), body.u32())
  const priorityToImportance = readPriorityToImportance(body)
  body.skip(2)
  const head = { table, ...priorityToImportance, cookie: body.u64() }
  const counters = { packets: body.u64(), bytes: body.u64(), durationMs: duration }
  const match = readMatch(body)
  return { head, match, counters, actions: understood(() => decodeInstructions(body)) }
}

/** struct ofp_flow_desc of OpenFlow 1.5. */
function readEntry15(body: ByteReader): Entry {
  body.skip(2)
  const table = body.u8()
  body.skip(1)
  const head = { table, ...readPriorityToImportance(body), cookie: body.u64() }
  const match = readMatch(body)
  const counters = decodeFlowCounters(body)
  return { head, match, counters, actions: understood(() => decodeInstructions(body)) }
}

/** Five numbers that both versions have in this order. */
function readPriorityToImportance(body: ByteReader): Omit<EntryHead, 'table' | 'cookie'> {
  return {
    priority: body.u16(),
    idleTimeoutSeconds: body.u16(),
    hardTimeoutSeconds: body.u16(),
    flags: body.u16(),
    importance: body.u16(),
  }
}

/** Steps over the match also if it is not understood, so that what follows can be read. */
function readMatch(body: ByteReader): Match | OpenFlowUnsupportedError {
  const typeAndLength = body.peek(4)
  const length = typeAndLength.readUInt16BE(2)
  const whole = body.sub(Math.ceil(length / 8) * 8)
  return understood(() => decodeMatch(whole))
}

function understood<T>(read: () => T): T | OpenFlowUnsupportedError {
  try {
    return read()
  } catch (error) {
    if (error instanceof OpenFlowUnsupportedError) return error
    throw error
  }
}

const OFPFF_SEND_FLOW_REM = 1
/** RESET_COUNTS is about the request, not about the flow, so it says nothing here. */
const FLAGS_UNDERSTOOD = OFPFF_SEND_FLOW_REM | 4

function classify({ head, match, actions, counters }: Entry): InstalledFlow | ForeignFlow {
  if (match instanceof OpenFlowUnsupportedError) return foreign(head, undefined, match.message)
  if (actions instanceof OpenFlowUnsupportedError) return foreign(head, match, actions.message)
  if ((head.flags & ~FLAGS_UNDERSTOOD) !== 0) return foreign(head, match, `flags ${head.flags}`)
  if (head.importance !== 0) return foreign(head, match, `importance ${head.importance}`)
  return { flow: flowOf(head, match, actions), counters }
}

function foreign(head: EntryHead, match: Match | undefined, reason: string): ForeignFlow {
  const { table, priority, cookie } = head
  return { table, priority, cookie, match, reason }
}

function flowOf(head: EntryHead, match: Match, actions: readonly Action[]): Flow {
  const { table, priority, cookie, idleTimeoutSeconds, hardTimeoutSeconds } = head
  return {
    table,
    priority,
    cookie,
    match,
    actions,
    ...(idleTimeoutSeconds === 0 ? {} : { idleTimeoutSeconds }),
    ...(hardTimeoutSeconds === 0 ? {} : { hardTimeoutSeconds }),
    ...((head.flags & OFPFF_SEND_FLOW_REM) === 0 ? {} : { sendFlowRemoved: true }),
  }
}
