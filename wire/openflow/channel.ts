import type { Duplex } from 'node:stream'

import { ByteWriter } from './bytes.ts'
import { decodeError, OpenFlowRemoteError } from './error-message.ts'
import {
  OpenFlowClosedError,
  OpenFlowDecodeError,
  OpenFlowError,
  OpenFlowLimitError,
  OpenFlowTimeoutError,
} from './errors.ts'
import { MessageSplitter } from './framing.ts'
import { MESSAGE_TYPE, writeEmptyMessage, writeMessage, type Message } from './message.ts'
import type { Timers } from './timers.ts'
import type { OpenFlowVersion } from './version.ts'

/** Requests that may wait for an answer at once; more is a caller in a loop. */
export const REQUESTS_PENDING_MAX = 4_096

/** Bytes that may wait for a slow switch before senders that cannot wait are refused. */
export const WRITE_BUFFER_BYTES_MAX = 8 * 1024 * 1024

const XID_MAX = 0xffff_ffff

/** Header of a request to be written. */
export interface RequestHeader {
  readonly version: OpenFlowVersion
  readonly xid: number
}

export interface RequestOptions {
  /** Ends the wait, not the work: the switch may still carry the request out. */
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
}

/** How a request takes its answer: done with a value, or wait for more. Throws OpenFlowDecodeError. */
export type Accept<T> = (message: Message) => { readonly done: T } | undefined

interface Pending {
  readonly take: (message: Message) => void
  readonly fail: (error: Error) => void
}

interface Handlers {
  readonly onUnrequested: (message: Message) => void
  readonly onClose: (reason: OpenFlowError) => void
}

/** Refusals of messages with consecutive xids that do not each wait for an answer. */
export interface RefusalRange {
  readonly firstXid: number
  readonly count: number
  readonly onRefusal: (index: number, error: OpenFlowRemoteError) => void
}

/**
 * One negotiated connection: bytes to messages, answers to requests, and the question whether the peer still lives.
 * What the messages mean is the business of client.ts.
 */
export class Channel {
  readonly version: OpenFlowVersion
  readonly timers: Timers
  readonly #stream: Duplex
  readonly #splitter: MessageSplitter
  readonly #handlers: Handlers
  readonly #pending = new Map<number, Pending>()
  #refusalRange: RefusalRange | undefined
  #nextXid = 1
  #closedBecause: OpenFlowError | undefined
  #hasHeard = false
  #stopEcho: () => void = () => undefined

  constructor(
    stream: Duplex,
    splitter: MessageSplitter,
    options: Handlers & { readonly version: OpenFlowVersion; readonly timers: Timers },
  ) {
    this.version = options.version
    this.timers = options.timers
    this.#stream = stream
    this.#splitter = splitter
    this.#handlers = options
    splitter.expectedVersion = options.version
  }

  /** Begins to read. What the splitter holds already is read first. */
  start(): void {
    this.#stream.on('data', this.#onData)
    this.#stream.on('error', this.#onStreamError)
    this.#stream.on('end', this.#onStreamEnd)
    this.#stream.on('close', this.#onStreamEnd)
    this.#onData(Buffer.alloc(0))
    this.#stream.resume()
  }

  get closedBecause(): OpenFlowError | undefined {
    return this.#closedBecause
  }

