import { createConnection } from 'node:net'
import type { Duplex } from 'node:stream'

import { OvsdbClient, type CallOptions } from './client.ts'
import { OvsdbError } from './errors.ts'
import type { JsonRpcLimits } from './json-rpc.ts'
import { Replica, type ReplicaTables } from './replica.ts'
import { systemTimers, type Timers } from './timers.ts'
import type { Operation, OperationResult } from './transact.ts'

export interface ConnectOptions {
  /** Unix socket of the server, absolute. Give this or `open`. */
  readonly path?: string
  /** Any other transport. Must not throw: a stream that cannot connect emits 'error'. */
  readonly open?: () => Duplex
  readonly database: string
  /** What the replica holds. */
  readonly tables: ReplicaTables
  /** Uniform in [0, 1), for the jitter of the back-off. */
  readonly random: () => number
  readonly timers?: Timers
  readonly limits?: Partial<JsonRpcLimits>
  readonly keepAliveMs?: number
  /** The first pause after a failure doubles up to the last; defaults 50 and 5,000. */
  readonly backoffMs?: { readonly first: number; readonly last: number }
  /** For connecting, schema and monitor together; default 10,000. */
  readonly attemptDeadlineMs?: number
  /** Each time the replica has become equal to the server. */
  readonly onReady?: () => void
  /** Each time a ready connection is lost, and each time an attempt fails. */
  readonly onDisconnected?: (error: OvsdbError) => void
}

type State =
  | { readonly at: 'connecting' }
  | { readonly at: 'ready'; readonly client: OvsdbClient }
  | { readonly at: 'waiting' }
  | { readonly at: 'closed' }

/**
 * Opens a connection that comes back by itself. Returns at once; `whenReady` tells when it can be used.
 * Calls made while there is no connection reject immediately with kind `unavailable`: only the caller knows
 * whether a call is still wanted later, and `whenReady` lets it wait.
 */
export function connectOvsdb(options: ConnectOptions): OvsdbConnection {
  return new OvsdbConnection(options)
}

/** See `connectOvsdb`. */
export class OvsdbConnection {
  readonly replica: Replica
  readonly #options: ConnectOptions
  readonly #timers: Timers
  readonly #waiting = new Set<() => void>()
  #state: State = { at: 'connecting' }
  #attempt: OvsdbClient | undefined
  #failures = 0
  #retryTimer: unknown
  #lastError: OvsdbError | undefined

  constructor(options: ConnectOptions) {
    if ((options.path === undefined) === (options.open === undefined)) {
      throw new OvsdbError('value', { error: 'give either path or open' })
    }
    this.#options = options
    this.#timers = options.timers ?? systemTimers
    this.replica = new Replica(options.tables)
    this.#connect()
  }

  get isReady(): boolean {
    return this.#state.at === 'ready'
  }

  /** Why the last connection or attempt ended. */
  get lastError(): OvsdbError | undefined {
    return this.#lastError
  }

  /** Resolves when the replica is equal to the server (at once if it is); rejects with kind `unavailable` at the deadline. */
  async whenReady(deadlineMs: number): Promise<void> {
    if (this.#state.at === 'ready') return
    await new Promise<void>((resolve, reject) => {
      const done = (): void => {
        this.#waiting.delete(done)
        this.#timers.clear(deadline)
        if (this.#state.at === 'ready') resolve()
        else reject(this.#unavailable())
      }
      const deadline = this.#timers.set(done, deadlineMs)
      this.#waiting.add(done)
      if (this.#state.at === 'closed') done()
    })
  }

  /** As `OvsdbClient.transact` on the database of this connection. */
  async transact(
    operations: readonly Operation[],
    options: CallOptions = {},
  ): Promise<OperationResult[]> {
    if (this.#state.at !== 'ready') throw this.#unavailable()
    return await this.#state.client.transact(this.#options.database, operations, options)
  }

  /** Ends the connection for good. The replica stays readable. Idempotent. */
  close(): void {
    if (this.#state.at === 'closed') return
    this.#state = { at: 'closed' }
    this.#timers.clear(this.#retryTimer)
    this.#attempt?.close()
    for (const done of this.#waiting) done()
  }

  #unavailable(): OvsdbError {
    return new OvsdbError('unavailable', {
      error: this.#state.at === 'closed' ? 'the connection is closed' : 'not connected',
      details: this.#lastError?.message,
      cause: this.#lastError,
    })
  }

  #connect(): void {
    this.#state = { at: 'connecting' }
    const client = new OvsdbClient(this.#open(), {
      timers: this.#timers,
      ...(this.#options.limits === undefined ? {} : { limits: this.#options.limits }),
      ...(this.#options.keepAliveMs === undefined
        ? {}
        : { keepAliveMs: this.#options.keepAliveMs }),
    })
    this.#attempt = client
    // Both are needed: the end may come during the attempt or any time later; the state makes it count once.
    client.closed.then(
      (error) => this.#disconnected(client, error),
      () => undefined,
    )
    this.#begin(client).catch((error: unknown) => {
      this.#disconnected(client, asOvsdbError(error))
      client.close()
    })
  }

  #open(): Duplex {
    if (this.#options.open !== undefined) return this.#options.open()
    return createConnection({ path: this.#options.path ?? '' }) // The constructor has checked that one is there.
  }

  async #begin(client: OvsdbClient): Promise<void> {
    const { database, attemptDeadlineMs = 10_000 } = this.#options
    const deadline = this.#timers.set(() => client.close(), attemptDeadlineMs)
    try {
      const limit = { deadlineMs: attemptDeadlineMs }
      const schema = await client.getSchema(database, limit)
      await client.monitor(database, schema, this.replica, limit)
    } finally {
      this.#timers.clear(deadline)
    }
    if (client.isClosed || this.#attempt !== client || this.#state.at !== 'connecting') return
    this.#state = { at: 'ready', client }
    this.#failures = 0
    for (const done of this.#waiting) done()
    this.#options.onReady?.()
  }

  #disconnected(client: OvsdbClient, error: OvsdbError): void {
    if (this.#attempt !== client || this.#state.at === 'closed' || this.#state.at === 'waiting')
      return
    this.#attempt = undefined
    this.#lastError = error
    this.#state = { at: 'waiting' }
    const { first, last } = this.#options.backoffMs ?? { first: 50, last: 5_000 }
    const ceiling = Math.min(last, first * 2 ** Math.min(this.#failures, 30))
    this.#failures += 1
    // Between half of the ceiling and the ceiling: spread out, but never a busy loop.
    const delayMs = ceiling * (0.5 + this.#options.random() / 2)
    this.#retryTimer = this.#timers.set(() => this.#connect(), delayMs)
    this.#options.onDisconnected?.(error)
  }
}

function asOvsdbError(error: unknown): OvsdbError {
  if (error instanceof OvsdbError) return error
  throw error // Only a defect of this package, or of a listener, gets here; it must not be hidden.
}
