import { OpenFlowEncodeError, OpenFlowUnsupportedError } from '../errors.ts'
import type { Action } from '../flow.ts'
import { RESERVED_PORTS, formatPort, port16, port32 } from '../ports.ts'
import { writeNiciraAction, type ActionCodec, type ActionDecoder } from './codec.ts'

export type ResubmitAction = Extract<Action, { type: 'resubmit' }>

const NXAST_RESUBMIT = 1
const NXAST_RESUBMIT_TABLE = 14

/** OFPP_IN_PORT in 16 bits: look up with the packet's own port. */
const OWN_PORT = port16(RESERVED_PORTS.inPort)
/** "The table that is running." */
const SAME_TABLE = 255

function portOf(action: ResubmitAction): number {
  return action.inPort === undefined ? OWN_PORT : port16(action.inPort)
}

function tableOf(action: ResubmitAction): number {
  const { table } = action
  if (!Number.isInteger(table) || table < 0 || table > SAME_TABLE) {
    throw new OpenFlowEncodeError(`resubmit: there is no table ${table}`)
  }
  if (table === SAME_TABLE && portOf(action) === OWN_PORT) {
    throw new OpenFlowEncodeError('resubmit: the same port in the same table has no end')
  }
  return table
}

export const resubmitCodec: ActionCodec<ResubmitAction> = {
  encode(action, writer) {
    const table = tableOf(action)
    writeNiciraAction(writer, NXAST_RESUBMIT_TABLE, () => {
      writer.u16(portOf(action))
      writer.u8(table)
      writer.zeros(3)
    })
  },

  format(action) {
    const table = tableOf(action)
    const port = portOf(action)
    const portText = port === OWN_PORT ? '' : formatPort(port32(port))
    if (table === SAME_TABLE) return `resubmit:${portText}`
    return `resubmit(${portText},${table})`
  },

  canonical(action) {
    return resubmitCodec.format(action)
  },
}

function decoded(port: number, table: number): ResubmitAction {
  if (port === OWN_PORT && table === SAME_TABLE) {
    throw new OpenFlowUnsupportedError('resubmit to the same port in the same table')
  }
  return port === OWN_PORT
    ? { type: 'resubmit', table }
    : { type: 'resubmit', table, inPort: port32(port) }
}

export const resubmitDecoders: readonly ActionDecoder[] = [
  {
    number: { nicira: NXAST_RESUBMIT },
    decode: (body) => decoded(body.u16(), SAME_TABLE),
  },
  {
    number: { nicira: NXAST_RESUBMIT_TABLE },
    decode(body) {
      const port = body.u16()
      return decoded(port, body.u8())
    },
  },
]
