import { PlatformError, type Clock, type Timer } from '@nubo/base'
import { CamelCasePlugin, Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import type { Log } from '../process/log.ts'
import { AND_COMMIT, isOutdatedPlan, pipeline, PreparedNames } from './pipeline.ts'

// Times and counters are int8; they stay below 2^53, so numbers are exact. Tests and production agree by this line.
const INT8_TYPE = 20
pg.types.setTypeParser(INT8_TYPE, Number)

/** A lock that one process of the region holds; lost when the connection that holds it ends. */
export interface Leadership {
  /** Aborts when the lock is lost or given back. */
  readonly signal: AbortSignal
  release(): Promise<void>
}

/** What the control plane needs of its database, besides queries; the simulator gives another implementation. */
export interface Database<Tables> {
  readonly query: Kysely<Tables>
  /**
   * Put behind the last statement of a transaction it commits with the very message that brings the statement: its locks
   * are not held for the time that the answer takes to this process and the commit back. If the statement fails nothing
   * is committed. Empty where that cannot be done; the commit then follows by itself.
   */
  readonly andCommit: string
  /** `onNotify` also runs once after each reconnection, since notifications may have been missed. */
  listen(channel: string, onNotify: (payload: string) => void): Promise<void>
  /** Undefined if somebody else holds the lock; holders of a shared one keep out only those who want it alone. */
  tryLead(lockNumber: number, options?: { shared: boolean }): Promise<Leadership | undefined>
  close(): Promise<void>
}

export interface DatabaseOptions {
  readonly url: string
  readonly clock: Clock
  readonly log: Log
  readonly connectionsMax?: number
  /** How long a statement may take; 15 s by default. */
  readonly statementTimeoutMs?: number
}

const CONNECT_TIMEOUT_MS = 5_000
const STATEMENT_TIMEOUT_MS = 15_000
/** A server that is frozen or cut off cannot end a statement: after this many times that, the client gives up by itself. */
const ANSWER_TIMEOUT_FACTOR = 4 / 3
const LISTEN_RETRY_MS = 500
/** Whether a lock is free is asked ahead of each try; no answer by then is as good as yes. */
const LOCK_LOOK_TIMEOUT_MS = 2_000

/** Opens a pool. Does not connect yet: the first query does, and fails with DATABASE_UNAVAILABLE if nothing answers. */
export function openDatabase<Tables>(options: DatabaseOptions): Database<Tables> {
  const { clock, log } = options
  const statementTimeoutMs = options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS
  const answerTimeoutMs = Math.ceil(statementTimeoutMs * ANSWER_TIMEOUT_FACTOR)
  const prepared = new PreparedNames()
  const pool = new pg.Pool({
    connectionString: options.url,
    // A statement is sent without waiting for the one before; when one is given up its connection ends.
    pipeline: true,
    max: options.connectionsMax ?? 16,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: statementTimeoutMs,
    query_timeout: answerTimeoutMs,
    idle_in_transaction_session_timeout: statementTimeoutMs,
    application_name: 'nubo',
  })
  // An idle connection that breaks is replaced by the pool; whoever uses the database next sees the truth.
  pool.on('error', (error) => log.warn('a database connection broke', { error }))
  // One that breaks in the middle of a transaction tells its query, and says it once more as an event of its own, which
  // would end the process if nobody listened: the pool listens to idle ones only.
  pool.on('connect', (client) => {
    client.on('error', (error) => log.warn('a database connection broke in use', { error }))
    pipeline(client, prepared)
  })
  const query = new Kysely<Tables>({
    dialect: new PostgresDialect({ pool }),
    plugins: [new CamelCasePlugin({ maintainNestedObjectKeys: true })],
  })
  const listener = createListener({ url: options.url, answerTimeoutMs, clock, log })
  return {
    query,
    andCommit: AND_COMMIT,
    listen: (channel, onNotify) => listener.listen(channel, onNotify),
    tryLead: async (lockNumber, how) => {
      const shared = how?.shared === true
      // Who waits for a lock asks again and again: a connection for each try costs both sides more than all else at rest.
      if (await listener.seesHeld(lockNumber, shared)) return undefined
      return tryLead(options.url, { lockNumber, shared, answerTimeoutMs, log })
    },
    close: async () => {
      await listener.close()
      await query.destroy()
    },
  }
}

interface Listener {
  listen(channel: string, onNotify: (payload: string) => void): Promise<void>
  /** False also if it cannot tell. */
  seesHeld(lockNumber: number, shared: boolean): Promise<boolean>
  close(): Promise<void>
}

/** One connection that hears notifications and comes back by itself. */
function createListener(deps: {
  url: string
  answerTimeoutMs: number
  clock: Clock
  log: Log
}): Listener {
  const handlers = new Map<string, (payload: string) => void>()
  let client: pg.Client | undefined
  let retry: Timer | undefined
  let closed = false

  async function connect(): Promise<void> {
    const fresh = new pg.Client({
      connectionString: deps.url,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: deps.answerTimeoutMs,
      keepAlive: true,
      application_name: 'nubo-listen',
    })
    fresh.on('notification', (message) => handlers.get(message.channel)?.(message.payload ?? ''))
    fresh.on('error', (error) => deps.log.warn('the notification connection broke', { error }))
    try {
      await fresh.connect()
      for (const channel of handlers.keys())
        await fresh.query(`LISTEN ${fresh.escapeIdentifier(channel)}`)
      if (closed) throw new Error('closed meanwhile')
    } catch (error) {
      // A server that lets us in but cannot serve (a standby, say) would else keep one more connection each time.
      await fresh.end().catch(() => undefined)
      throw error
    }
    client = fresh
    fresh.on('end', () => {
      client = undefined
      reconnectLater()
    })
  }
  function reconnectLater(): void {
    if (closed) return
    retry = deps.clock.after(LISTEN_RETRY_MS, () => {
      connect().then(
        () => handlers.forEach((onNotify) => onNotify('')),
        () => reconnectLater(),
      )
    })
  }
  return {
    listen: async (channel, onNotify) => {
      handlers.set(channel, onNotify)
      if (client === undefined) await connect()
      else await client.query(`LISTEN ${client.escapeIdentifier(channel)}`)
    },
    seesHeld: async (lockNumber, shared) => {
      // Taken and given back within the statement.
      const attempt = shared ? 'pg_try_advisory_xact_lock_shared' : 'pg_try_advisory_xact_lock'
      const look = {
        text: `SELECT ${attempt}($1) AS free`,
        values: [lockNumber],
        query_timeout: LOCK_LOOK_TIMEOUT_MS, // pg takes it here, too; its types do not say so
      }
      const reply = await client?.query<{ free: boolean }>(look).catch(() => undefined)
      return reply?.rows[0]?.free === false
    },
    close: async () => {
      closed = true
      retry?.cancel()
      await client?.end()
    },
  }
}

async function tryLead(
  url: string,
  asked: { lockNumber: number; shared: boolean; answerTimeoutMs: number; log: Log },
): Promise<Leadership | undefined> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: asked.answerTimeoutMs,
    keepAlive: true,
    application_name: 'nubo-lock',
  })
  const lost = new AbortController()
  client.on('error', (error) => asked.log.warn('the connection that holds a lock broke', { error }))
  client.on('end', () => lost.abort(new PlatformError('DATABASE_UNAVAILABLE')))
  try {
    await client.connect()
    const reply = await client.query<{ got: boolean }>(
      `SELECT ${asked.shared ? 'pg_try_advisory_lock_shared' : 'pg_try_advisory_lock'}($1) AS got`,
      [asked.lockNumber],
    )
    if (reply.rows[0]?.got === true) return { signal: lost.signal, release: () => client.end() }
  } catch (cause) {
    await client.end().catch(() => undefined)
    throw new PlatformError('DATABASE_UNAVAILABLE', {}, { cause })
  }
  await client.end()
  return undefined
}

