import { decodeActions, encodeActions, type ListedAction } from './actions.ts'
import type { ByteReader, ByteWriter } from './bytes.ts'
import { OpenFlowDecodeError, OpenFlowEncodeError, OpenFlowUnsupportedError } from './errors.ts'
import type { Action } from './flow.ts'
import type { OpenFlowVersion } from './version.ts'

const OFPIT_GOTO_TABLE = 1
const OFPIT_APPLY_ACTIONS = 4
const INSTRUCTION_HEADER_BYTES = 4
const TABLE_MAX = 254

/** Writes a flow's actions as instructions. Throws OpenFlowEncodeError if `goto` is not the last one. */
export function encodeInstructions(
  writer: ByteWriter,
  actions: readonly Action[],
  version: OpenFlowVersion,
): void {
  const { applied, gotoTable } = split(actions)
  if (applied.length > 0) {
    const start = writer.length
    writer.u16(OFPIT_APPLY_ACTIONS)
    writer.u16(0)
    writer.zeros(4)
    encodeActions(writer, applied, version)
    writer.patchLength(start + 2, start)
  }
  if (gotoTable !== undefined) {
    writer.u16(OFPIT_GOTO_TABLE)
    writer.u16(8)
    writer.u8(gotoTable)
    writer.zeros(3)
  }
}

interface Split {
  readonly applied: readonly ListedAction[]
  readonly gotoTable: number | undefined
}

function split(actions: readonly Action[]): Split {
  const applied: ListedAction[] = []
  let gotoTable: number | undefined
  for (const action of actions) {
    if (gotoTable !== undefined) throw new OpenFlowEncodeError('goto must be the last action')
    if (action.type === 'goto') gotoTable = checkedGoto(action.table)
    else applied.push(action)
  }
  return { applied, gotoTable }
}

function checkedGoto(table: number): number {
  if (!Number.isInteger(table) || table < 0 || table > TABLE_MAX) {
    throw new OpenFlowEncodeError(`goto: there is no table ${table}; tables are 0..254`)
  }
  return table
}

/** Reads instructions up to the end of the reader. Throws OpenFlowDecodeError, or its Unsupported kind. */
export function decodeInstructions(reader: ByteReader): Action[] {
  let applied: Action[] | undefined
  let jump: Action | undefined
  while (reader.remaining > 0) {
    const type = reader.u16()
    const length = reader.u16()
    if (length < 8 || length % 8 !== 0) {
      throw new OpenFlowDecodeError(`instruction ${type} of ${length} bytes`)
    }
    const body = reader.sub(length - INSTRUCTION_HEADER_BYTES)
    const isRepeated =
      (type === OFPIT_GOTO_TABLE && jump !== undefined) ||
      (type === OFPIT_APPLY_ACTIONS && applied !== undefined)
    if (isRepeated) throw new OpenFlowDecodeError(`instruction ${type} twice`)
    if (type === OFPIT_GOTO_TABLE) {
      jump = { type: 'goto', table: decodedGoto(body.u8()) }
    } else if (type === OFPIT_APPLY_ACTIONS) {
      body.skip(4)
      applied = decodeActions(body)
    } else {
      throw new OpenFlowUnsupportedError(`instruction ${type}`)
    }
  }
  return [...(applied ?? []), ...(jump === undefined ? [] : [jump])]
}

function decodedGoto(table: number): number {
  if (table > TABLE_MAX) throw new OpenFlowDecodeError(`goto table ${table}`)
  return table
}
