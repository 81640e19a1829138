import type { Duplex } from 'node:stream'

import type { AsyncEvent } from './async-config.ts'
import { BundleTransaction } from './bundle-transaction.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import { Channel, type RequestHeader, type RequestOptions } from './channel.ts'
import {
  OpenFlowClosedError,
  OpenFlowDecodeError,
  OpenFlowLimitError,
  type OpenFlowError,
} from './errors.ts'
import { Listeners, type Listener, type OpenFlowEvents } from './events.ts'
import type { SwitchFeatures } from './features.ts'
import {
  decodeFlows,
  writeFlowRequest,
  type FlowDump,
  type FlowFilter,
  type ForeignFlow,
  type InstalledFlow,
} from './flow-stats.ts'
import type { FlowChange } from './flow.ts'
import { greet, introduce, type Greeting } from './greeting.ts'
import { MESSAGE_TYPE, writeEmptyMessage, type Message } from './message.ts'
import { MULTIPART, decodeMultipartReply } from './multipart.ts'
import { writeResume, type PacketIn } from './packet-in.ts'
import { writePacketOut, type PacketOut } from './packet-out.ts'
import {
  decodePortDescriptions,
  decodePortStats,
  writePortDescriptionRequest,
  writePortStatsRequest,
  type PortDescription,
  type PortStats,
} from './port-messages.ts'
import { PORT_ANY } from './ports.ts'
import { systemTimers, type Timers } from './timers.ts'
import { VERSION_14, VERSION_15, type OpenFlowVersion } from './version.ts'

/** Bundles that may wait for their turn; a caller with more has lost touch with its switch. */
export const BUNDLES_QUEUED_MAX = 64

/** Entries that one dump may hold; more would not fit the memory of the process. */
export const DUMP_ENTRIES_MAX = 2_000_000

export interface OpenFlowClientOptions {
  /** Versions offered, 1.5 before 1.4 by default; the highest common one is used. */
  readonly versions?: readonly OpenFlowVersion[]
  /** What the switch shall send unasked; all by default. */
  readonly events?: readonly AsyncEvent[]
  /** From the first byte to a usable client. */
  readonly openTimeoutMs?: number
  readonly requestTimeoutMs?: number
  readonly bundleTimeoutMs?: number
  /** Silence after which the peer is asked for a sign of life, and how long it has for it. */
  readonly echoIntervalMs?: number
  readonly echoTimeoutMs?: number
  readonly timers?: Timers
  /** Ends the opening, not the client. */
  readonly signal?: AbortSignal
}

const ALL_EVENTS: readonly AsyncEvent[] = ['packetIn', 'flowRemoved', 'portStatus']

const OPEN_TIMEOUT_MS = 5_000
const REQUEST_TIMEOUT_MS = 10_000
const BUNDLE_TIMEOUT_MS = 60_000
const ECHO_INTERVAL_MS = 5_000
/** A switch that commits a big bundle answers nothing meanwhile. */
const ECHO_TIMEOUT_MS = 15_000

/**
 * A controller's end of one OpenFlow connection. Methods may be called at the same time; bundles take turns.
 * A client does not reconnect: `closed` tells when it ended, and whoever made it makes the next one.
 */
export class OpenFlowClient {
  readonly version: OpenFlowVersion
  readonly features: SwitchFeatures
  /** Resolves, never rejects, with the reason why the connection ended. */
  readonly closed: Promise<OpenFlowError>
  readonly #channel: Channel
  readonly #requestTimeoutMs: number
  readonly #bundleTimeoutMs: number
  readonly #listeners: Listeners
  #lastBundle: Promise<unknown> = Promise.resolve()
  #bundlesQueued = 0
  #nextBundleId = 1

  private constructor(
    opened: Opened & { readonly features: SwitchFeatures },
    options: OpenFlowClientOptions,
  ) {
    this.#channel = opened.channel
    this.#listeners = opened.listeners
    this.closed = opened.closed
    this.version = opened.channel.version
    this.features = opened.features
    this.#requestTimeoutMs = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS
    this.#bundleTimeoutMs = options.bundleTimeoutMs ?? BUNDLE_TIMEOUT_MS
  }

