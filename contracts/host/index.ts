export {
  contractOfSessionPath,
  contractOfStreamPath,
  HOST_CONTRACT_LATEST,
  HOST_CONTRACT_OLDEST,
  hostContractVersions,
  hostSessionPath,
  hostStreamPath,
  type HostContract,
} from './versions.ts'
export { hostCodec, type HostCodec, type HostParsed } from './codec.ts'
export {
  certificateReply,
  formatJoinToken,
  imageTokenReply,
  imageTokenRequest,
  joinRequest,
  parseJoinToken,
  renewRequest,
  type CertificateReply,
  type JoinToken,
} from './v1/calls.ts'
export { foundSet, type FoundContainer, type FoundReason, type FoundSet } from './v1/found.ts'
export {
  FOUND_SETS_PER_MESSAGE_MAX,
  HEARTBEAT_MISSED_MAX,
  HEARTBEAT_PERIOD_MS,
  HOST_MESSAGE_BYTES_MAX,
  LEASE_MS,
  WANTED_ITEMS_PER_MESSAGE_MAX,
  type FoundReport,
  type WantedUpdate,
} from './v1/messages.ts'
export {
  wantedItem,
  wantedKey,
  type WantedContainer,
  type WantedItem,
  type WantedKind,
  type WantedNetwork,
  type WantedPort,
  type WantedSet,
} from './v1/wanted.ts'
export { type StreamRequest } from './v2/calls.ts'
export {
  agentMessage,
  PROBE_TARGETS_MAX,
  PROBE_TIMEOUT_MAX_MS,
  PROBE_TIMEOUT_MIN_MS,
  probeAnswer,
  probeResult,
  probeTarget,
  serverMessage,
  type AgentMessage,
  type Hello,
  type Probe,
  type ProbeAnswer,
  type ProbeReport,
  type ProbeResult,
  type ProbeTarget,
  type ServerMessage,
  type Welcome,
} from './v2/messages.ts'
