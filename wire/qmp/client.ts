import type { Duplex } from 'node:stream'

import { commands, type QmpArguments, type QmpCommandName, type QmpReturn } from './commands.ts'
import { startDeadline } from './deadline.ts'
import {
  QmpAbortedError,
  QmpConnectionError,
  QmpOverloadedError,
  QmpProtocolError,
  QmpTimeoutError,
  type QmpEnd,
  type QmpOutcome,
} from './errors.ts'
import { EventListeners, warn, type QmpListener, type QmpListenerError } from './event-listeners.ts'
import { readEvent, type QmpEvent } from './events.ts'
import { defaultQmpLimits, type QmpLimits } from './limits.ts'
import { LineSplitter } from './line-splitter.ts'
import { readMessage, type QmpGreeting, type QmpMessage } from './message.ts'
import { PendingCommands, type QmpReply } from './pending-commands.ts'
import { systemTimers, type Timers } from './timers.ts'
import { encodeCommand, type QmpObject } from './value.ts'

export interface QmpClientOptions {
  /** Uniform in [0, 1), for ids that no other session has used. */
  readonly random: () => number
  readonly timers?: Timers
  readonly limits?: Partial<QmpLimits>
  /** Until QEMU has greeted; default 5,000. */
  readonly greetingTimeoutMs?: number
  /** For commands that give none of their own; default 10,000. */
  readonly commandTimeoutMs?: number
  /** A first listener: it also hears what comes before the client is in the caller's hands. */
  readonly onEvent?: QmpListener
  /** What a listener threw. Without it, it becomes a warning of the process. */
  readonly onListenerError?: QmpListenerError
}

export interface QmpCallOptions {
  readonly timeoutMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

export interface QmpWaitOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/** Arguments may be left out where none is needed. */
type CallOf<Name extends QmpCommandName> =
  Record<never, never> extends QmpArguments<Name>
    ? readonly [given?: QmpArguments<Name>, options?: QmpCallOptions]
    : readonly [given: QmpArguments<Name>, options?: QmpCallOptions]

const GREETING_TIMEOUT_MS = 5_000
const COMMAND_TIMEOUT_MS = 10_000

/**
 * One session with a QMP monitor (docs/interop/qmp-spec.rst). It owns the stream, and ends with it. Calls may run
 * concurrently: commands are sent at once and QEMU does them one after another. All of them reject with `QmpError` only.
 */
export class QmpClient {
  readonly #stream: Duplex
  readonly #timers: Timers
  readonly #limits: QmpLimits
  readonly #commandTimeoutMs: number
  readonly #splitter: LineSplitter
  readonly #pending: PendingCommands
  readonly #listeners: EventListeners
  readonly #greeted = Promise.withResolvers<QmpGreeting>()
  readonly #ended = Promise.withResolvers<QmpConnectionError>()
  #state: 'greeting' | 'negotiating' | 'ready' = 'greeting'
  #closedBy: QmpConnectionError | undefined
  #greeting: QmpGreeting | undefined

  /**
   * Waits for the greeting and leaves the negotiation mode without asking for any capability.
   * Rejects with `QmpTimeoutError`, `QmpConnectionError`, `QmpAbortedError`, or `QmpCommandError` if the monitor refuses;
   * the stream is destroyed then.
   */
  static async open(
    stream: Duplex,
    options: QmpClientOptions & { readonly signal?: AbortSignal | undefined },
  ): Promise<QmpClient> {
    const client = new QmpClient(stream, options)
    try {
      client.#greeting = await client.#awaitGreeting(options)
      await client.#send('qmp_capabilities', {}, { signal: options.signal })
      return client
    } catch (error) {
      client.close()
      throw error
    }
  }

