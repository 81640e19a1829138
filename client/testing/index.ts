export { testClock } from './clock.ts'
export {
  AnsweredItself,
  startContractServer,
  type ContractServer,
  type Handlers,
  type ReceivedCall,
} from './contract-server.ts'
export {
  endedOperation,
  sampleAuditEntry,
  sampleHost,
  sampleId,
  sampleImage,
  sampleMember,
  sampleNetwork,
  sampleOperation,
  samplePort,
  sampleProject,
  sampleQuota,
  sampleSet,
  sampleSubnet,
  SAMPLE_TIME_MS,
  sampleToken,
} from './samples.ts'
export { type ServerSocket, type SocketMessage } from './web-socket.ts'
