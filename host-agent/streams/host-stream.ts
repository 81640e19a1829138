import { isPlatformError, PlatformError, type Clock, type Timer } from '@nubo/base'
import {
  STREAM_CREDIT_BYTES,
  STREAM_FRAME_BYTES_MAX,
  streamChannel,
  streamControl,
  type StreamControl,
} from '@nubo/contracts'
import { hostCodec, type HostCodec, type StreamRequest } from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime/process'
import type { ExecStream } from '../drivers/set/set-driver.ts'
import { logged } from '../logged.ts'
import { Credit } from './credit.ts'
import type { LogSource } from './log-source.ts'
import { PositionTeller } from './position-teller.ts'
import type { StreamHandlers, StreamSocket } from './stream-socket.ts'

/** The server says what it wants as soon as it has joined both ends. */
const REQUEST_TIMEOUT_MS = 10_000
/**
 * Input that the program has not read. A client that keeps to its credit stays below a sixteenth of it; one that does
 * not is cut off.
 */
const STDIN_BYTES_MAX = 16 * STREAM_CREDIT_BYTES
/** What is asked of a program that is just being started; more of it breaks the contract. */
const EARLY_STEPS_MAX = 4_096

export interface StreamSource {
  exec(request: Extract<StreamRequest, { type: 'exec' }>): Promise<ExecStream>
  logs(request: Extract<StreamRequest, { type: 'logs' }>, signal: AbortSignal): LogSource
}

/** Serves one stream: waits for what is asked, carries bytes both ways by credit, says the end. */
export class HostStream implements StreamHandlers {
  readonly #clock: Clock
  readonly #log: Log
  readonly #source: StreamSource
  readonly #credit = new Credit(STREAM_CREDIT_BYTES)
  /** As it came: its version is known with the socket, and the server may speak before. */
  readonly #request = Promise.withResolvers<string>()
  readonly #over = new AbortController()
  #requestTimer: Timer | undefined
  #socket: StreamSocket | undefined
  #isRequested = false
  #exec: ExecStream | undefined
  /** Input, sizes and signals that came while the program was being started, in order; undefined at other times. */
  #early: (() => void)[] | undefined
  #stdinWaitingBytes = 0
  #control = Promise.resolve()

  constructor(options: { clock: Clock; log: Log; source: StreamSource }) {
    this.#clock = options.clock
    this.#log = options.log
    this.#source = options.source
    // A stream that is closed before it asked is not an error of anybody.
    this.#request.promise.catch(() => undefined)
  }

