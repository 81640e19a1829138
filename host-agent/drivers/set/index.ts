export { DockerSetDriver, type DockerSetDriverOptions } from './docker/docker-set-driver.ts'
export type { FakeExecution, FakeProgram } from './fake/fake-programs.ts'
export {
  FakeSetDriver,
  FakeSetHost,
  type FakeCall,
  type FakeSetDriverOptions,
} from './fake/fake-set-driver.ts'
export type {
  ExecRequest,
  ExecStream,
  FoundContainer,
  FoundSet,
  ImageReference,
  LogEntry,
  LogRequest,
  OutputChunk,
  ProbeResult,
  RegistryToken,
  SetContainerSpec,
  SetDriver,
  SetEvent,
  SetInterfaceSpec,
  SetSpec,
  Subscription,
} from './set-driver.ts'
export { checkSpec, setSpecHash } from './spec-rules.ts'
