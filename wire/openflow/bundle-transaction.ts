import { BUNDLE_STEP, decodeBundleControl, writeBundleAdd, writeBundleControl } from './bundle.ts'
import { ByteWriter } from './bytes.ts'
import type { Accept, Channel, RequestOptions } from './channel.ts'
import { OpenFlowRemoteError } from './error-message.ts'
import {
  OpenFlowDecodeError,
  OpenFlowEncodeError,
  OpenFlowError,
  OpenFlowTimeoutError,
} from './errors.ts'
import type { FlowChange } from './flow.ts'
import { MESSAGE_TYPE } from './message.ts'

/** Failures that a bundle reports; a bundle with more is wrong as a whole. */
export const BUNDLE_FAILURES_MAX = 100

/**
 * Bytes encoded before they are handed to the stream: big enough that 10,000 flows take a handful of writes, small enough
 * that the process does other things in between (about 1,500 flows, 5 ms).
 */
const CHUNK_BYTES = 256 * 1024

/** The switch needs no time to forget a bundle; one that does not answer is dead. */
const DISCARD_TIMEOUT_MS = 5_000

export interface BundleFailure {
  /** Position of the change in the array that was applied. */
  readonly index: number
  readonly error: OpenFlowEncodeError | OpenFlowRemoteError
}

/** Nothing of the bundle was applied. */
export class OpenFlowBundleError extends OpenFlowError {
  /** Changes that are to blame, by index, at most BUNDLE_FAILURES_MAX; may be empty if the bundle itself was refused. */
  readonly failures: readonly BundleFailure[]

  constructor(failures: readonly BundleFailure[], options?: ErrorOptions) {
    const [first] = failures
    super(
      first === undefined
        ? 'the bundle was refused; nothing was changed'
        : `change ${first.index} of the bundle: ${first.error.message}; nothing was changed`,
      options,
    )
    this.failures = failures
  }
}

/**
 * One bundle over one channel: open, add every change, close, commit. The reply to close comes after every refusal of an
 * added message, so it is the moment to know whether committing makes sense: Open vSwitch would commit the rest.
 */
export class BundleTransaction {
  readonly #channel: Channel
  readonly #bundleId: number
  readonly #changes: readonly FlowChange[]
  readonly #timeoutMs: number
  /** Fires when the whole transaction has taken too long. */
  readonly #expired = new AbortController()
  /** Fires for the same, and when the caller changes his mind. */
  readonly #stop: AbortSignal
  readonly #failures: BundleFailure[] = []

