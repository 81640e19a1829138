import { pino } from 'pino'

/** What a log line carries besides its sentence. Never secrets: tokens, keys and environments of tenants stay out. */
export type LogFields = Readonly<Record<string, unknown>>

export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  /** `error` in the fields is printed with its chain of causes. */
  error(message: string, fields?: LogFields): void
  /** The same log with `fields` on every line. */
  child(fields: LogFields): Log
}

function describe(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return error
  const own: Record<string, unknown> = { message: error.message }
  if ('code' in error) own['code'] = error.code
  if ('details' in error) own['details'] = error.details
  if (depth === 0) own['stack'] = error.stack
  if (error.cause !== undefined && depth < 8) own['cause'] = describe(error.cause, depth + 1)
  return own
}

function fromPino(line: pino.Logger): Log {
  return {
    debug: (message, fields = {}) => line.debug(fields, message),
    info: (message, fields = {}) => line.info(fields, message),
    warn: (message, fields = {}) => line.warn(fields, message),
    error: (message, fields = {}) => line.error(fields, message),
    child: (fields) => fromPino(line.child(fields)),
  }
}

export interface LogOptions {
  readonly name: string
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  /** File descriptor; 2 is standard error. */
  readonly descriptor?: number
}

/** One JSON object a line. Writes are synchronous, so that the last words of a dying process are kept. */
export function openLog(options: LogOptions): Log {
  const destination = pino.destination({ dest: options.descriptor ?? 2, sync: true })
  return fromPino(
    pino(
      {
        name: options.name,
        level: options.level,
        base: { name: options.name },
        timestamp: pino.stdTimeFunctions.isoTime,
        serializers: {
          error: (error: unknown) => describe(error),
          reason: (error: unknown) => describe(error),
        },
      },
      destination,
    ),
  )
}

/** Says nothing; for tests. */
export const silentLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLog,
}
