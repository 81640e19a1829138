import { OpenFlowDecodeError, OpenFlowEncodeError, OpenFlowUnsupportedError } from './errors.ts'
import type { Masked } from './field-value.ts'
import { operandSpec, type FieldSpec } from './fields.ts'
import type { Bits, FieldName } from './flow.ts'
import type { OperandHeader } from './oxm.ts'

/** A run of bits of a field, checked. */
export interface Operand {
  readonly spec: FieldSpec
  readonly from: number
  readonly bitCount: number
}

/** Checks bits of a field as an operand of an action. Throws OpenFlowEncodeError. */
export function operand(bits: Bits): Operand {
  const spec = operandField(bits.field)
  const { from, to } = bits
  const sane = Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from <= to
  if (!sane || to >= spec.bits) {
    throw new OpenFlowEncodeError(`${bits.field} has no bits ${from}..${to}; it has ${spec.bits}`)
  }
  return { spec, from, bitCount: to - from + 1 }
}

/** The same, for bits that an action changes. */
export function writableOperand(bits: Bits): Operand {
  const target = operand(bits)
  requireWritable(target.spec)
  return target
}

/** The field of that name in an action. Throws OpenFlowEncodeError if there is none. */
export function operandField(field: FieldName): FieldSpec {
  const spec = operandSpec(field)
  if (spec === undefined) throw new OpenFlowEncodeError(`${String(field).slice(0, 40)} is no field`)
  return spec
}

/** Throws OpenFlowEncodeError for a field that no action may change. */
export function requireWritable(spec: FieldSpec): void {
  if (!spec.writable) throw new OpenFlowEncodeError(`${spec.name} can be matched but not changed`)
}

/** Nicira's packing of an offset and a width into 16 bits. */
export function packBits({ from, bitCount }: Operand): number {
  return (from << 6) | (bitCount - 1)
}

/** Undoes packBits for a header just read. Throws OpenFlowDecodeError or its Unsupported kind. */
export function unpackBits(packed: number, header: OperandHeader): Bits {
  return decodedBits(header, { from: packed >> 6, bitCount: (packed & 0x3f) + 1 })
}

/** Bits as read from the wire. Throws OpenFlowDecodeError or its Unsupported kind. */
export function decodedBits(
  header: OperandHeader,
  { from, bitCount }: { from: number; bitCount: number },
): Bits {
  if (header.spec === undefined) throw new OpenFlowUnsupportedError(`operand ${header.describe}`)
  if (bitCount < 1 || from + bitCount > header.spec.bits) {
    throw new OpenFlowDecodeError(`${header.spec.name} has no bits ${from}+${bitCount}`)
  }
  return { field: header.spec.name, from, to: from + bitCount - 1 }
}

/** As ovs-ofctl writes an operand: NXM_NX_REG0[], NXM_NX_REG0[4], NXM_NX_REG0[0..15]. */
export function formatOperand({ spec, from, bitCount }: Operand): string {
  if (from === 0 && bitCount === spec.declaredBits) return `${spec.subfieldName}[]`
  const to = from + bitCount - 1
  return `${spec.subfieldName}[${from === to ? from : `${from}..${to}`}]`
}

/** A run of ones in a mask and the bits of the value in it, shifted down. */
export interface Segment {
  readonly from: number
  readonly bitCount: number
  readonly value: bigint
}

/** Runs of ones in the mask, lowest first, which is the order in which Open vSwitch splits a masked change. */
export function segments({ value, mask }: Masked): readonly Segment[] {
  const found: Segment[] = []
  let from = 0
  let rest = mask
  while (rest !== 0n) {
    while ((rest & 1n) === 0n) {
      rest >>= 1n
      from += 1
    }
    let bitCount = 0
    while ((rest & 1n) !== 0n) {
      rest >>= 1n
      bitCount += 1
    }
    const ones = (1n << BigInt(bitCount)) - 1n
    found.push({ from, bitCount, value: (value >> BigInt(from)) & ones })
    from += bitCount
  }
  return found
}
