import type { ByteReader, ByteWriter } from '../bytes.ts'
import type { Action } from '../flow.ts'
import type { OpenFlowVersion } from '../version.ts'

/**
 * What there is to know about one kind of action. To add a kind: its member of `Action` in flow.ts, a file here with its
 * codec and its decoders, and both in the two lists of ../actions.ts.
 */
export interface ActionCodec<A extends Action> {
  /** Writes one or more OpenFlow actions. Throws OpenFlowEncodeError. */
  readonly encode: (action: A, writer: ByteWriter, version: OpenFlowVersion) => void
  /** ovs-ofctl syntax. Throws OpenFlowEncodeError. */
  readonly format: (action: A) => string
  /** Equal for two actions exactly if the switch cannot tell them apart. Throws OpenFlowEncodeError. */
  readonly canonical: (action: A) => string
}

/** Reads what lies between the header of an action and its end; the reader ends with the action. */
export interface ActionDecoder {
  readonly number: ActionNumber
  readonly decode: (body: ByteReader) => Action
}

/** OFPAT_* or, in the space of Nicira's experimenter, NXAST_*. */
type ActionNumber = { readonly standard: number } | { readonly nicira: number }

export const OFPAT_EXPERIMENTER = 0xffff
export const EXPERIMENTER_NICIRA = 0x0000_2320

/** One action of the standard: type, length, body, padded to 8 bytes. */
export function writeStandardAction(
  writer: ByteWriter,
  type: number,
  body: (writer: ByteWriter) => void,
): void {
  const start = writer.length
  writer.u16(type)
  writer.u16(0)
  body(writer)
  writer.align(8, start)
  writer.patchLength(start + 2, start)
}

/** One action of Nicira's: type, length, experimenter, subtype, body, padded to 8 bytes. */
export function writeNiciraAction(
  writer: ByteWriter,
  subtype: number,
  body: (writer: ByteWriter) => void,
): void {
  writeStandardAction(writer, OFPAT_EXPERIMENTER, () => {
    writer.u32(EXPERIMENTER_NICIRA)
    writer.u16(subtype)
    body(writer)
  })
}
