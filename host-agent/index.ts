/** Public face, for tests, simulation and scale: hosts that are made in the process of their caller. */
export {
  createAgent,
  type Agent,
  type AgentDeps,
  type AgentSettings,
  type HostResources,
} from './agent.ts'
export { agentConfig, type AgentConfig } from './config.ts'
export { readIdentity, type Identity } from './join/identity.ts'
export { joinRegion, renewIdentity, type JoinOptions } from './join/join.ts'
export { serverImageTokens } from './join/image-tokens.ts'
export type { ChannelHandlers, ServerChannel, ServerConnector } from './session/channel.ts'
export { webSocketConnector, webSocketStreamDialer } from './session/web-socket.ts'
export { FakeUnderlay } from './probes/fake-underlay.ts'
export type { StreamDialer, StreamHandlers, StreamSocket } from './streams/stream-socket.ts'
export { SimulatedFleet } from './simulated/simulated-fleet.ts'
export {
  createSimulatedHost,
  SimulatedHost,
  type SimulatedHostOptions,
} from './simulated/simulated-host.ts'
export { MemoryDisk, openSqliteDisk, type Disk } from './wanted/disk.ts'
