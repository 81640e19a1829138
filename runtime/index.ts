export { Batcher, type BatcherOptions } from './batcher.ts'
export { openLog, silentLog, type Log, type LogFields, type LogOptions } from './process/log.ts'
export {
  databaseUnavailable,
  isDatabaseUnavailable,
  isRetryableConflict,
  openDatabase,
  violatedConstraint,
  type Database,
  type DatabaseOptions,
  type Leadership,
} from './postgres/database.ts'
export { withNext } from './postgres/pipeline.ts'
export {
  migrate,
  oldestServerOf,
  readMigrations,
  requireSchema,
  statementsOf,
  type Migration,
} from './postgres/migrations.ts'
export { watchProcess, type ProcessStatus } from './process/process-watch.ts'
export { systemClock, systemRandom } from './process/system.ts'
export { PostgresServer, type PostgresServerOptions } from './postgres/server.ts'
export {
  bind,
  type Answer,
  type Binding,
  type EventStream,
  type RequestInput,
} from './http/bind.ts'
export { encode, Encoded, encodePage, WholeList } from './http/encoded.ts'
export {
  BODY_BYTES_MAX,
  CONNECTIONS_MAX,
  createHttpServer,
  invalidInput,
  type HttpLimits,
  type HttpServerOptions,
  type RefusedCall,
} from './http/server.ts'
export {
  findProcess,
  ProgramError,
  run,
  signalProcess,
  start,
  type Argv,
  type ProcessIdentity,
  type ProgramExit,
  type ProgramFailure,
  type ProgramOutput,
  type ProgramPlacement,
  type RunningProgram,
  type RunOptions,
  type StartOptions,
} from './process/programs.ts'
export { startReconciler, type Reconciler } from './reconciler.ts'
