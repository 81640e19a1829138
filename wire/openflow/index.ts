export type {
  Action,
  Bits,
  FieldName,
  FieldValue,
  Flow,
  FlowChange,
  Match,
  ReservedPort,
} from './flow.ts'
export {
  OpenFlowClosedError,
  OpenFlowDecodeError,
  OpenFlowEncodeError,
  OpenFlowError,
  OpenFlowLimitError,
  OpenFlowTimeoutError,
  OpenFlowUnsupportedError,
  OpenFlowVersionError,
} from './errors.ts'
export { formatActions, formatFlow, formatMatch, type FormatOptions } from './format.ts'
export { actionsKey, flowKey, flowsEqual, type FlowIdentity } from './identity.ts'
export { matchKey } from './match-key.ts'
export { FIELDS, fieldSpec, type FieldSpec } from './fields.ts'
export { PORT_ANY, RESERVED_PORTS } from './ports.ts'
export { OpenFlowRemoteError, type Refusal } from './error-message.ts'
export {
  BUNDLES_QUEUED_MAX,
  DUMP_ENTRIES_MAX,
  OpenFlowClient,
  type OpenFlowClientOptions,
} from './client.ts'
export { connectOpenFlow, type ConnectOptions } from './connect.ts'
export {
  BUNDLE_FAILURES_MAX,
  OpenFlowBundleError,
  type BundleFailure,
} from './bundle-transaction.ts'
export { REQUESTS_PENDING_MAX, WRITE_BUFFER_BYTES_MAX, type RequestOptions } from './channel.ts'
export type { AsyncEvent } from './async-config.ts'
export type { OpenFlowEvents } from './events.ts'
export type { SwitchFeatures } from './features.ts'
export type { FlowDump, FlowFilter, ForeignFlow, InstalledFlow } from './flow-stats.ts'
export type { FlowRemoved, FlowRemovedReason } from './flow-removed.ts'
export type { FlowCounters } from './oxs.ts'
export type { ListedAction } from './actions.ts'
export type { Continuation, PacketIn } from './packet-in.ts'
export type { PacketOut } from './packet-out.ts'
export type { PortDescription, PortStats, PortStatus } from './port-messages.ts'
export type { Timers } from './timers.ts'
export { VERSION_14, VERSION_15, type OpenFlowVersion } from './version.ts'
