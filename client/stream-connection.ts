import type { Clock } from '@nubo/base'
import { STREAM_CREDIT_BYTES, type StreamControl } from '@nubo/contracts'
import { ContractError, StreamError } from './errors.ts'
import { decodeControl, decodeOutput, encodeStdin, type StreamChunk } from './stream-frames.ts'

const OPEN_TIMEOUT_MS = 15_000
// Returning credit in quarters keeps the sender busy without a message for each frame.
const CREDIT_STEP_BYTES = STREAM_CREDIT_BYTES / 4
/** A set has fewer containers, and each is lost once. */
const LOST_MAX = 64

export type StreamSignal = Extract<StreamControl, { type: 'signal' }>['signal']
export type StreamEnd = Omit<Extract<StreamControl, { type: 'end' }>, 'type'>

/** What a log carries beside its output. */
export type LogMark = Extract<StreamControl, { type: 'position' | 'lost' }>
export type StreamItem = { readonly type: 'output'; readonly chunk: StreamChunk } | LogMark

/** One exec or logs stream. */
export interface StreamConnection {
  /**
   * What the program prints, in order; to be read once. The server pauses when STREAM_CREDIT_BYTES were not read.
   * Ends when the program did, and throws what `ended` rejects with.
   */
  readonly output: AsyncIterable<StreamChunk>
  /** The same with what stands between it, for a log with positions; to be read instead of `output`. */
  readonly items: AsyncIterable<StreamItem>
  /** How the program ended. Rejects with StreamError when the connection breaks, ContractError for a bad peer. */
  readonly ended: Promise<StreamEnd>
  /**
   * Sends input, at most STREAM_CREDIT_BYTES beyond what the program has read. Resolves when all of it was sent; input
   * after the end is dropped. One call at a time.
   */
  write(bytes: Uint8Array): Promise<void>
  /** No more input follows. */
  endStdin(): void
  resize(size: { columns: number; rows: number }): void
  signal(signal: StreamSignal): void
  /** Gives the stream up; the server ends the program's input and output. Idempotent. */
  close(): void
}

/**
 * Opens the WebSocket of a ticket. Resolves when it is open; rejects with StreamError when the server refuses it or
 * takes longer than 15 s.
 */
export function connectStream(
  deps: { clock: Clock; webSocket: (url: string) => WebSocket },
  url: string,
  signal?: AbortSignal,
): Promise<StreamConnection> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason)
    const socket = deps.webSocket(url)
    socket.binaryType = 'arraybuffer'
    const stream = new OpenStream(socket)
    const timer = deps.clock.after(OPEN_TIMEOUT_MS, () =>
      stream.fail(new StreamError(`the stream did not open in ${OPEN_TIMEOUT_MS} ms`)),
    )
    const onAbort = (): void => stream.fail(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    stream.ended
      .catch(reject)
      .finally(() => {
        timer.cancel()
        signal?.removeEventListener('abort', onAbort)
      })
      // proof of handling: the rejection goes to the caller through `reject` and through `ended`
      .catch(() => undefined)
    socket.addEventListener('open', () => {
      timer.cancel()
      resolve(stream)
    })
  })
}

class OpenStream implements StreamConnection {
  readonly ended: Promise<StreamEnd>
  readonly output: AsyncIterable<StreamChunk>
  readonly items: AsyncIterable<StreamItem>
  readonly #socket: WebSocket
  readonly #queue: StreamItem[] = []
  #queuedBytes = 0
  #consumedBytes = 0
  #unreadInputBytes = 0
  #wakeReader: () => void = () => undefined
  #wakeWriter: () => void = () => undefined
  #isOver = false
  #failure: { error: unknown } | undefined
  #resolveEnded: (end: StreamEnd) => void = () => undefined
  #rejectEnded: (error: unknown) => void = () => undefined