  /**
   * Greets the switch at the other end of the stream and asks for its events. On failure the stream is destroyed.
   * Rejects with OpenFlowTimeoutError, OpenFlowVersionError, OpenFlowClosedError, OpenFlowDecodeError or the signal's reason.
   */
  static async open(stream: Duplex, options: OpenFlowClientOptions = {}): Promise<OpenFlowClient> {
    const timers = options.timers ?? systemTimers
    const versions = options.versions ?? [VERSION_15, VERSION_14]
    const timeoutMs = options.openTimeoutMs ?? OPEN_TIMEOUT_MS
    const waiting = { timers, timeoutMs, ...(options.signal && { signal: options.signal }) }
    const greeting = await greet(stream, versions, waiting)
    const opened = attach(stream, greeting, timers)
    try {
      const wishes = { versions, events: options.events ?? ALL_EVENTS }
      const features = await introduce(opened.channel, wishes, waiting)
      opened.channel.startEcho({
        intervalMs: options.echoIntervalMs ?? ECHO_INTERVAL_MS,
        timeoutMs: options.echoTimeoutMs ?? ECHO_TIMEOUT_MS,
      })
      return new OpenFlowClient({ ...opened, features }, options)
    } catch (error) {
      opened.channel.close(
        new OpenFlowClosedError('the connection could not be opened', { cause: error }),
      )
      throw error
    }
  }

  /** Calls the listener for each event from now on; returns what takes it off. Events without a listener are dropped. */
  on<K extends keyof OpenFlowEvents>(event: K, listener: Listener<K>): () => void {
    return this.#listeners.add(event, listener)
  }

