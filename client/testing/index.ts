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
  sampleHost,
  sampleId,
  sampleImage,
  sampleNetwork,
  sampleOperation,
  samplePort,
  sampleProject,
  sampleSet,
  sampleSubnet,
  SAMPLE_TIME_MS,
  sampleToken,
} from './samples.ts'
export { type ServerSocket, type SocketMessage } from './web-socket.ts'
