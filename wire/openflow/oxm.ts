import type { ByteReader, ByteWriter } from './bytes.ts'
import { OpenFlowDecodeError } from './errors.ts'
import type { Masked } from './field-value.ts'
import { allOnes, fieldByOxm, operandByOxm, type FieldSpec, type Oxm } from './fields.ts'

/**
 * OXM: a 32-bit header (class 16, field 7, has-mask 1, length 8), for class 0xffff a 32-bit experimenter, then the value
 * and, where the header says so, a mask of the same size. Section 7.2.3.2 of OpenFlow 1.4.
 */

export const OXM_VLAN_VID: Oxm = { class: 0x8000, field: 6 }
export const OXM_VLAN_PCP: Oxm = { class: 0x8000, field: 7 }

const CLASS_EXPERIMENTER = 0xffff
const EXPERIMENTER_BYTES = 4
/** The widest field of OpenFlow is an IPv6 address. */
const PAYLOAD_BYTES_MAX = 16

function writeHeader(writer: ByteWriter, oxm: Oxm, hasMask: boolean, payloadBytes: number): void {
  const extra = oxm.experimenter === undefined ? 0 : EXPERIMENTER_BYTES
  writer.u16(oxm.class)
  writer.u8((oxm.field << 1) | (hasMask ? 1 : 0))
  writer.u8(payloadBytes + extra)
  if (oxm.experimenter !== undefined) writer.u32(oxm.experimenter)
}

/** A header that names a field without a value, as copy_field and move want it. */
export function writeOxmHeader(writer: ByteWriter, oxm: Oxm, valueBytes: number): void {
  writeHeader(writer, oxm, false, valueBytes)
}

/** A value as it goes out in a match: a mask over all bits of the field becomes one over all bytes, which is no mask at all. */
export function wireMasked(spec: FieldSpec, { value, mask }: Masked): Masked {
  const isWhole = mask === allOnes(spec) && !spec.alwaysMasked
  return { value, mask: isWhole ? onesOfBytes(spec.bytes) : mask }
}

/** A mask that is no mask at all. */
export function onesOfBytes(byteCount: number): bigint {
  return (1n << BigInt(byteCount * 8)) - 1n
}

/** A field with its value; the mask is written only if it is not all ones over the `valueBytes`. */
export function writeOxmEntry(
  writer: ByteWriter,
  oxm: Oxm,
  valueBytes: number,
  { value, mask }: Masked,
): void {
  const hasMask = mask !== onesOfBytes(valueBytes)
  writeHeader(writer, oxm, hasMask, hasMask ? valueBytes * 2 : valueBytes)
  writer.uint(value, valueBytes)
  if (hasMask) writer.uint(mask, valueBytes)
}

interface Header {
  readonly oxm: Oxm
  readonly hasMask: boolean
  readonly payloadBytes: number
  readonly describe: string
}

function readHeader(reader: ByteReader): Header {
  const oxmClass = reader.u16()
  const fieldAndMask = reader.u8()
  const length = reader.u8()
  const field = fieldAndMask >> 1
  const hasMask = (fieldAndMask & 1) !== 0
  if (oxmClass !== CLASS_EXPERIMENTER) {
    return {
      oxm: { class: oxmClass, field },
      hasMask,
      payloadBytes: length,
      describe: `0x${oxmClass.toString(16)}:${field}`,
    }
  }
  if (length < EXPERIMENTER_BYTES)
    throw new OpenFlowDecodeError(`OXM experimenter of ${length} bytes`)
  const experimenter = reader.u32()
  return {
    oxm: { class: oxmClass, field, experimenter },
    hasMask,
    payloadBytes: length - EXPERIMENTER_BYTES,
    describe: `experimenter 0x${experimenter.toString(16)}:${field}`,
  }
}

export interface OxmEntry {
  readonly oxm: Oxm
  /** Absent if the field is not in our table. */
  readonly spec: FieldSpec | undefined
  /** Over the payload's bytes, not the field's bits; a mask of all ones if there was none. */
  readonly masked: Masked
  readonly describe: string
}

/** Reads an entry of a match. Throws OpenFlowDecodeError if it is cut or its length contradicts the field. */
export function readOxmEntry(reader: ByteReader): OxmEntry {
  return readEntry(reader, fieldByOxm)
}

/** The same for an operand of an action, where in_port is another field. */
export function readOperandEntry(reader: ByteReader): OxmEntry {
  return readEntry(reader, operandByOxm)
}

function readEntry(reader: ByteReader, find: (oxm: Oxm) => FieldSpec | undefined): OxmEntry {
  const { oxm, hasMask, payloadBytes, describe } = readHeader(reader)
  const valueBytes = hasMask ? payloadBytes / 2 : payloadBytes
  const sane = Number.isInteger(valueBytes) && valueBytes >= 1 && valueBytes <= PAYLOAD_BYTES_MAX
  const spec = find(oxm)
  if (!sane || (spec !== undefined && spec.bytes !== valueBytes)) {
    throw new OpenFlowDecodeError(`OXM ${describe} with ${payloadBytes} bytes`)
  }
  const value = readBig(reader, valueBytes)
  const ones = onesOfBytes(valueBytes)
  const mask = hasMask ? readBig(reader, valueBytes) : ones
  if ((value & ~mask) !== 0n)
    throw new OpenFlowDecodeError(`OXM ${describe} with value outside its mask`)
  return { oxm, spec, masked: { value, mask }, describe }
}

function readBig(reader: ByteReader, byteCount: number): bigint {
  // 8 covers all our fields; wider ones are read only to be stepped over or refused.
  if (byteCount <= 6 || byteCount === 8) return reader.uint(byteCount)
  return BigInt(`0x${reader.bytes(byteCount).toString('hex')}`)
}

export interface OperandHeader {
  readonly spec: FieldSpec | undefined
  readonly describe: string
}

/** Reads a header that names an operand. */
export function readOperandHeader(reader: ByteReader): OperandHeader {
  const { oxm, describe } = readHeader(reader)
  return { spec: operandByOxm(oxm), describe }
}
