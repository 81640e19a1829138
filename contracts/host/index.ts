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
export { type FoundContainer, type FoundReason } from './v1/found.ts'
export {
  HEARTBEAT_MISSED_MAX,
  HEARTBEAT_PERIOD_MS,
  HOST_MESSAGE_BYTES_MAX,
  LEASE_MS,
  WANTED_ITEMS_PER_MESSAGE_MAX,
} from './v1/messages.ts'
export { type WantedContainer, type WantedNetwork, type WantedSet } from './v1/wanted.ts'
export { type StreamRequest } from './v2/calls.ts'
export {
  PROBE_TARGETS_MAX,
  PROBE_TIMEOUT_MAX_MS,
  PROBE_TIMEOUT_MIN_MS,
  probeAnswer,
  probeResult,
  probeTarget,
  type Probe,
  type ProbeAnswer,
  type ProbeReport,
  type ProbeResult,
  type ProbeTarget,
  type Welcome,
} from './v2/messages.ts'
export {
  foundInstance,
  foundSet,
  type FoundInstance,
  type FoundMachine,
  type FoundSet,
  type FoundVm,
} from './v3/found.ts'
export {
  agentMessage,
  FOUND_PER_MESSAGE_MAX,
  serverMessage,
  type AgentMessage,
  type FoundReport,
  type Hello,
  type ServerMessage,
  type WantedUpdate,
} from './v3/messages.ts'
export {
  wantedItem,
  wantedKey,
  type WantedItem,
  type WantedKind,
  type WantedPort,
  type WantedVm,
} from './v3/wanted.ts'
