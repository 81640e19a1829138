export { HOST_CONTRACT_LATEST, HOST_CONTRACT_OLDEST, hostContractVersions } from './versions.ts'
export {
  certificateReply,
  formatJoinToken,
  imageTokenReply,
  imageTokenRequest,
  joinRequest,
  parseJoinToken,
  renewRequest,
  streamRequest,
  type CertificateReply,
  type JoinToken,
  type StreamRequest,
} from './v1/calls.ts'
export { foundSet, type FoundContainer, type FoundReason, type FoundSet } from './v1/found.ts'
export {
  agentMessage,
  FOUND_SETS_PER_MESSAGE_MAX,
  HEARTBEAT_MISSED_MAX,
  HEARTBEAT_PERIOD_MS,
  HOST_MESSAGE_BYTES_MAX,
  LEASE_MS,
  serverMessage,
  WANTED_ITEMS_PER_MESSAGE_MAX,
  type AgentMessage,
  type FoundReport,
  type Hello,
  type ServerMessage,
  type WantedUpdate,
  type Welcome,
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
export {
  PROBE_TARGETS_MAX,
  PROBE_TIMEOUT_MAX_MS,
  type Probe,
  type ProbeAnswer,
  type ProbeReport,
} from './v2/messages.ts'
