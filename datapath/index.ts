export {
  hashObjectId,
  packCookie,
  ROUND_MAX,
  unpackCookie,
  type Cookie,
  type FeatureName,
  type ObjectKind,
} from './cookies.ts'
export { diffAgainstSwitch, diffFlows } from './diff.ts'
export { pipeline, tableNames, type Stage, type Table, type TableName } from './pipeline.ts'
export { compile, compileChange, diffPrograms, FlowProgram } from './program.ts'
export {
  SliceError,
  type HostTunnel,
  type LocalPort,
  type NetworkSlice,
  type ObjectKey,
  type RemotePort,
  type SliceChange,
  type SliceNetwork,
  type SliceProblem,
  type SliceSubnet,
} from './slice.ts'
