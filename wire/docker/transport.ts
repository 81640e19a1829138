import http from 'node:http'
import type { Duplex, Readable } from 'node:stream'
import { Deadline } from './deadline.ts'
import { DockerError, kindOfStatus } from './errors.ts'
import { Fields, parseJson } from './fields.ts'

/** The version this package speaks: Docker 20.10 and everything later. */
export const API_VERSION = '1.41'

export interface TransportLimits {
  /** Connections kept for short calls; further calls queue behind them. */
  readonly socketsMax: number
  /** Short calls under way or queued; one more is refused with kind `overloaded`. */
  readonly pendingMax: number
  /** Calls that keep a connection of their own (streams, exec, stop, wait); one more is refused likewise. */
  readonly streamsMax: number
  /** Size of an answer that is read as a whole. */
  readonly bodyBytesMax: number
  /** Deadline of a short call, queueing included, where the caller names none. */
  readonly requestTimeoutMs: number
}

export const DEFAULT_LIMITS: TransportLimits = {
  socketsMax: 16,
  pendingMax: 1024,
  streamsMax: 1024,
  bodyBytesMax: 16 * 1024 * 1024,
  requestTimeoutMs: 30_000,
}

/** Text of an error answer that is kept; a registry's HTML page is of no use beyond that. */
const ERROR_BODY_BYTES_MAX = 64 * 1024

/** What every call accepts. A timeout covers the whole call; for streams it covers the time until the first byte of the answer. */
export interface CallOptions {
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>

export interface Request {
  readonly method: 'GET' | 'POST' | 'DELETE' | 'HEAD'
  /** Path without version, its parts already encoded (`/containers/abc/json`). */
  readonly path: string
  readonly query?: Query
  readonly json?: unknown
  readonly body?: { readonly stream: Readable; readonly type: string }
  readonly headers?: Readonly<Record<string, string>>
  /** Takes a connection of its own, so that it does not keep short calls waiting. */
  readonly isSlow?: boolean
}

/** An answer whose body is still to come. */
export interface StreamedAnswer {
  readonly status: number
  /** The body; ends in a DockerError where the connection breaks or the caller's signal fires. Leaving the loop closes it. */
  readonly body: AsyncIterable<Buffer>
  /** For a body that is not read to its end, or not at all. Idempotent. */
  close(): void
}

/** HTTP over the engine's Unix socket: connections, deadlines, limits and errors; knows no endpoint. */
export class Transport {
  readonly #socketPath: string
  readonly #limits: TransportLimits
  readonly #pooled: http.Agent
  readonly #single = new http.Agent({ keepAlive: false })
  #pending = 0
  #streams = 0

  constructor(socketPath: string, limits: Partial<TransportLimits> = {}) {
    this.#socketPath = socketPath
    this.#limits = { ...DEFAULT_LIMITS, ...limits }
    this.#pooled = new http.Agent({ keepAlive: true, maxSockets: this.#limits.socketsMax })
  }

  /** A call whose answer is read as a whole: the parsed JSON, or null where there is no body. */
  async json(request: Request, options: CallOptions = {}): Promise<unknown> {
    const text = await this.text(request, options)
    return text === '' ? null : parseJson(text, request.path)
  }

  /** As `json`, but the body as it is. */
  async text(request: Request, options: CallOptions = {}): Promise<string> {
    const release = this.#reserve(request.isSlow === true)
    const deadline = new Deadline(
      options.timeoutMs ?? this.#limits.requestTimeoutMs,
      options.signal,
    )
    try {
      const agent = request.isSlow === true ? this.#single : this.#pooled
      const response = await this.#sendOrResend(request, deadline, agent)
      const body = await readAll(response, this.#limits.bodyBytesMax, deadline, request.path)
      return body.toString('utf8')
    } finally {
      deadline.release()
      release()
    }
  }

  /** A call whose answer is a stream. The stream counts against `streamsMax` until its iteration ends. */
  async stream(request: Request, options: CallOptions = {}): Promise<StreamedAnswer> {
    const release = this.#reserve(true)
    const deadline = new Deadline(
      options.timeoutMs ?? this.#limits.requestTimeoutMs,
      options.signal,
    )
    try {
      const response = await this.#send(request, deadline, this.#single)
      deadline.stopTimer()
      response.once('close', () => {
        deadline.release()
        release()
      })
      return {
        status: response.statusCode ?? 0,
        body: translated(response, deadline, request.path),
        close: () => void response.destroy(),
      }
    } catch (error) {
      deadline.release()
      release()
      throw error
    }
  }

  /** Turns the connection into a raw two-way stream (101). Half-close is kept: ending it leaves reading open. */
  async upgrade(request: Request, options: CallOptions = {}): Promise<Duplex> {
    const release = this.#reserve(true)
    const deadline = new Deadline(
      options.timeoutMs ?? this.#limits.requestTimeoutMs,
      options.signal,
    )
    try {
      const socket = await this.#sendUpgrade(request, deadline)
      deadline.stopTimer()
      deadline.onExpiry(() => socket.destroy(deadline.failure(request.path)))
      socket.once('close', () => {
        deadline.release()
        release()
      })
      return socket
    } catch (error) {
      deadline.release()
      release()
      throw error
    }
  }

  /** Closes idle and busy connections; calls under way end in kind `unreachable`. Idempotent. */
  close(): void {
    this.#pooled.destroy()
    this.#single.destroy()
  }

  #reserve(isStream: boolean): () => void {
    if (
      isStream ? this.#streams >= this.#limits.streamsMax : this.#pending >= this.#limits.pendingMax
    ) {
      const limit = isStream
        ? `streamsMax ${this.#limits.streamsMax}`
        : `pendingMax ${this.#limits.pendingMax}`
      throw new DockerError('overloaded', `too many calls under way (${limit})`)
    }
    if (isStream) this.#streams += 1
    else this.#pending += 1
    let isReserved = true
    return () => {
      if (!isReserved) return
      isReserved = false
      if (isStream) this.#streams -= 1
      else this.#pending -= 1
    }
  }