  /** Reserves `count` consecutive xids and returns the first. */
  takeXids(count = 1): number {
    if (this.#nextXid + count > XID_MAX) this.#nextXid = 1
    // After four thousand million requests an old one may still wait.
    for (const xid of this.#pending.keys()) {
      if (count > 1 && xid >= this.#nextXid && xid < this.#nextXid + count) this.#nextXid = xid + 1
    }
    while (count === 1 && this.#pending.has(this.#nextXid)) this.#nextXid += 1
    const first = this.#nextXid
    this.#nextXid += count
    return first
  }

  /** Throws why the connection is closed, if it is. */
  requireOpen(): void {
    if (this.#closedBecause !== undefined) {
      throw new OpenFlowClosedError('the connection is closed', { cause: this.#closedBecause })
    }
  }

  /** Hands bytes to the stream. False if it wants us to wait for `drained`. Throws OpenFlowClosedError. */
  send(bytes: Uint8Array): boolean {
    this.requireOpen()
    return this.#stream.write(bytes)
  }

  /** For messages without an answer. Throws OpenFlowLimitError if too much waits already. */
  sendOrRefuse(bytes: Uint8Array): void {
    this.requireOpen()
    if (this.#stream.writableLength > WRITE_BUFFER_BYTES_MAX) {
      throw new OpenFlowLimitError(`${this.#stream.writableLength} bytes wait for a slow switch`)
    }
    this.#stream.write(bytes)
  }

  /** Waits until the stream takes more. Rejects if the connection closes or the signal fires. */
  async drained(signal?: AbortSignal): Promise<void> {
    this.requireOpen()
    if (!this.#stream.writableNeedDrain) return
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const onClose = (): void => reject(new OpenFlowClosedError('closed while writing'))
    const onAbort = (): void => reject(abortReason(signal))
    this.#stream.once('drain', resolve)
    this.#stream.once('close', onClose)
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      await promise
    } finally {
      this.#stream.off('drain', resolve)
      this.#stream.off('close', onClose)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Routes refusals of a range of xids until undefined is set. One range at a time. */
  watchRefusals(range: RefusalRange | undefined): void {
    this.#refusalRange = range
  }

  /** Writes a request and waits for its answer. Rejects with one of this package's errors or the signal's reason. */
  async request<T>(
    options: RequestOptions & { readonly timeoutMs: number },
    write: (writer: ByteWriter, header: RequestHeader) => void,
    accept: Accept<T>,
  ): Promise<T> {
    this.#admit(options.signal)
    const header = { version: this.version, xid: this.takeXids() }
    const writer = new ByteWriter(64)
    write(writer, header)
    const answer = this.expect(header.xid, options, accept)
    // If sending fails the answer is not awaited, and must not count as unhandled.
    answer.catch(() => undefined)
    this.send(writer.finish())
    return answer
  }

  /** Throws why there can be no further request now. */
  #admit(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted()
    this.requireOpen()
    if (this.#pending.size >= REQUESTS_PENDING_MAX) {
      throw new OpenFlowLimitError(`${REQUESTS_PENDING_MAX} requests wait for an answer`)
    }
  }

  /** Waits for the answer to a message that the caller sends. */
  async expect<T>(
    xid: number,
    { signal, timeoutMs }: RequestOptions & { readonly timeoutMs: number },
    accept: Accept<T>,
  ): Promise<T> {
    this.#admit(signal)
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const take = (message: Message): void => {
      try {
        const outcome = takeAnswer(message, accept)
        if (outcome !== undefined) resolve(outcome.done)
      } catch (error) {
        reject(asError(error))
      }
    }
    this.#pending.set(xid, { take, fail: reject })
    const cancelTimer = this.timers.after(timeoutMs, () =>
      reject(new OpenFlowTimeoutError(`no answer within ${timeoutMs} ms`)),
    )
    const onAbort = (): void => reject(abortReason(signal))
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      return await promise
    } finally {
      this.#pending.delete(xid)
      cancelTimer()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Asks the peer for a sign of life whenever it was silent for `intervalMs`; closes if there is none in time. */
  startEcho({ intervalMs, timeoutMs }: { intervalMs: number; timeoutMs: number }): void {
    this.#stopEcho = this.timers.after(intervalMs, () => {
      const wasSilent = !this.#hasHeard
      this.#hasHeard = false
      void this.#echoIf(wasSilent, timeoutMs).then((isAlive) => {
        if (isAlive) this.startEcho({ intervalMs, timeoutMs })
      })
    })
  }

  /** False if the connection is closed, perhaps by this very question. */
  async #echoIf(wasSilent: boolean, timeoutMs: number): Promise<boolean> {
    try {
      if (wasSilent) await this.request({ timeoutMs }, writeEchoRequest, acceptAnything)
    } catch (error) {
      this.close(asOpenFlow(error))
    }
    return this.#closedBecause === undefined
  }

  /** Ends the connection for that reason; all that waits is rejected with it. Idempotent: the first reason stays. */
  close(reason: OpenFlowError): void {
    if (this.#closedBecause !== undefined) return
    this.#closedBecause = reason
    this.#stopEcho()
    this.#stream.off('data', this.#onData)
    for (const pending of this.#pending.values()) {
      pending.fail(new OpenFlowClosedError('the connection closed', { cause: reason }))
    }
    this.#stream.destroy()
    this.#handlers.onClose(reason)
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#hasHeard = true
    try {
      for (const message of this.#splitter.push(chunk)) {
        if (this.#closedBecause !== undefined) return
        this.#dispatch(message)
      }
    } catch (error) {
      this.close(asOpenFlow(error))
    }
  }

  readonly #onStreamError = (cause: Error): void => {
    this.close(new OpenFlowClosedError('the connection failed', { cause }))
  }

  readonly #onStreamEnd = (): void => {
    this.close(new OpenFlowClosedError('the switch closed the connection'))
  }

  #dispatch(message: Message): void {
    if (message.type === MESSAGE_TYPE.echoRequest) {
      this.#answerEcho(message)
      return
    }
    const pending = this.#pending.get(message.xid)
    if (pending !== undefined && !isEvent(message)) {
      pending.take(message)
      return
    }
    if (message.type === MESSAGE_TYPE.error && this.#refuseInRange(message)) return
    this.#handlers.onUnrequested(message)
  }

  #refuseInRange(message: Message): boolean {
    const range = this.#refusalRange
    if (range === undefined) return false
    const index = message.xid - range.firstXid
    if (index < 0 || index >= range.count) return false
    range.onRefusal(index, new OpenFlowRemoteError(decodeError(message.body)))
    return true
  }

  #answerEcho({ xid, body }: Message): void {
    const writer = new ByteWriter(16 + body.length)
    const header = { version: this.version, type: MESSAGE_TYPE.echoReply, xid }
    writeMessage(writer, header, () => writer.bytes(body))
    this.sendOrRefuse(writer.finish())
  }
}

function writeEchoRequest(writer: ByteWriter, header: RequestHeader): void {
  writeEmptyMessage(writer, { ...header, type: MESSAGE_TYPE.echoRequest })
}

function acceptAnything(): { readonly done: undefined } {
  return { done: undefined }
}

/** Switches number what they send unasked from 0 or as they like, so xids of events mean nothing. */
function isEvent({ type }: Message): boolean {
  return (
    type === MESSAGE_TYPE.packetIn ||
    type === MESSAGE_TYPE.flowRemoved ||
    type === MESSAGE_TYPE.portStatus ||
    type === MESSAGE_TYPE.experimenter
  )
}

function takeAnswer<T>(message: Message, accept: Accept<T>): { readonly done: T } | undefined {
  if (message.type === MESSAGE_TYPE.error) {
    throw new OpenFlowRemoteError(decodeError(message.body))
  }
  return accept(message)
}

function abortReason(signal: AbortSignal | undefined): Error {
  return asError(signal?.reason)
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error('aborted', { cause: error })
}

/** What went wrong inside this package stays what it is; anything else came with the peer's bytes. */
function asOpenFlow(error: unknown): OpenFlowError {
  return error instanceof OpenFlowError
    ? error
    : new OpenFlowDecodeError('the connection broke', { cause: error })
}