  private constructor(stream: Duplex, options: QmpClientOptions) {
    this.#stream = stream
    this.#timers = options.timers ?? systemTimers
    this.#limits = { ...defaultQmpLimits, ...options.limits }
    this.#commandTimeoutMs = options.commandTimeoutMs ?? COMMAND_TIMEOUT_MS
    this.#splitter = new LineSplitter(this.#limits.lineBytesMax)
    this.#pending = new PendingCommands({
      random: options.random,
      inFlightMax: this.#limits.commandsInFlightMax,
    })
    this.#listeners = new EventListeners({
      listenersMax: this.#limits.listenersMax,
      onError: options.onListenerError ?? warn,
    })
    if (options.onEvent !== undefined) this.#listeners.add(options.onEvent)
    stream.on('data', (chunk: Buffer) => this.#receive(chunk))
    stream.on('error', (cause) => this.#end('failed', cause))
    stream.on('end', () => this.#end('ended'))
    stream.on('close', () => this.#end('ended'))
    if (stream.destroyed) this.#end('ended')
  }

  /** What QEMU said of itself at the beginning. */
  get greeting(): QmpGreeting {
    // A client leaves `open` only with its greeting.
    if (this.#greeting === undefined) throw new TypeError('a client without a greeting')
    return this.#greeting
  }

  /** Resolves once, with the reason, when the connection has ended for whatever cause. Never rejects. */
  get closed(): Promise<QmpConnectionError> {
    return this.#ended.promise
  }

  get isClosed(): boolean {
    return this.#closedBy !== undefined
  }

  /**
   * Runs a command of the table (`commands.ts`) and reads its answer. Whether it may be repeated is said there.
   * Rejects with `QmpCommandError` if QEMU refuses, `QmpReturnError` if the answer cannot be read, and otherwise as
   * `execute`; `outcome` of the error says whether it may have been done.
   */
  async run<Name extends QmpCommandName>(
    name: Name,
    ...[given, options]: CallOf<Name>
  ): Promise<QmpReturn<Name>> {
    const value = await this.execute(name, given, options)
    // The row of a name reads the answer of that name; TypeScript does not follow a generic through the table.
    return commands[name].read(value, name) as QmpReturn<Name>
  }

  /**
   * Runs any command and gives back what QEMU returned, unchecked.
   * Rejects with `QmpCommandError` (QEMU refused), `QmpTimeoutError`, `QmpAbortedError` or `QmpConnectionError`
   * (outcome unknown once it was sent), `QmpValueError` or `QmpOverloadedError` (nothing was sent).
   */
  async execute(
    name: string,
    given: QmpObject = {},
    options: QmpCallOptions = {},
  ): Promise<unknown> {
    return await this.#send(name, given, options)
  }

  /**
   * Ends QEMU. Resolves when it has agreed or the connection was lost after sending, which is how QEMU often answers;
   * the process may need a moment more. Rejects as `run`.
   */
  async quit(options: QmpCallOptions = {}): Promise<void> {
    try {
      await this.#send('quit', {}, options)
    } catch (error) {
      const isLost = error instanceof QmpConnectionError && error.outcome === 'unknown'
      if (!isLost || (error.end !== 'ended' && error.end !== 'failed')) throw error
    }
  }

  /**
   * Calls the listener for every event from now on, in order, before anything that follows it on the wire is looked at.
   * The result takes it off; the end of the connection does too. Throws `QmpOverloadedError`.
   */
  onEvent(listener: QmpListener): () => void {
    return this.#listeners.add(listener)
  }

  /**
   * Resolves with the first event from now on that fits: begin to wait before sending what causes it.
   * Rejects with `QmpTimeoutError`, `QmpAbortedError`, `QmpConnectionError`, or what the predicate throws.
   */
  waitForEvent<Event extends QmpEvent>(
    predicate: (event: QmpEvent) => event is Event,
    options: QmpWaitOptions,
  ): Promise<Event>
  waitForEvent(predicate: (event: QmpEvent) => boolean, options: QmpWaitOptions): Promise<QmpEvent>
  async waitForEvent(
    predicate: (event: QmpEvent) => boolean,
    { timeoutMs, signal }: QmpWaitOptions,
  ): Promise<QmpEvent> {
    this.#checkOpen('waiting for an event', signal)
    return await this.#listeners.waitFor(predicate, { timers: this.#timers, timeoutMs, signal })
  }

  /** Ends the connection, not QEMU. Commands without an answer reject with an unknown outcome. Idempotent. */
  close(): void {
    this.#end('closed_here')
  }

  async #awaitGreeting({
    greetingTimeoutMs: timeoutMs = GREETING_TIMEOUT_MS,
    signal,
  }: QmpClientOptions & { readonly signal?: AbortSignal | undefined }): Promise<QmpGreeting> {
    const outcome = 'not_sent'
    if (signal?.aborted === true) {
      throw new QmpAbortedError('given up before it began', { outcome, cause: signal.reason })
    }
    const release = startDeadline({ timers: this.#timers, timeoutMs, signal }, (by) =>
      this.#greeted.reject(
        by === 'timeout'
          ? new QmpTimeoutError(
              `no greeting within ${timeoutMs} ms; most likely another client holds this monitor, which serves one at a time`,
              { outcome },
            )
          : new QmpAbortedError('given up by the caller before the greeting', {
              outcome,
              cause: signal?.reason,
            }),
      ),
    )
    try {
      return await this.#greeted.promise
    } finally {
      release()
    }
  }

  async #send(
    name: string,
    given: QmpObject,
    { timeoutMs = this.#commandTimeoutMs, signal }: QmpCallOptions,
  ): Promise<unknown> {
    this.#checkOpen(name, signal)
    const refusal = this.#pending.refusal
    if (refusal !== undefined) throw refusal
    if (this.#stream.writableLength > this.#limits.sendBufferBytesMax) {
      throw new QmpOverloadedError(
        `QEMU has not read ${this.#limits.sendBufferBytesMax} bytes (sendBufferBytesMax)`,
      )
    }
    const id = this.#pending.makeId()
    const line = encodeCommand({ name, id, arguments: given }, this.#limits.commandBytesMax)
    // Before the write: a stream may answer, or end, within it.
    const answer = this.#pending.add(id, name, { timers: this.#timers, timeoutMs, signal })
    this.#stream.write(line)
    return await answer
  }

  #checkOpen(what: string, signal: AbortSignal | undefined): void {
    if (this.#closedBy !== undefined) {
      throw this.#endedError(`${what}: there is no connection`, this.#closedBy, 'not_sent')
    }
    if (signal?.aborted === true) {
      throw new QmpAbortedError(`${what}: given up before it was sent`, {
        outcome: 'not_sent',
        cause: signal.reason,
      })
    }
  }

  #receive(chunk: Buffer): void {
    if (this.isClosed) return
    try {
      this.#splitter.push(chunk, (line) => {
        // A listener may have closed the connection between two lines of one chunk.
        if (!this.isClosed) this.#dispatch(readMessage(line, this.#limits.depthMax))
      })
    } catch (error) {
      if (!(error instanceof QmpProtocolError)) throw error
      this.#end('protocol', error)
    }
  }

  #dispatch(message: QmpMessage): void {
    if (this.#state === 'greeting') {
      if (message.is !== 'greeting') {
        throw new QmpProtocolError(`the first message is not a greeting but ${message.is}`)
      }
      this.#state = 'negotiating'
      this.#greeted.resolve(message.greeting)
      return
    }
    switch (message.is) {
      case 'greeting':
        throw new QmpProtocolError('a second greeting')
      case 'event':
        this.#listeners.emit(readEvent(message))
        return
      case 'return':
      case 'error':
        this.#dispatchReply(message)
    }
  }

  #dispatchReply(reply: QmpReply): void {
    const isOurs = this.#pending.settle(reply)
    if (isOurs) {
      this.#state = 'ready'
      return
    }
    // QEMU works off one command at a time, also one whose client has gone: its answer comes to the next client, but
    // never after the answer to that one's first command.
    if (this.#state === 'negotiating') return
    if (reply.is === 'error' && reply.id === null) {
      // QEMU leaves the id out where it could not read the command at all: then nobody can tell which one it was.
      const description = reply.description.slice(0, 200)
      throw new QmpProtocolError(`QEMU could not read a command: ${description}`)
    }
    throw new QmpProtocolError('an answer to a command that was not sent')
  }

  #end(end: QmpEnd, cause?: unknown): void {
    if (this.#closedBy !== undefined) return
    const reason = new QmpConnectionError(describeEnd(end), { end, outcome: 'unknown', cause })
    this.#closedBy = reason
    this.#pending.rejectAll((command) =>
      this.#endedError(`${command}: ${reason.message} before the answer`, reason, 'unknown'),
    )
    this.#listeners.end(() =>
      this.#endedError(`${reason.message} while waiting for an event`, reason, 'not_sent'),
    )
    // Heard only while `open` waits for it; the handler keeps a connection that ends later from counting as unhandled.
    this.#greeted.promise.catch(() => undefined)
    this.#greeted.reject(
      this.#endedError(`${reason.message} before the greeting`, reason, 'not_sent'),
    )
    this.#stream.destroy()
    this.#ended.resolve(reason)
  }

  #endedError(
    message: string,
    reason: QmpConnectionError,
    outcome: QmpOutcome,
  ): QmpConnectionError {
    return new QmpConnectionError(message, { end: reason.end, outcome, cause: reason })
  }
}

function describeEnd(end: QmpEnd): string {
  switch (end) {
    case 'closed_here':
      return 'the connection was closed here'
    case 'ended':
      return 'QEMU ended the connection'
    case 'failed':
      return 'the connection failed'
    case 'protocol':
      return 'the connection was given up because QEMU broke the protocol'
  }
}
