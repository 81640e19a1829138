export { OvsdbClient, type CallOptions, type OvsdbClientOptions } from './client.ts'
export {
  numberOf,
  optionalNumberOf,
  optionalTextOf,
  textMapOf,
  textOf,
  textsOf,
  uuidsOf,
} from './columns.ts'
export { connectOvsdb, OvsdbConnection, type ConnectOptions } from './connection.ts'
export { OvsdbError, type OvsdbErrorKind, type OvsdbErrorParts } from './errors.ts'
export {
  defaultJsonRpcLimits,
  JsonRpcPeer,
  type JsonRpcLimits,
  type JsonRpcPeerOptions,
  type RequestOptions,
} from './json-rpc.ts'
export {
  Replica,
  type ReplicaListener,
  type ReplicaTables,
  type Row,
  type RowChange,
} from './replica.ts'
export { parseSchema, type AtomKind, type ColumnType, type DatabaseSchema } from './schema.ts'
export { systemTimers, type Timers } from './timers.ts'
export {
  abort,
  assertLock,
  comment,
  deleteRows,
  everyRow,
  insert,
  mutate,
  select,
  theRow,
  update,
  wait,
  type Comparison,
  type Condition,
  type Mutation,
  type Mutator,
  type Operation,
  type OperationResult,
  type WriteRow,
} from './transact.ts'
export { callUnixctl, type UnixctlOptions } from './unixctl.ts'
export {
  isUuid,
  refer,
  referNamed,
  toUuid,
  type Atom,
  type NamedReference,
  type Uuid,
  type UuidReference,
  type Value,
  type WriteAtom,
  type WriteValue,
} from './value.ts'