  /** Resolves when the switch has finished everything sent before. */
  async barrier(options: RequestOptions = {}): Promise<void> {
    await this.#request(
      options,
      (writer, header) =>
        writeEmptyMessage(writer, { ...header, type: MESSAGE_TYPE.barrierRequest }),
      (message) => expectType(message, MESSAGE_TYPE.barrierReply),
    )
  }

  /**
   * Applies all changes at once or none of them, in order; packets see either the state before or after. Resolves when the
   * switch has committed. Bundles of one client run one after the other.
   * Rejects with OpenFlowBundleError (nothing changed, says which change is to blame), OpenFlowLimitError (too many wait),
   * OpenFlowTimeoutError or OpenFlowClosedError (outcome unknown: dump and compare), or the signal's reason (nothing
   * changed). The signal is no longer heard once the commit is on its way.
   */
  async applyBundle(changes: readonly FlowChange[], options: RequestOptions = {}): Promise<void> {
    options.signal?.throwIfAborted()
    this.#channel.requireOpen()
    if (changes.length === 0) return
    if (this.#bundlesQueued >= BUNDLES_QUEUED_MAX) {
      throw new OpenFlowLimitError(`${BUNDLES_QUEUED_MAX} bundles wait already`)
    }
    const turn = Promise.withResolvers<void>()
    const run = this.#lastBundle.then(() => {
      turn.resolve()
      return this.#runBundle(changes, options)
    })
    this.#bundlesQueued += 1
    const leave = (): void => {
      this.#bundlesQueued -= 1
    }
    this.#lastBundle = run.then(leave, leave)
    await unlessAborted(turn.promise, options.signal)
    await run
  }

  async #runBundle(changes: readonly FlowChange[], options: RequestOptions): Promise<void> {
    options.signal?.throwIfAborted()
    this.#channel.requireOpen()
    const id = this.#nextBundleId
    this.#nextBundleId = (this.#nextBundleId % 0xffff_ffff) + 1
    const timeoutMs = options.timeoutMs ?? this.#bundleTimeoutMs
    await new BundleTransaction(this.#channel, { id, changes }, { ...options, timeoutMs }).run()
  }

  /** What the switch holds now, counters beside each flow. Flows with things we do not speak are listed as foreign. */
  async dumpFlows(filter: FlowFilter = {}, options: RequestOptions = {}): Promise<FlowDump> {
    const flows: InstalledFlow[] = []
    const foreign: ForeignFlow[] = []
    await this.#multipart(
      options,
      (writer, header) => writeFlowRequest(writer, filter, header),
      MULTIPART.flow,
      (body) => {
        for (const found of decodeFlows(body, this.version)) {
          if ('flow' in found) flows.push(found)
          else foreign.push(found)
        }
        return flows.length + foreign.length
      },
    )
    return { flows, foreign }
  }

  async portDescriptions(options: RequestOptions = {}): Promise<readonly PortDescription[]> {
    const ports: PortDescription[] = []
    await this.#multipart(
      options,
      (writer, header) => writePortDescriptionRequest(writer, header),
      MULTIPART.portDescription,
      (body) => ports.push(...decodePortDescriptions(body)),
    )
    return ports
  }

  /** Of one port, or of all. */
  async portStats(
    options: RequestOptions & { readonly port?: number } = {},
  ): Promise<readonly PortStats[]> {
    const all: PortStats[] = []
    await this.#multipart(
      options,
      (writer, header) => writePortStatsRequest(writer, options.port ?? PORT_ANY, header),
      MULTIPART.portStats,
      (body) => all.push(...decodePortStats(body)),
    )
    return all
  }

  /**
   * Hands a packet to the switch. There is no answer: a refusal comes as an `error` event.
   * Throws OpenFlowEncodeError, OpenFlowClosedError, or OpenFlowLimitError if the switch is too slow.
   */
  packetOut(packetOut: PacketOut): void {
    this.#send((writer, header) => writePacketOut(writer, packetOut, header))
  }

  /** Lets a paused packet go on where it stopped. Throws as packetOut. */
  resume(packetIn: PacketIn): void {
    this.#send((writer, header) => writeResume(writer, packetIn, header))
  }

  /** Ends the connection at once; what waits is rejected. Idempotent. */
  close(): void {
    this.#channel.close(new OpenFlowClosedError('closed by this side'))
  }

  #send(write: (writer: ByteWriter, header: RequestHeader) => void): void {
    this.#channel.requireOpen()
    const writer = new ByteWriter()
    write(writer, { version: this.version, xid: this.#channel.takeXids() })
    this.#channel.sendOrRefuse(writer.finish())
  }

  #request<T>(
    options: RequestOptions,
    write: (writer: ByteWriter, header: RequestHeader) => void,
    accept: (message: Message) => { readonly done: T } | undefined,
  ): Promise<T> {
    const timeoutMs = options.timeoutMs ?? this.#requestTimeoutMs
    return this.#channel.request({ ...options, timeoutMs }, write, accept)
  }

  /** Collects a reply that may come in many messages; `collect` returns how many entries there are so far. */
  async #multipart(
    options: RequestOptions,
    write: (writer: ByteWriter, header: RequestHeader) => void,
    type: number,
    collect: (body: ByteReader) => number,
  ): Promise<void> {
    await this.#request(options, write, (message) => {
      expectType(message, MESSAGE_TYPE.multipartReply)
      const reply = decodeMultipartReply(message.body)
      if (reply.type !== type) {
        throw new OpenFlowDecodeError(`multipart reply ${reply.type} instead of ${type}`)
      }
      if (collect(reply.body) > DUMP_ENTRIES_MAX) {
        throw new OpenFlowLimitError(`a dump of more than ${DUMP_ENTRIES_MAX} entries`)
      }
      return reply.hasMore ? undefined : { done: undefined }
    })
  }
}

/** Waits for the promise, but no longer than the signal allows. */
async function unlessAborted(
  promise: Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    await Promise.race([promise, aborted.promise])
  } finally {
    signal?.removeEventListener('abort', onAbort)
  }
}

function expectType(message: Message, type: number): { readonly done: undefined } {
  if (message.type !== type) {
    throw new OpenFlowDecodeError(`message of type ${message.type} instead of ${type}`)
  }
  return { done: undefined }
}

interface Opened {
  readonly channel: Channel
  readonly listeners: Listeners
  readonly closed: Promise<OpenFlowError>
}

function attach(stream: Duplex, { splitter, version }: Greeting, timers: Timers): Opened {
  const listeners = new Listeners()
  const closed = Promise.withResolvers<OpenFlowError>()
  const channel = new Channel(stream, splitter, {
    version,
    timers,
    onUnrequested: (message) => listeners.emitMessage(message, version),
    onClose(reason) {
      closed.resolve(reason)
      listeners.emit('close', reason)
    },
  })
  channel.start()
  return { channel, listeners, closed: closed.promise }
}
