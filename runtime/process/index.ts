/** What any process needs to run and to start others; loads nothing of databases or HTTP, so agents stay small. */
export { openLog, silentLog, type Log, type LogFields, type LogOptions } from './log.ts'
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
} from './programs.ts'
export { createBootClock, systemClock, systemRandom } from './system.ts'
export {
  watchProcess,
  type LoopDelay,
  type ProcessStatus,
  type ProcessWatch,
} from './process-watch.ts'