  constructor(
    channel: Channel,
    bundle: { readonly id: number; readonly changes: readonly FlowChange[] },
    options: RequestOptions & { readonly timeoutMs: number },
  ) {
    this.#channel = channel
    this.#bundleId = bundle.id
    this.#changes = bundle.changes
    this.#timeoutMs = options.timeoutMs
    this.#stop = AbortSignal.any([
      this.#expired.signal,
      ...(options.signal ? [options.signal] : []),
    ])
  }

  /**
   * Resolves after the switch has committed. Rejects with OpenFlowBundleError or the signal's reason if nothing was
   * changed. On a timeout the outcome is unknown and the connection is closed, which makes the switch forget an open bundle.
   */
  async run(): Promise<void> {
    const cancelTimer = this.#channel.timers.after(this.#timeoutMs, () =>
      this.#expired.abort(new OpenFlowTimeoutError(`bundle not done in ${this.#timeoutMs} ms`)),
    )
    const firstXid = this.#channel.takeXids(this.#changes.length)
    this.#channel.watchRefusals({
      firstXid,
      count: this.#changes.length,
      onRefusal: (index, error) => this.#blame(index, error),
    })
    try {
      await this.#prepare(firstXid)
      await this.#commit()
    } catch (error) {
      if (error instanceof OpenFlowTimeoutError) this.#channel.close(error)
      throw error
    } finally {
      this.#channel.watchRefusals(undefined)
      cancelTimer()
    }
  }

  async #prepare(firstXid: number): Promise<void> {
    const opened = this.#expectStep(BUNDLE_STEP.open, this.#stop)
    // Its refusal surfaces below; until then it must not count as unhandled.
    opened.catch(() => undefined)
    try {
      await this.#add(firstXid)
      await this.#expectStep(BUNDLE_STEP.close, this.#stop)
      await opened
      this.#throwFailures()
      this.#stop.throwIfAborted()
    } catch (error) {
      await this.#discard(error)
      throw error instanceof OpenFlowRemoteError ? this.#refused(error) : error
    }
  }

  /** From here on there is no way back, so the signal no longer counts; the deadline does. */
  async #commit(): Promise<void> {
    try {
      await this.#expectStep(BUNDLE_STEP.commit, this.#expired.signal)
    } catch (error) {
      if (error instanceof OpenFlowRemoteError) throw this.#refused(error)
      // No answer, or one that makes no sense: nobody can say what happened, so nobody shall go on as if.
      if (error instanceof OpenFlowError) this.#channel.close(error)
      throw error
    }
  }

  async #add(firstXid: number): Promise<void> {
    const { version } = this.#channel
    let writer = new ByteWriter(CHUNK_BYTES * 2)
    for (const [index, change] of this.#changes.entries()) {
      const start = writer.length
      try {
        const header = { version, xid: firstXid + index }
        writeBundleAdd(writer, { bundleId: this.#bundleId, change }, header)
      } catch (error) {
        if (!(error instanceof OpenFlowEncodeError)) throw error
        writer.truncate(start)
        this.#blame(index, error)
      }
      if (writer.length >= CHUNK_BYTES) {
        await this.#send(writer)
        writer = new ByteWriter(CHUNK_BYTES * 2)
        if (this.#failures.length >= BUNDLE_FAILURES_MAX) return
      }
    }
    await this.#send(writer)
  }

  async #send(writer: ByteWriter): Promise<void> {
    this.#stop.throwIfAborted()
    if (writer.length === 0) return
    const wantsMore = this.#channel.send(writer.finish())
    // Also if the stream takes more: others want their turn, and refusals want to be read.
    if (wantsMore) await nextTurn()
    else await this.#channel.drained(this.#stop)
  }

  #expectStep(step: number, signal?: AbortSignal, timeoutMs = this.#timeoutMs): Promise<undefined> {
    const accept: Accept<undefined> = (message) => {
      if (message.type !== MESSAGE_TYPE.bundleControl) {
        throw new OpenFlowDecodeError(`message of type ${message.type} instead of a bundle reply`)
      }
      const reply = decodeBundleControl(message.body)
      if (reply.step !== step + 1 || reply.bundleId !== this.#bundleId) {
        throw new OpenFlowDecodeError(`bundle reply ${reply.step} for bundle ${reply.bundleId}`)
      }
      return { done: undefined }
    }
    return this.#channel.request(
      { timeoutMs, ...(signal && { signal }) },
      (writer, header) => writeBundleControl(writer, { bundleId: this.#bundleId, step }, header),
      accept,
    )
  }

  /** Leaves nothing half-made in the switch; if even that is not answered, the connection goes, and the bundle with it. */
  async #discard(because: unknown): Promise<void> {
    if (this.#channel.closedBecause !== undefined || because instanceof OpenFlowTimeoutError) return
    try {
      await this.#expectStep(BUNDLE_STEP.discard, undefined, DISCARD_TIMEOUT_MS)
    } catch (error) {
      const reason = error instanceof OpenFlowError ? error : undefined
      this.#channel.close(reason ?? new OpenFlowDecodeError('discard failed', { cause: error }))
    }
  }

  #blame(index: number, error: BundleFailure['error']): void {
    if (this.#failures.length < BUNDLE_FAILURES_MAX) this.#failures.push({ index, error })
  }

  #throwFailures(): void {
    if (this.#failures.length > 0) throw this.#refused()
  }

  #refused(cause?: unknown): OpenFlowBundleError {
    const failures = this.#failures.toSorted((a, b) => a.index - b.index)
    return new OpenFlowBundleError(failures, cause === undefined ? {} : { cause })
  }
}

function nextTurn(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  setImmediate(resolve)
  return promise
}
