export { closeCodes } from './close-codes.ts'
export { databaseHostCommands } from './host-commands.ts'
export { createHostSessions, type HostSessions, type HostSessionsDeps } from './host-sessions.ts'
export {
  type HostChannel,
  type HostCommands,
  type HostEvents,
  type HostIdentity,
  type HostMembership,
  type HostPresence,
  type HostReport,
  type StreamFrame,
  type StreamSocket,
} from './needs.ts'
export { forOwnSets } from './image-tokens.ts'
export { STREAM_PATH, type StreamAsked, type StreamBroker } from './streams.ts'