  constructor(socket: WebSocket) {
    this.#socket = socket
    this.ended = new Promise((resolve, reject) => {
      this.#resolveEnded = resolve
      this.#rejectEnded = reject
    })
    // A caller that only reads `output` meets the failure there.
    this.ended.catch(() => undefined)
    this.items = { [Symbol.asyncIterator]: () => this.#read() }
    this.output = { [Symbol.asyncIterator]: () => outputOf(this.items) }
    socket.addEventListener('message', ({ data }) => this.#receive(data))
    socket.addEventListener('error', () => this.fail(new StreamError('the stream broke')))
    socket.addEventListener('close', ({ code, reason }) =>
      this.fail(
        new StreamError(
          `the server closed the stream before its end (${reason === '' ? code : reason})`,
        ),
      ),
    )
  }

  fail(error: unknown): void {
    if (this.#isOver) return
    this.#failure = { error }
    this.#rejectEnded(error)
    this.#finish()
  }

  close(): void {
    this.fail(new StreamError('the stream was given up'))
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (const frame of encodeStdin(bytes)) {
      const inputBytes = frame.byteLength - 1
      while (!this.#isOver && this.#unreadInputBytes + inputBytes > STREAM_CREDIT_BYTES) {
        await new Promise<void>((resolve) => {
          this.#wakeWriter = resolve
        })
      }
      if (this.#isOver) return
      this.#unreadInputBytes += inputBytes
      this.#socket.send(frame)
    }
  }

  endStdin(): void {
    this.#control({ type: 'stdin-end' })
  }

  resize(size: { columns: number; rows: number }): void {
    this.#control({ type: 'resize', ...size })
  }

  signal(signal: StreamSignal): void {
    this.#control({ type: 'signal', signal })
  }

  #control(message: StreamControl): void {
    if (!this.#isOver) this.#socket.send(JSON.stringify(message))
  }

  #finish(): void {
    this.#isOver = true
    this.#wakeReader()
    this.#wakeWriter()
    this.#socket.close()
  }

  #receive(message: unknown): void {
    if (this.#isOver) return
    try {
      if (typeof message === 'string') this.#receiveControl(decodeControl(message))
      else if (message instanceof ArrayBuffer) this.#receiveOutput(new Uint8Array(message))
      else throw new ContractError('a stream message is neither text nor bytes')
    } catch (error) {
      this.fail(error)
    }
  }

  #receiveControl(control: StreamControl): void {
    if (control.type === 'credit') {
      // A host that returns more than it got would only harm itself; but never below nothing.
      this.#unreadInputBytes = Math.max(0, this.#unreadInputBytes - control.bytes)
      this.#wakeWriter()
      return
    }
    if (control.type === 'position' || control.type === 'lost') return this.#receiveMark(control)
    if (control.type !== 'end') {
      throw new ContractError(`a server must not send the control message ${control.type}`)
    }
    this.#resolveEnded({ exitCode: control.exitCode, error: control.error })
    this.#finish()
  }

  /** Positions that follow each other become one, so that marks do not outgrow the output, which is bounded. */
  #receiveMark(mark: LogMark): void {
    const last = this.#queue.at(-1)
    if (mark.type === 'position' && last?.type === 'position') {
      const containers = { ...last.containers, ...mark.containers }
      this.#queue[this.#queue.length - 1] = { type: 'position', containers }
    } else if (this.#queue.filter(({ type }) => type === 'lost').length > LOST_MAX)
      throw new ContractError('the server sent too much between the output')
    else this.#queue.push(mark)
    this.#wakeReader()
  }

  #receiveOutput(frame: Uint8Array): void {
    const chunk = decodeOutput(frame)
    this.#queuedBytes += chunk.bytes.byteLength
    if (this.#queuedBytes > STREAM_CREDIT_BYTES) {
      throw new ContractError(
        `the server sent more than the credit of ${STREAM_CREDIT_BYTES} bytes`,
      )
    }
    this.#queue.push({ type: 'output', chunk })
    this.#wakeReader()
  }

  async *#read(): AsyncGenerator<StreamItem, void, void> {
    for (;;) {
      const item = this.#queue.shift()
      if (item !== undefined) {
        yield item
        if (item.type === 'output') this.#giveCredit(item.chunk.bytes.byteLength)
        continue
      }
      if (this.#failure !== undefined) throw this.#failure.error
      if (this.#isOver) return
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve
      })
    }
  }

  #giveCredit(bytes: number): void {
    this.#queuedBytes -= bytes
    this.#consumedBytes += bytes
    if (this.#consumedBytes < CREDIT_STEP_BYTES) return
    this.#control({ type: 'credit', bytes: this.#consumedBytes })
    this.#consumedBytes = 0
  }
}

async function* outputOf(items: AsyncIterable<StreamItem>): AsyncGenerator<StreamChunk> {
  for await (const item of items) if (item.type === 'output') yield item.chunk
}
