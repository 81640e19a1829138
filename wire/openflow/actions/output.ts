import { formatOperand, operand, packBits, unpackBits } from '../bits.ts'
import { OpenFlowDecodeError, OpenFlowEncodeError } from '../errors.ts'
import type { Action } from '../flow.ts'
import { readOperandHeader, writeOxmHeader } from '../oxm.ts'
import { RESERVED_PORTS, formatPort, isPort, port32, portName, portNumber } from '../ports.ts'
import {
  writeNiciraAction,
  writeStandardAction,
  type ActionCodec,
  type ActionDecoder,
} from './codec.ts'

export type OutputAction = Extract<Action, { type: 'output' }>

const OFPAT_OUTPUT = 0
const NXAST_OUTPUT_REG = 15
const NXAST_OUTPUT_REG2 = 32

/** OFPCML_NO_BUFFER: the whole packet. */
export const WHOLE_PACKET = 0xffff

/** How many bytes of the packet go along; it matters only where the packet may end up at a controller. */
function maxLength(action: OutputAction): number {
  const mayReachController =
    typeof action.port === 'object' || portNumber(action.port) === RESERVED_PORTS.controller
  if (!mayReachController) return 0
  const length = action.maxLength ?? WHOLE_PACKET
  if (!Number.isInteger(length) || length < 0 || length > WHOLE_PACKET) {
    throw new OpenFlowEncodeError(`output: maxLength ${length} is not in 0..65535`)
  }
  return length
}

export const outputCodec: ActionCodec<OutputAction> = {
  encode(action, writer) {
    const { port } = action
    if (typeof port !== 'object') {
      writeStandardAction(writer, OFPAT_OUTPUT, () => {
        writer.u32(portNumber(port))
        writer.u16(maxLength(action))
        writer.zeros(6)
      })
      return
    }
    const source = operand(port)
    writeNiciraAction(writer, NXAST_OUTPUT_REG, () => {
      writer.u16(packBits(source))
      writeOxmHeader(writer, source.spec.nxm, source.spec.bytes)
      writer.u16(maxLength(action))
      writer.zeros(6)
    })
  },

  format(action) {
    if (typeof action.port === 'object') return `output:${formatOperand(operand(action.port))}`
    const port = portNumber(action.port)
    if (port === RESERVED_PORTS.controller) return `CONTROLLER:${maxLength(action)}`
    return typeof portName(port) === 'string' ? formatPort(port) : `output:${port}`
  },

  canonical(action) {
    return `${outputCodec.format(action)}:${maxLength(action)}`
  },
}

/** An action without maxLength where it says what we would say ourselves. */
function decoded(port: OutputAction['port'], length: number): OutputAction {
  const plain: OutputAction = { type: 'output', port }
  return maxLength(plain) === length || maxLength(plain) === 0
    ? plain
    : { ...plain, maxLength: length }
}

export const outputDecoders: readonly ActionDecoder[] = [
  {
    number: { standard: OFPAT_OUTPUT },
    decode(body) {
      const port = body.u32()
      const length = body.u16()
      if (!isPort(port)) throw new OpenFlowDecodeError(`output to port ${port}`)
      return decoded(portName(port32(port)), length)
    },
  },
  {
    number: { nicira: NXAST_OUTPUT_REG },
    decode(body) {
      const packed = body.u16()
      const header = readOperandHeader(body)
      return decoded(unpackBits(packed, header), body.u16())
    },
  },
  {
    number: { nicira: NXAST_OUTPUT_REG2 },
    decode(body) {
      const packed = body.u16()
      const length = body.u16()
      return decoded(unpackBits(packed, readOperandHeader(body)), length)
    },
  },
]
