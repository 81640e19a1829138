import type { Duplex } from 'node:stream'

import { OvsdbError } from './errors.ts'
import { JsonSplitter } from './json-splitter.ts'
import { systemTimers, type Timers } from './timers.ts'

/** Every bound of a connection; reaching one gives a typed error, never unbounded memory. */
export interface JsonRpcLimits {
  /** A larger message from the peer closes the connection. */
  readonly messageBytesMax: number
  /** Deeper nesting in a message from the peer closes the connection. */
  readonly depthMax: number
  /** Requests without an answer; one more is refused with `overloaded`. */
  readonly pendingRequestsMax: number
  /** Bytes the peer has not read yet; a request beyond that is refused with `overloaded`. */
  readonly sendBufferBytesMax: number
}

// The largest message is the first reply of a monitor: about 1 KB per monitored interface row, so 32 MiB
// is room for some 30,000 interfaces. OVSDB itself nests fewer than 20 levels.
export const defaultJsonRpcLimits: JsonRpcLimits = {
  messageBytesMax: 32 * 1024 * 1024,
  depthMax: 64,
  pendingRequestsMax: 4_096,
  sendBufferBytesMax: 32 * 1024 * 1024,
}

export interface JsonRpcPeerOptions {
  /** Requests without id; called in the order of the wire, before later messages are looked at. */
  readonly onNotification?: (method: string, params: readonly unknown[]) => void
  readonly timers?: Timers
  readonly limits?: Partial<JsonRpcLimits>
  /**
   * With nothing received for this long an echo is sent; after the same time again the peer counts as dead.
   * 0 turns it off.
   */
  readonly keepAliveMs?: number
}

export interface RequestOptions {
  /** Milliseconds until the request is given up with `timeout`. */
  readonly deadlineMs?: number
  /**
   * Called with the result while the reply is being read, before any message that follows it.
   * What it throws closes the connection and rejects the request.
   */
  readonly onResult?: (result: unknown) => void
}

interface Pending {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: OvsdbError) => void
  readonly onResult: ((result: unknown) => void) | undefined
  readonly deadline: unknown
}

const DEFAULT_DEADLINE_MS = 5_000
const DEFAULT_KEEP_ALIVE_MS = 5_000

/**
 * JSON-RPC 1.0 as OVSDB and the control sockets of Open vSwitch speak it: both sides may ask, objects follow
 * each other without a separator. The peer owns the stream and destroys it when it closes.
 */
export class JsonRpcPeer {
  readonly #stream: Duplex
  readonly #timers: Timers
  readonly #limits: JsonRpcLimits
  readonly #splitter: JsonSplitter
  readonly #onNotification: (method: string, params: readonly unknown[]) => void
  readonly #keepAliveMs: number
  readonly #pending = new Map<number, Pending>()
  readonly #ended = Promise.withResolvers<OvsdbError>()
  #nextId = 1
  #closedBy: OvsdbError | undefined
  #keepAliveTimer: unknown
  #heardSinceTick = true
  #probing = false

  constructor(stream: Duplex, options: JsonRpcPeerOptions = {}) {
    this.#stream = stream
    this.#timers = options.timers ?? systemTimers
    this.#limits = { ...defaultJsonRpcLimits, ...options.limits }
    this.#splitter = new JsonSplitter(this.#limits)
    this.#onNotification = options.onNotification ?? (() => undefined)
    this.#keepAliveMs = options.keepAliveMs ?? DEFAULT_KEEP_ALIVE_MS
    stream.on('data', (chunk: Buffer) => this.#receive(chunk))
    stream.on('error', (cause) =>
      this.#end(new OvsdbError('lost', { error: 'the connection failed', cause })),
    )
    stream.on('close', () => this.#end(new OvsdbError('lost', { error: 'the connection closed' })))
    stream.on('end', () =>
      this.#end(new OvsdbError('lost', { error: 'the peer ended the connection' })),
    )
    if (stream.destroyed) {
      this.#end(new OvsdbError('lost', { error: 'the connection was over before it began' }))
    } else {
      this.#scheduleKeepAlive()
    }
  }

  /** Resolves once, with the reason, when the connection has ended for whatever cause. Never rejects. */
  get closed(): Promise<OvsdbError> {
    return this.#ended.promise
  }

  get isClosed(): boolean {
    return this.#closedBy !== undefined
  }

  /** Asks the peer. Rejects with an `OvsdbError` only. Safe to call concurrently: requests are pipelined. */
  request(
    method: string,
    params: readonly unknown[],
    options: RequestOptions = {},
  ): Promise<unknown> {
    const refusal = this.#refusal()
    if (refusal !== undefined) return Promise.reject(refusal)
    const id = this.#nextId
    this.#nextId += 1
    const deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS
    return new Promise((resolve, reject) => {
      const deadline = this.#timers.set(() => {
        this.#pending.delete(id)
        reject(
          new OvsdbError('timeout', {
            error: `no answer to ${method}`,
            details: `within ${deadlineMs} ms`,
          }),
        )
      }, deadlineMs)
      this.#pending.set(id, { resolve, reject, onResult: options.onResult, deadline })
      this.#send({ method, params, id })
    })
  }

