import { decodedBits, formatOperand, operand, writableOperand, type Operand } from '../bits.ts'
import { OpenFlowDecodeError, OpenFlowEncodeError } from '../errors.ts'
import type { Action, Bits } from '../flow.ts'
import { readOperandHeader, writeOxmHeader, type OperandHeader } from '../oxm.ts'
import { VERSION_15 } from '../version.ts'
import {
  writeNiciraAction,
  writeStandardAction,
  type ActionCodec,
  type ActionDecoder,
} from './codec.ts'

export type MoveAction = Extract<Action, { type: 'move' }>

const OFPAT_COPY_FIELD = 28
const NXAST_REG_MOVE = 6

function ends(action: MoveAction): { from: Operand; to: Operand } {
  const from = operand(action.from)
  const to = writableOperand(action.to)
  if (from.bitCount !== to.bitCount) {
    throw new OpenFlowEncodeError(
      `move: ${from.bitCount} bits of ${from.spec.name} do not fit ${to.bitCount} of ${to.spec.name}`,
    )
  }
  return { from, to }
}

export const moveCodec: ActionCodec<MoveAction> = {
  encode(action, writer, version) {
    const { from, to } = ends(action)
    if (version === VERSION_15) {
      writeStandardAction(writer, OFPAT_COPY_FIELD, () => {
        writer.u16(to.bitCount)
        writer.u16(from.from)
        writer.u16(to.from)
        writer.zeros(2)
        writeOxmHeader(writer, from.spec.oxm15, from.spec.bytes)
        writeOxmHeader(writer, to.spec.oxm15, to.spec.bytes)
      })
      return
    }
    writeNiciraAction(writer, NXAST_REG_MOVE, () => {
      writer.u16(to.bitCount)
      writer.u16(from.from)
      writer.u16(to.from)
      writeOxmHeader(writer, from.spec.nxm, from.spec.bytes)
      writeOxmHeader(writer, to.spec.nxm, to.spec.bytes)
    })
  },

  format(action) {
    const { from, to } = ends(action)
    return `move:${formatOperand(from)}->${formatOperand(to)}`
  },

  canonical(action) {
    return moveCodec.format(action)
  },
}

interface Widths {
  readonly bitCount: number
  readonly fromOffset: number
  readonly toOffset: number
}

function decoded(widths: Widths, source: OperandHeader, sink: OperandHeader): MoveAction {
  const { bitCount } = widths
  const from: Bits = decodedBits(source, { from: widths.fromOffset, bitCount })
  const to: Bits = decodedBits(sink, { from: widths.toOffset, bitCount })
  if (sink.spec?.writable === false) throw new OpenFlowDecodeError(`an action changes ${to.field}`)
  return { type: 'move', from, to }
}

export const moveDecoders: readonly ActionDecoder[] = [
  {
    number: { standard: OFPAT_COPY_FIELD },
    decode(body) {
      const widths = { bitCount: body.u16(), fromOffset: body.u16(), toOffset: body.u16() }
      body.skip(2)
      return decoded(widths, readOperandHeader(body), readOperandHeader(body))
    },
  },
  {
    number: { nicira: NXAST_REG_MOVE },
    decode(body) {
      const widths = { bitCount: body.u16(), fromOffset: body.u16(), toOffset: body.u16() }
      return decoded(widths, readOperandHeader(body), readOperandHeader(body))
    },
  },
]