  /** Resolves when the stream is over. Never rejects. */
  async run(socket: StreamSocket): Promise<void> {
    this.#socket = socket
    this.#requestTimer = this.#clock.after(REQUEST_TIMEOUT_MS, () =>
      this.#request.reject(new PlatformError('DEADLINE_EXCEEDED', { what: 'stream request' })),
    )
    let end: Extract<StreamControl, { type: 'end' }>
    try {
      const exitCode = await this.#serve(
        requestOf(await this.#request.promise, hostCodec(socket.contract)),
      )
      end = { type: 'end', exitCode, error: null }
    } catch (error) {
      if (!this.#over.signal.aborted) this.#log.info('a stream ended with an error', logged(error))
      end = { type: 'end', exitCode: null, error: errorOf(error) }
    }
    this.#requestTimer.cancel()
    if (!this.#over.signal.aborted) socket.sendText(JSON.stringify(end))
    this.onClose()
    socket.close()
  }

  /** Ends it with an error for the client. */
  refuse(error: PlatformError): void {
    this.#request.reject(error)
    this.#exec?.close()
  }

  onClose(): void {
    if (this.#over.signal.aborted) return
    this.#over.abort(new PlatformError('NOT_FOUND', { what: 'stream' }))
    this.#request.reject(this.#over.signal.reason)
    this.#credit.end()
    this.#exec?.close()
  }

  onText(text: string): void {
    if (this.#over.signal.aborted) return
    if (!this.#isRequested) {
      this.#isRequested = true
      this.#requestTimer?.cancel()
      this.#early = []
      return this.#request.resolve(text)
    }
    const control = parse(streamControl, text)
    if (control === undefined) return this.#violate('not a stream control')
    if (control.type === 'position' || control.type === 'lost')
      return this.#violate(`${control.type} is a host's`)
    if (control.type === 'credit' || control.type === 'end') this.#steer(control)
    else this.#whenStarted(() => this.#steer(control))
  }

  onBytes(bytes: Uint8Array): void {
    if (this.#over.signal.aborted) return
    if (
      bytes.length === 0 ||
      bytes.length > STREAM_FRAME_BYTES_MAX ||
      bytes[0] !== streamChannel.stdin
    )
      return this.#violate('not a frame of stdin')
    const input = bytes.subarray(1)
    if (this.#stdinWaitingBytes + input.length > STDIN_BYTES_MAX)
      return this.#violate('more input than credit')
    this.#stdinWaitingBytes += input.length
    this.#whenStarted(() => this.#write(input))
  }

  #write(input: Uint8Array): void {
    const taken = (): void => {
      this.#stdinWaitingBytes -= input.length
    }
    const stdin = this.#exec?.stdin
    // The end of a program may overtake its input.
    if (stdin === undefined || stdin === null || stdin.writableEnded || stdin.destroyed)
      return taken()
    stdin.write(input, () => {
      taken()
      if (!this.#over.signal.aborted && input.length > 0)
        this.#socket?.sendText(JSON.stringify({ type: 'credit', bytes: input.length }))
    })
  }

  /** A client need not wait until its program runs: what it sends before is kept. */
  #whenStarted(step: () => void): void {
    if (this.#early === undefined) return step()
    if (this.#early.length >= EARLY_STEPS_MAX) return this.#violate('too much before the start')
    this.#early.push(step)
  }

  #steer(control: Exclude<StreamControl, { type: 'position' | 'lost' }>): void {
    switch (control.type) {
      case 'credit':
        return this.#credit.add(control.bytes)
      case 'stdin-end':
        this.#exec?.stdin?.end()
        return
      case 'resize':
        return this.#inOrder((exec) => exec.resize(control))
      case 'signal':
        return this.#inOrder((exec) => exec.signal(`SIG${control.signal}`))
      case 'end':
        return this.onClose()
    }
  }

  /** One call to the engine after the other: the last size must win. A failed one is the program's end, most often. */
  #inOrder(step: (exec: ExecStream) => Promise<void>): void {
    const exec = this.#exec
    if (exec === undefined) return
    this.#control = this.#control
      .then(() => (this.#over.signal.aborted ? undefined : step(exec)))
      .catch((error: unknown) => this.#log.debug('a program could not be steered', logged(error)))
  }

  async #serve(request: StreamRequest): Promise<number | null> {
    switch (request.type) {
      case 'exec': {
        const exec = await this.#source.exec(request)
        this.#exec = exec
        if (this.#over.signal.aborted) exec.close()
        // Awaited only when the output has ended well.
        exec.exitCode.catch(() => undefined)
        // A program that does not read its input is not an error; its exit code tells the story.
        exec.stdin?.on('error', () => undefined)
        if (!request.stdin) exec.stdin?.end()
        const early = this.#early ?? []
        this.#early = undefined
        for (const step of early) step()
        for await (const { stream, bytes } of exec.output) await this.#send(stream, bytes)
        return await exec.exitCode
      }
      case 'logs':
        this.#early = undefined
        await this.#carryLogs(request)
        return null
    }
  }

  async #carryLogs(request: Extract<StreamRequest, { type: 'logs' }>): Promise<void> {
    const pieces = this.#source.logs(request, this.#over.signal)
    const teller = request.positions ? new PositionTeller(this.#clock, this.#tell) : undefined
    try {
      for await (const { container, position, chunk, isLost } of pieces) {
        const bytes = chunk?.bytes.length ?? 0
        teller?.begin(bytes)
        if (isLost && request.after !== null) this.#tell({ type: 'lost', container })
        if (chunk !== null) await this.#send(chunk.stream, chunk.bytes)
        teller?.done(container, position, bytes)
      }
      teller?.flush()
    } finally {
      teller?.close()
    }
  }

  readonly #tell = (control: StreamControl): void => {
    if (!this.#over.signal.aborted) this.#socket?.sendText(JSON.stringify(control))
  }

  async #send(stream: 'stdout' | 'stderr', bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.length;) {
      const count = await this.#credit.take(
        Math.min(bytes.length - from, STREAM_FRAME_BYTES_MAX - 1),
      )
      if (count === 0) throw this.#over.signal.reason
      const frame = new Uint8Array(count + 1)
      frame[0] = streamChannel[stream]
      frame.set(bytes.subarray(from, from + count), 1)
      this.#socket?.sendBytes(frame)
      from += count
    }
  }

  #violate(what: string): void {
    this.#log.warn('a stream broke its contract', { what })
    this.#socket?.sendText(
      JSON.stringify({ type: 'end', exitCode: null, error: errorOf(violation(what)) }),
    )
    this.onClose()
  }
}

function parse<Shape>(
  schema: { safeParse(value: unknown): { success: true; data: Shape } | { success: false } },
  text: string,
): Shape | undefined {
  try {
    const parsed = schema.safeParse(JSON.parse(text))
    return parsed.success ? parsed.data : undefined
  } catch {
    return undefined
  }
}

function requestOf(text: string, codec: HostCodec): StreamRequest {
  const request = parse({ safeParse: codec.parseStreamRequest }, text)
  if (request === undefined) throw violation('not a stream request')
  return request
}

function violation(what: string): PlatformError {
  return new PlatformError('PROTOCOL_VIOLATION', { what })
}

function errorOf(error: unknown): { code: string; message: string } {
  return isPlatformError(error)
    ? { code: error.code, message: error.message }
    : { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error) }
}