const connectionErrors = new Set([
  'ECONNREFUSED',
  'ENOENT',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EAGAIN',
])

/** True when the database could not be reached or went away, so that trying again may help. */
export function isDatabaseUnavailable(error: unknown): error is Error {
  if (!(error instanceof Error)) return false
  const code = codeOf(error)
  // SQLSTATE classes: 08 connection, 53 resources (disk full, too many connections), 57P0x shutdown; 57014 statement
  // timeout, 25P03 a transaction that this process left idle for too long (it was stopped for a while).
  if (/^(08|53|57P0)/.test(code) || code === '57014' || code === '25P03') return true
  if (connectionErrors.has(code)) return true
  return /Connection terminated|Query read timeout|timeout exceeded when trying to connect|Client (?:was closed|has encountered a connection error)/.test(
    error.message,
  )
}

/** What an operator can do something about, by SQLSTATE; everything else is silence to whoever asks. */
const unavailableTexts: Readonly<Record<string, string>> = {
  '53100': 'The disk of the database is full.',
  '53200': 'The database has no memory left.',
  '53300': 'The database has no connection left for this server.',
  '57P03': 'The database is starting, or recovering from a crash.',
}

/** What a caller is told of an error that `isDatabaseUnavailable`. */
export function databaseUnavailable(cause: Error): PlatformError {
  const message = unavailableTexts[codeOf(cause)]
  return new PlatformError('DATABASE_UNAVAILABLE', {}, { cause, ...(message && { message }) })
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : ''
}

/** The name of the constraint that a statement violated (unique, foreign key, check), if that is what happened. */
export function violatedConstraint(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string')
    return undefined
  if (!error.code.startsWith('23')) return undefined
  return 'constraint' in error && typeof error.constraint === 'string' ? error.constraint : ''
}

/** True for a deadlock, a serialization failure or a table that has just changed: the whole transaction was undone and may be run again. */
export function isRetryableConflict(error: unknown): boolean {
  if (isOutdatedPlan(error)) return true
  return (
    error instanceof Error && 'code' in error && (error.code === '40P01' || error.code === '40001')
  )
}
