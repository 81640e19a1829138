import {
  formatOperand,
  operandField,
  packBits,
  requireWritable,
  segments,
  unpackBits,
  writableOperand,
  type Operand,
} from '../bits.ts'
import type { ByteWriter } from '../bytes.ts'
import { OpenFlowDecodeError, OpenFlowEncodeError, OpenFlowUnsupportedError } from '../errors.ts'
import { formatFieldValue, hex, parseFieldValue, type Masked } from '../field-value.ts'
import { allOnes, type FieldSpec } from '../fields.ts'
import type { Action, Bits, FieldValue } from '../flow.ts'
import {
  readOperandEntry,
  readOperandHeader,
  onesOfBytes,
  writeOxmEntry,
  writeOxmHeader,
} from '../oxm.ts'
import { VERSION_15, type OpenFlowVersion } from '../version.ts'
import {
  writeNiciraAction,
  writeStandardAction,
  type ActionCodec,
  type ActionDecoder,
} from './codec.ts'

/**
 * Two ways to say "these bits become that constant". The switch does not keep them apart: OpenFlow 1.5 has only
 * set_field and reports every load as one, 1.4 cannot mask set_field and reports such a one as loads. Hence one
 * canonical form for both: the runs of bits, lowest first.
 */

export type SetFieldAction = Extract<Action, { type: 'setField' }>
export type LoadAction = Extract<Action, { type: 'load' }>

const OFPAT_SET_FIELD = 25
const NXAST_REG_LOAD = 7
const NXAST_REG_LOAD2 = 33

function target(action: SetFieldAction): { spec: FieldSpec; masked: Masked } {
  const spec = operandField(action.field)
  requireWritable(spec)
  // Any field may be changed in part, also one that may be matched only whole.
  const masked = parseFieldValue({ ...spec, maskable: true }, action.value)
  if (masked.mask === 0n) throw new OpenFlowEncodeError(`set_field of no bits of ${spec.name}`)
  return { spec, masked }
}

function canonicalSegments(spec: FieldSpec, masked: Masked): string {
  return segments(masked)
    .map(({ from, bitCount, value }) => `${spec.name}[${from}+${bitCount}]=${value.toString(16)}`)
    .join(',')
}

function writeSetField(
  writer: ByteWriter,
  spec: FieldSpec,
  masked: Masked,
  version: OpenFlowVersion,
): void {
  writeStandardAction(writer, OFPAT_SET_FIELD, () => {
    writeOxmEntry(writer, version === VERSION_15 ? spec.oxm15 : spec.oxm14, spec.bytes, masked)
  })
}

function writeLoad(writer: ByteWriter, to: Operand, value: bigint): void {
  writeNiciraAction(writer, NXAST_REG_LOAD, () => {
    writer.u16(packBits(to))
    writeOxmHeader(writer, to.spec.nxm, to.spec.bytes)
    writer.u64(value)
  })
}

function formatLoad(to: Operand, value: bigint): string {
  return `load:${hex(value)}->${formatOperand(to)}`
}

export const setFieldCodec: ActionCodec<SetFieldAction> = {
  encode(action, writer, version) {
    const { spec, masked } = target(action)
    const isWhole = masked.mask === allOnes(spec)
    if (isWhole || version === VERSION_15) {
      const mask = isWhole ? onesOfBytes(spec.bytes) : masked.mask
      writeSetField(writer, spec, { value: masked.value, mask }, version)
    } else {
      for (const { from, bitCount, value } of segments(masked)) {
        writeLoad(writer, { spec, from, bitCount }, value)
      }
    }
  },

  format(action) {
    const { spec, masked } = target(action)
    if (spec.maskable || masked.mask === allOnes(spec)) {
      return `set_field:${formatFieldValue(spec, masked)}->${spec.ofctlName}`
    }
    // ovs-ofctl masks in set_field only what may be masked in a match; load knows no such difference.
    return segments(masked)
      .map(({ from, bitCount, value }) => formatLoad({ spec, from, bitCount }, value))
      .join(',')
  },

  canonical(action) {
    const { spec, masked } = target(action)
    return canonicalSegments(spec, masked)
  },
}

function loaded(action: LoadAction): { to: Operand; value: bigint } {
  const to = writableOperand(action.to)
  const value = integer(action.value)
  if (value === undefined || value < 0n || value >> BigInt(to.bitCount) !== 0n) {
    throw new OpenFlowEncodeError(
      `load: ${action.value} does not fit the ${to.bitCount} bits of ${to.spec.name}`,
    )
  }
  return { to, value }
}

function integer(value: number | bigint): bigint | undefined {
  if (typeof value === 'bigint') return value
  return Number.isSafeInteger(value) ? BigInt(value) : undefined
}

export const loadCodec: ActionCodec<LoadAction> = {
  encode(action, writer, version) {
    const { to, value } = loaded(action)
    if (version === VERSION_15) {
      const shift = BigInt(to.from)
      const ones = (1n << BigInt(to.bitCount)) - 1n
      writeSetField(writer, to.spec, { value: value << shift, mask: ones << shift }, version)
    } else {
      writeLoad(writer, to, value)
    }
  },

  format(action) {
    const { to, value } = loaded(action)
    return formatLoad(to, value)
  },

  canonical(action) {
    const { to, value } = loaded(action)
    const shift = BigInt(to.from)
    const ones = (1n << BigInt(to.bitCount)) - 1n
    return canonicalSegments(to.spec, { value: value << shift, mask: ones << shift })
  },
}

function setFieldOf(spec: FieldSpec, masked: Masked): SetFieldAction {
  const ones = allOnes(spec)
  if ((masked.value & ~ones) !== 0n) {
    throw new OpenFlowDecodeError(`set_field of ${spec.name} with bits it does not have`)
  }
  const mask = masked.mask & ones
  if (mask === 0n) throw new OpenFlowDecodeError(`set_field of no bits of ${spec.name}`)
  return { type: 'setField', field: spec.name, value: plain(spec, { value: masked.value, mask }) }
}

function plain(spec: FieldSpec, { value, mask }: Masked): FieldValue {
  if (mask === allOnes(spec)) return spec.bits <= 32 ? Number(value) : value
  return spec.bits <= 32 ? { value: Number(value), mask: Number(mask) } : { value, mask }
}

function requireDecodedWritable(spec: FieldSpec): void {
  if (!spec.writable) throw new OpenFlowDecodeError(`an action changes ${spec.name}`)
}

function decodeSetField(body: Parameters<ActionDecoder['decode']>[0]): SetFieldAction {
  const { spec, masked, describe } = readOperandEntry(body)
  if (spec === undefined) throw new OpenFlowUnsupportedError(`set_field of ${describe}`)
  requireDecodedWritable(spec)
  return setFieldOf(spec, masked)
}

export const setFieldDecoders: readonly ActionDecoder[] = [
  { number: { standard: OFPAT_SET_FIELD }, decode: decodeSetField },
  { number: { nicira: NXAST_REG_LOAD2 }, decode: decodeSetField },
  {
    number: { nicira: NXAST_REG_LOAD },
    decode(body) {
      const packed = body.u16()
      const header = readOperandHeader(body)
      const value = body.u64()
      const to: Bits = unpackBits(packed, header)
      if (header.spec !== undefined) requireDecodedWritable(header.spec)
      if (value >> BigInt(to.to - to.from + 1) !== 0n) {
        throw new OpenFlowDecodeError(`load of a value wider than ${to.to - to.from + 1} bits`)
      }
      return { type: 'load', value: to.to - to.from < 32 ? Number(value) : value, to }
    },
  },
]
