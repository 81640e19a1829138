import type { Duplex } from 'node:stream'

import { OvsdbError } from './errors.ts'
import { JsonRpcPeer, type JsonRpcLimits } from './json-rpc.ts'
import { NO_TRANSACTION, type Replica } from './replica.ts'
import { parseSchema, type DatabaseSchema } from './schema.ts'
import type { Timers } from './timers.ts'
import { readResults, type Operation, type OperationResult } from './transact.ts'

export interface OvsdbClientOptions {
  readonly timers?: Timers
  readonly limits?: Partial<JsonRpcLimits>
  /** See `JsonRpcPeerOptions`; 0 turns the echo off. */
  readonly keepAliveMs?: number
}

export interface CallOptions {
  readonly deadlineMs?: number
}

/**
 * One connection to an OVSDB server. It ends with its stream; `connectOvsdb` is the one that comes back.
 * All calls may run concurrently and reject with `OvsdbError` only.
 */
export class OvsdbClient {
  readonly #peer: JsonRpcPeer
  readonly #monitors = new Map<string, Replica>()
  #monitorsMade = 0

  constructor(stream: Duplex, options: OvsdbClientOptions = {}) {
    this.#peer = new JsonRpcPeer(stream, {
      ...options,
      onNotification: (method, params) => this.#notified(method, params),
    })
  }

  /** Resolves once with the reason of the end; never rejects. */
  get closed(): Promise<OvsdbError> {
    return this.#peer.closed
  }

  get isClosed(): boolean {
    return this.#peer.isClosed
  }

  close(): void {
    this.#peer.close()
  }

  /** Names of the databases served. */
  async listDatabases(options: CallOptions = {}): Promise<string[]> {
    const names = await this.#peer.request('list_dbs', [], options)
    if (!Array.isArray(names)) throw malformed('list of databases')
    return names.map(String)
  }

  async getSchema(database: string, options: CallOptions = {}): Promise<DatabaseSchema> {
    return parseSchema(await this.#peer.request('get_schema', [database], options))
  }

  /** A round trip through the server. */
  async echo(options: CallOptions = {}): Promise<void> {
    await this.#peer.request('echo', [], options)
  }

  /**
   * Runs the operations as one transaction: all are committed, or none and it rejects with kind `transaction`.
   * Not idempotent by itself. When it resolves, a replica on this connection already shows the outcome, because
   * the server sends a client's own updates before the reply. On `lost` or `timeout` the outcome is unknown.
   */
  async transact(
    database: string,
    operations: readonly Operation[],
    options: CallOptions = {},
  ): Promise<OperationResult[]> {
    const reply = await this.#peer.request('transact', [database, ...operations], options)
    return readResults(reply, operations.length)
  }

  /**
   * Keeps `replica` equal to the server for the life of this connection; resolves when it is for the first time.
   * Goes on from `replica.lastTransaction` where the server still knows it, else replaces the contents.
   * If an update does not fit, the connection is closed and the replica will be read anew.
   */
  async monitor(
    database: string,
    schema: DatabaseSchema,
    replica: Replica,
    options: CallOptions = {},
  ): Promise<void> {
    replica.adopt(schema)
    this.#monitorsMade += 1
    const id = `monitor-${this.#monitorsMade}`
    const requests = Object.fromEntries(
      Object.entries(replica.wanted).map(([table, columns]) => [table, [{ columns }]]),
    )
    const start = (updates: unknown, complete: boolean, last: string): void => {
      this.#guard(replica, () => replica.begin(updates, complete, last))
      this.#monitors.set(id, replica)
    }
    try {
      await this.#peer.request(
        'monitor_cond_since',
        [database, id, requests, replica.lastTransaction],
        {
          ...options,
          onResult: (result) => {
            if (!Array.isArray(result)) throw malformed('monitor reply')
            const [found, last, updates]: readonly unknown[] = result
            if (typeof found !== 'boolean' || typeof last !== 'string') {
              throw malformed('monitor reply')
            }
            start(updates, !found, last)
          },
        },
      )
    } catch (error) {
      if (!(error instanceof OvsdbError) || !isUnknownMethod(error)) throw error
      // Servers before Open vSwitch 2.12.
      await this.#peer.request('monitor_cond', [database, id, requests], {
        ...options,
        onResult: (result) => start(result, true, NO_TRANSACTION),
      })
    }
  }

  #notified(method: string, params: readonly unknown[]): void {
    const replica = this.#monitors.get(String(params[0]))
    // Notices of monitors that are not ours, and of methods that this client never asks for, mean nothing here.
    if (replica === undefined) return
    if (method === 'update3') {
      const last = params[1]
      if (typeof last !== 'string') throw malformed('update3')
      this.#guard(replica, () => replica.update(params[2], last))
    } else if (method === 'update2') {
      this.#guard(replica, () => replica.update(params[1], NO_TRANSACTION))
    } else if (method === 'monitor_canceled') {
      replica.distrust()
      throw new OvsdbError('protocol', { error: 'the server ended the monitor' })
    }
  }

  /** A replica that missed something must not be resumed from where it believes to be. */
  #guard(replica: Replica, take: () => void): void {
    try {
      take()
    } catch (error) {
      if (error instanceof OvsdbError) replica.distrust()
      throw error
    }
  }
}

function isUnknownMethod(error: OvsdbError): boolean {
  return error.kind === 'rpc' && error.error === 'unknown method'
}

function malformed(what: string): OvsdbError {
  return new OvsdbError('protocol', { error: `malformed ${what}` })
}
