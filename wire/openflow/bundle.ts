import { ByteReader, type ByteWriter } from './bytes.ts'
import type { FlowChange } from './flow.ts'
import { writeFlowMod } from './flow-mod.ts'
import { MESSAGE_TYPE, writeMessage } from './message.ts'
import type { OpenFlowVersion } from './version.ts'

/** OFPBCT_*: steps of a bundle; each request has the reply one above it. Section 7.3.9 of OpenFlow 1.4. */
export const BUNDLE_STEP = {
  open: 0,
  openReply: 1,
  close: 2,
  closeReply: 3,
  commit: 4,
  commitReply: 5,
  discard: 6,
  discardReply: 7,
} as const

/** Atomic: packets meet all changes or none. Ordered: changes take effect in the order in which they were added. */
const OFPBF_ATOMIC_ORDERED = 3

interface Header {
  readonly version: OpenFlowVersion
  readonly xid: number
}

/** Writes OFPT_BUNDLE_CONTROL. */
export function writeBundleControl(
  writer: ByteWriter,
  { bundleId, step }: { readonly bundleId: number; readonly step: number },
  header: Header,
): void {
  writeMessage(writer, { ...header, type: MESSAGE_TYPE.bundleControl }, () => {
    writer.u32(bundleId)
    writer.u16(step)
    writer.u16(OFPBF_ATOMIC_ORDERED)
  })
}

/** Writes OFPT_BUNDLE_ADD_MESSAGE around a flow-mod; both carry the same xid. Throws OpenFlowEncodeError. */
export function writeBundleAdd(
  writer: ByteWriter,
  { bundleId, change }: { readonly bundleId: number; readonly change: FlowChange },
  header: Header,
): void {
  writeMessage(writer, { ...header, type: MESSAGE_TYPE.bundleAdd }, () => {
    writer.u32(bundleId)
    writer.zeros(2)
    writer.u16(OFPBF_ATOMIC_ORDERED)
    writeFlowMod(writer, change, header)
  })
}

export interface BundleControl {
  readonly bundleId: number
  readonly step: number
}

/** Throws OpenFlowDecodeError. */
export function decodeBundleControl(body: Uint8Array): BundleControl {
  const reader = new ByteReader(body)
  return { bundleId: reader.u32(), step: reader.u16() }
}