  /** A kept connection may have died unnoticed (engine restarted): a GET that meets one is sent again, once. */
  async #sendOrResend(
    request: Request,
    deadline: Deadline,
    agent: http.Agent,
  ): Promise<http.IncomingMessage> {
    try {
      return await this.#send(request, deadline, agent)
    } catch (error) {
      const mayRepeat = request.method === 'GET' && error instanceof StaleConnection
      if (!mayRepeat) throw error
      return await this.#send(request, deadline, this.#single)
    }
  }

  async #send(
    request: Request,
    deadline: Deadline,
    agent: http.Agent,
  ): Promise<http.IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>()
    const call = http.request(this.#optionsOf(request, deadline, agent))
    call.once('response', resolve)
    call.on('error', (cause) => reject(this.#broken(cause, call, deadline, request)))
    writeBody(call, request)
    return await accepted(await promise, deadline, request)
  }

  async #sendUpgrade(request: Request, deadline: Deadline): Promise<Duplex> {
    const { promise, resolve, reject } = Promise.withResolvers<Duplex | http.IncomingMessage>()
    const call = http.request(this.#optionsOf(request, deadline, this.#single))
    call.once('upgrade', (_response, socket, head) => {
      if (head.length > 0) socket.unshift(head)
      resolve(socket)
    })
    call.once('response', resolve)
    call.on('error', (cause) => reject(this.#broken(cause, call, deadline, request)))
    writeBody(call, request)
    const outcome = await promise
    if (!(outcome instanceof http.IncomingMessage)) return outcome
    const response = await accepted(outcome, deadline, request)
    response.destroy()
    throw new DockerError('protocol', `${request.path}: the engine did not switch to a raw stream`)
  }

  #optionsOf(request: Request, deadline: Deadline, agent: http.Agent): http.RequestOptions {
    const query = new URLSearchParams()
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined) query.set(name, String(value))
    }
    const search = query.size === 0 ? '' : `?${query.toString()}`
    return {
      socketPath: this.#socketPath,
      agent,
      signal: deadline.signal,
      method: request.method,
      path: `/v${API_VERSION}${request.path}${search}`,
      // The engine ignores the host, but HTTP/1.1 wants one.
      headers: { host: 'docker', ...request.headers },
    }
  }

  #broken(
    cause: Error,
    call: http.ClientRequest,
    deadline: Deadline,
    request: Request,
  ): DockerError {
    if (deadline.expired !== null) return deadline.failure(request.path)
    const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message
    const message = `${request.path}: no answer from ${this.#socketPath} (${code})`
    if (call.reusedSocket) return new StaleConnection('unreachable', message, { cause })
    return new DockerError('unreachable', message, { cause })
  }
}

/** Told apart from other broken connections only inside this file. */
class StaleConnection extends DockerError {}

function writeBody(call: http.ClientRequest, request: Request): void {
  if (request.body !== undefined) {
    const { stream, type } = request.body
    call.setHeader('content-type', type)
    stream.once('error', (error) => call.destroy(error))
    // The engine may refuse before it has read everything; then nobody reads the rest.
    call.once('close', () => stream.destroy())
    stream.pipe(call)
    return
  }
  if (request.json === undefined) {
    call.end()
    return
  }
  const text = Buffer.from(JSON.stringify(request.json))
  call.setHeader('content-type', 'application/json')
  call.setHeader('content-length', text.length)
  call.end(text)
}

/** The response if it is a success or 304 (start and stop: already so); a DockerError with the engine's words otherwise. */
async function accepted(
  response: http.IncomingMessage,
  deadline: Deadline,
  request: Request,
): Promise<http.IncomingMessage> {
  const status = response.statusCode ?? 0
  if ((status >= 200 && status < 300) || status === 304) return response
  let message = ''
  try {
    const body = (await readAll(response, ERROR_BODY_BYTES_MAX, deadline, request.path)).toString(
      'utf8',
    )
    message = messageOf(body)
  } catch (error) {
    if (deadline.expired !== null) throw error
    // The status alone still says what went wrong; the text was only to explain it.
    message = 'unreadable explanation'
  }
  const text = `${request.method} ${request.path}: ${status} ${message}`
  throw new DockerError(kindOfStatus(status), text, { status })
}

function messageOf(body: string): string {
  try {
    return new Fields(JSON.parse(body), 'error').string('message')
  } catch {
    // Not the engine's own shape (a proxy's page): its beginning is the best explanation there is.
    return body.slice(0, 200).trim()
  }
}

async function readAll(
  response: http.IncomingMessage,
  bytesMax: number,
  deadline: Deadline,
  path: string,
): Promise<Buffer> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of translated(response, deadline, path)) {
    bytes += part.length
    if (bytes > bytesMax)
      throw new DockerError('protocol', `${path}: answer over ${bytesMax} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

/** The response's bytes, its errors turned into DockerErrors. */
async function* translated(
  response: http.IncomingMessage,
  deadline: Deadline,
  path: string,
): AsyncGenerator<Buffer, void, undefined> {
  try {
    // Proven: no encoding is set on the response, so its chunks are Buffers.
    for await (const chunk of response as AsyncIterable<Buffer>) yield chunk
  } catch (cause) {
    if (cause instanceof DockerError) throw cause
    if (deadline.expired !== null) throw deadline.failure(path)
    throw new DockerError('unreachable', `${path}: the answer broke off`, { cause })
  } finally {
    response.destroy()
  }
}