  /** Tells the peer something without expecting an answer. Throws `OvsdbError` if it cannot be sent. */
  notify(method: string, params: readonly unknown[]): void {
    const refusal = this.#refusal()
    if (refusal !== undefined) throw refusal
    this.#send({ method, params, id: null })
  }

  /** Ends the connection; requests without an answer reject with `lost`. Idempotent. */
  close(): void {
    this.#end(new OvsdbError('lost', { error: 'the connection was closed here' }))
  }

  #refusal(): OvsdbError | undefined {
    if (this.#closedBy !== undefined) {
      return new OvsdbError('unavailable', { error: 'not connected', cause: this.#closedBy })
    }
    if (this.#pending.size >= this.#limits.pendingRequestsMax) {
      return new OvsdbError('overloaded', {
        error: 'too many requests wait for an answer',
        details: `limit ${this.#limits.pendingRequestsMax}`,
      })
    }
    if (this.#stream.writableLength > this.#limits.sendBufferBytesMax) {
      return new OvsdbError('overloaded', {
        error: 'the peer does not read what is sent',
        details: `limit ${this.#limits.sendBufferBytesMax} bytes`,
      })
    }
    return undefined
  }

  #send(message: Record<string, unknown>): void {
    this.#stream.write(JSON.stringify(message))
  }

  #receive(chunk: Buffer): void {
    this.#heardSinceTick = true
    this.#probing = false
    if (this.isClosed) return
    try {
      this.#splitter.push(chunk, (message) => {
        if (!this.isClosed) this.#dispatch(message)
      })
    } catch (error) {
      if (!(error instanceof OvsdbError)) throw error
      this.#end(error)
    }
  }

  #dispatch(message: Record<string, unknown>): void {
    if (typeof message['method'] === 'string') this.#dispatchRequest(message['method'], message)
    else if ('result' in message || 'error' in message) this.#dispatchReply(message)
    else
      throw new OvsdbError('protocol', { error: 'a message is neither request, reply nor notice' })
  }

  #dispatchRequest(method: string, message: Record<string, unknown>): void {
    const params: unknown = message['params'] ?? []
    if (!Array.isArray(params)) {
      throw new OvsdbError('protocol', { error: `params of ${method} are not an array` })
    }
    const id = message['id'] ?? null
    if (id === null) this.#onNotification(method, params)
    else if (method === 'echo') this.#answer({ result: params, error: null, id })
    else this.#answer({ result: null, error: { error: 'unknown method', details: method }, id })
  }

  #answer(reply: Record<string, unknown>): void {
    // A peer that asks without ever reading the answers would fill our memory.
    if (this.#stream.writableLength > this.#limits.sendBufferBytesMax) {
      throw new OvsdbError('protocol', { error: 'the peer asks without reading the answers' })
    }
    this.#send(reply)
  }

  #dispatchReply(message: Record<string, unknown>): void {
    const id = message['id']
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 1 || id >= this.#nextId) {
      throw new OvsdbError('protocol', { error: 'an answer to a request that was never made' })
    }
    const pending = this.#pending.get(id)
    if (pending === undefined) return // It came after its deadline.
    this.#pending.delete(id)
    this.#timers.clear(pending.deadline)
    const error = message['error'] ?? null
    if (error !== null) {
      pending.reject(replyError(error))
      return
    }
    try {
      pending.onResult?.(message['result'])
    } catch (cause) {
      if (!(cause instanceof OvsdbError)) throw cause
      pending.reject(cause)
      throw cause
    }
    pending.resolve(message['result'])
  }

  #scheduleKeepAlive(): void {
    if (this.#keepAliveMs === 0) return
    this.#keepAliveTimer = this.#timers.set(() => this.#keepAliveTick(), this.#keepAliveMs)
  }

  #keepAliveTick(): void {
    if (this.#probing) {
      this.#end(
        new OvsdbError('lost', {
          error: 'the peer is silent',
          details: `for ${this.#keepAliveMs} ms after an echo`,
        }),
      )
      return
    }
    if (!this.#heardSinceTick) {
      this.#probing = true
      // The answer only has to arrive; that it does is seen in #receive. Ending rejects it, and that is known here.
      this.request('echo', [], { deadlineMs: 2 * this.#keepAliveMs }).catch(() => undefined)
    }
    this.#heardSinceTick = false
    this.#scheduleKeepAlive()
  }

  #end(reason: OvsdbError): void {
    if (this.#closedBy !== undefined) return
    this.#closedBy = reason
    this.#timers.clear(this.#keepAliveTimer)
    for (const pending of this.#pending.values()) {
      this.#timers.clear(pending.deadline)
      pending.reject(
        new OvsdbError('lost', { error: 'the connection ended before the answer', cause: reason }),
      )
    }
    this.#pending.clear()
    this.#stream.destroy()
    this.#ended.resolve(reason)
  }
}

/** The `error` member of a reply: a string, or RFC 7047's `<error>` object. */
function replyError(error: unknown): OvsdbError {
  if (typeof error === 'string') return new OvsdbError('rpc', { error: error.trim() })
  const parts: { error?: unknown; details?: unknown } = error instanceof Object ? error : {}
  return new OvsdbError('rpc', {
    error: typeof parts.error === 'string' ? parts.error : JSON.stringify(error),
    details: typeof parts.details === 'string' ? parts.details : undefined,
  })
}
