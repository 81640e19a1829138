export { DockerClient, type DockerClientOptions } from './client.ts'
export {
  Containers,
  type Container,
  type ContainerRequest,
  type ContainerStatus,
  type ContainerSummary,
  type HostConfig,
  type ResourceLimits,
} from './containers.ts'
export { DockerError, isDockerError, type DockerErrorKind } from './errors.ts'
export type { EngineEvent, EventsRequest, FollowedEvent, FollowRequest } from './events.ts'
export { Execs, type ExecConnection, type ExecRequest, type ExecState } from './exec.ts'
export type { Filters } from './filters.ts'
export { decodeOutput, FRAME_BYTES_MAX, FrameDecoder, type OutputChunk } from './frames.ts'
export {
  Images,
  type Image,
  type ImageProgress,
  type PullRequest,
  type RegistryAuth,
} from './images.ts'
export type { LogEntry, LogRequest } from './logs.ts'
export type { EngineState, EngineVersion } from './system.ts'
export { API_VERSION, DEFAULT_LIMITS, type CallOptions, type TransportLimits } from './transport.ts'
