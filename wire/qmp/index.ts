export {
  QmpClient,
  type QmpCallOptions,
  type QmpClientOptions,
  type QmpWaitOptions,
} from './client.ts'
export { commands, type QmpArguments, type QmpCommandName, type QmpReturn } from './commands.ts'
export type { BlockdevOptions, ExportOptions, TransactionAction } from './commands/block.ts'
export type { DeviceOptions, NetdevOptions, ObjectOptions, PciDevice } from './commands/devices.ts'
export type { CpuPlace } from './commands/machine.ts'
export type { MemoryDevice } from './commands/memory.ts'
export type { MigrationCapability } from './commands/migration.ts'
export { connectQmp, type QmpConnectOptions } from './connect.ts'
export {
  QmpAbortedError,
  QmpCommandError,
  QmpConnectionError,
  QmpError,
  QmpOverloadedError,
  QmpProtocolError,
  QmpReturnError,
  QmpTimeoutError,
  QmpValueError,
  type QmpEnd,
  type QmpErrorKind,
  type QmpOutcome,
} from './errors.ts'
export type { QmpListener, QmpListenerError } from './event-listeners.ts'
export type {
  QmpEvent,
  QmpEventData,
  QmpEventName,
  QmpKnownEvent,
  QmpOtherEvent,
} from './events.ts'
export { Fields, readInteger, readList } from './fields.ts'
export { defaultQmpLimits, type QmpLimits } from './limits.ts'
export type { QmpGreeting, QmpVersion } from './message.ts'
export { systemTimers, type Timers } from './timers.ts'
export type { QmpObject, QmpValue } from './value.ts'
