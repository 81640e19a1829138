import type { ByteWriter } from './bytes.ts'
import { OpenFlowEncodeError } from './errors.ts'
import type { Flow, FlowChange, Match } from './flow.ts'
import { encodeInstructions } from './instructions.ts'
import { encodeMatch } from './match.ts'
import { MESSAGE_TYPE, writeMessage } from './message.ts'
import { PORT_ANY } from './ports.ts'
import type { OpenFlowVersion } from './version.ts'

const OFPFC_ADD = 0
const OFPFC_DELETE = 3
const OFPFC_DELETE_STRICT = 4
const OFPFF_SEND_FLOW_REM = 1
const OFP_NO_BUFFER = 0xffffffff
const OFPG_ANY = 0xffffffff
/** OFPTT_ALL: delete from every table. */
export const TABLE_ALL = 255
const UINT64_MAX = 0xffff_ffff_ffff_ffffn

interface FlowMod {
  readonly command: number
  readonly table: number
  readonly priority: number
  readonly cookie: bigint
  readonly cookieMask: bigint
  readonly match: Match
  readonly idleTimeoutSeconds: number
  readonly hardTimeoutSeconds: number
  readonly flags: number
}

/** Writes OFPT_FLOW_MOD, one whole message. Throws OpenFlowEncodeError. */
export function writeFlowMod(
  writer: ByteWriter,
  change: FlowChange,
  { version, xid }: { readonly version: OpenFlowVersion; readonly xid: number },
): void {
  const mod = flowMod(change)
  writeMessage(writer, { version, type: MESSAGE_TYPE.flowMod, xid }, () => {
    writer.u64(mod.cookie)
    writer.u64(mod.cookieMask)
    writer.u8(mod.table)
    writer.u8(mod.command)
    writer.u16(mod.idleTimeoutSeconds)
    writer.u16(mod.hardTimeoutSeconds)
    writer.u16(mod.priority)
    writer.u32(OFP_NO_BUFFER)
    writer.u32(PORT_ANY)
    writer.u32(OFPG_ANY)
    writer.u16(mod.flags)
    writer.zeros(2)
    encodeMatch(writer, mod.match, version)
    if (change.type === 'add') encodeInstructions(writer, change.flow.actions, version)
  })
}

function flowMod(change: FlowChange): FlowMod {
  switch (change.type) {
    case 'add':
      return addition(change.flow)
    case 'deleteStrict':
      return {
        ...deletion,
        command: OFPFC_DELETE_STRICT,
        table: checkedTable(change.table),
        priority: checked16(change.priority, 'priority'),
        match: change.match,
      }
    case 'deleteByCookie':
      return {
        ...deletion,
        command: OFPFC_DELETE,
        table: change.table === undefined ? TABLE_ALL : checkedTable(change.table),
        cookie: checked64(change.cookie, 'cookie') & checked64(change.cookieMask, 'cookieMask'),
        cookieMask: change.cookieMask,
      }
  }
}

const deletion = {
  // Says nothing here; it is what ovs-ofctl writes.
  priority: 0x8000,
  cookie: 0n,
  cookieMask: 0n,
  match: {},
  idleTimeoutSeconds: 0,
  hardTimeoutSeconds: 0,
  flags: 0,
}

function addition(flow: Flow): FlowMod {
  return {
    command: OFPFC_ADD,
    table: checkedTable(flow.table),
    priority: checked16(flow.priority, 'priority'),
    cookie: checked64(flow.cookie, 'cookie'),
    cookieMask: 0n,
    match: flow.match,
    idleTimeoutSeconds: checked16(flow.idleTimeoutSeconds ?? 0, 'idleTimeoutSeconds'),
    hardTimeoutSeconds: checked16(flow.hardTimeoutSeconds ?? 0, 'hardTimeoutSeconds'),
    flags: flow.sendFlowRemoved === true ? OFPFF_SEND_FLOW_REM : 0,
  }
}

function checkedTable(table: number): number {
  if (!Number.isInteger(table) || table < 0 || table >= TABLE_ALL) {
    throw new OpenFlowEncodeError(`there is no table ${table}; tables are 0..254`)
  }
  return table
}

function checked16(value: number, what: string): number {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff) {
    throw new OpenFlowEncodeError(`${what} ${value} is not in 0..65535`)
  }
  return value
}

function checked64(value: bigint, what: string): bigint {
  if (typeof value !== 'bigint' || value < 0n || value > UINT64_MAX) {
    throw new OpenFlowEncodeError(`${what} ${String(value)} is not an unsigned 64-bit bigint`)
  }
  return value
}
