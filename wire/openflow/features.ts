import { ByteReader } from './bytes.ts'

/** What a switch says of itself, OFPT_FEATURES_REPLY. */
export interface SwitchFeatures {
  readonly datapathId: bigint
  readonly tableCount: number
  /** OFPC_* bits. */
  readonly capabilities: number
}

/** Throws OpenFlowDecodeError. */
export function decodeFeatures(body: Uint8Array): SwitchFeatures {
  const reader = new ByteReader(body)
  const datapathId = reader.u64()
  reader.skip(4)
  const tableCount = reader.u8()
  reader.skip(3)
  return { datapathId, tableCount, capabilities: reader.u32() }
}
