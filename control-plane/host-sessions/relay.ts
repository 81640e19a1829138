import { STREAM_FRAME_BYTES_MAX, streamChannel, streamControl } from '@nubo/contracts'
import type { StreamFrame, StreamSocket } from './needs.ts'

/** Reading from one side stops while this much waits to leave on the other. */
const WAITING_BYTES_HIGH = 512 * 1024
const WAITING_BYTES_LOW = 128 * 1024

/** Which side a frame came from; each may say other things. */
export type Side = 'client' | 'host'

/** Undefined if the contract allows the frame, else what is wrong with it. `isEnd`: it is the host's last word. */
export function judgeFrame(side: Side, frame: StreamFrame): { problem?: string; isEnd: boolean } {
  if (frame.length > STREAM_FRAME_BYTES_MAX)
    return { problem: 'a frame is too large', isEnd: false }
  if (typeof frame !== 'string') {
    const channel = frame[0]
    const allowed =
      side === 'client'
        ? channel === streamChannel.stdin
        : channel === streamChannel.stdout || channel === streamChannel.stderr
    return allowed
      ? { isEnd: false }
      : { problem: `channel ${channel} from the ${side}`, isEnd: false }
  }
  const type = controlType(frame)
  if (type === undefined) return { problem: 'a control message is malformed', isEnd: false }
  const fromClient = type === 'resize' || type === 'signal' || type === 'stdin-end'
  if (type !== 'credit' && fromClient !== (side === 'client'))
    return { problem: `${type} from the ${side}`, isEnd: false }
  return { isEnd: type === 'end' }
}

function controlType(text: string): string | undefined {
  try {
    return streamControl.safeParse(JSON.parse(text)).data?.type
  } catch {
    return undefined
  }
}

/** One direction of a stream. Frames that come before the other side is there are kept, within the same bound. */
export class Relay {
  readonly #from: StreamSocket
  readonly #waiting: StreamFrame[] = []
  #to: StreamSocket | undefined
  #waitingBytes = 0
  #isPaused = false

  constructor(from: StreamSocket) {
    this.#from = from
  }

  /** Frames leave in order. */
  pass(frame: StreamFrame): void {
    this.#waitingBytes += frame.length
    if (this.#to === undefined) this.#waiting.push(frame)
    else this.#send(this.#to, frame)
    if (!this.#isPaused && this.#waitingBytes > WAITING_BYTES_HIGH) {
      this.#isPaused = true
      this.#from.pause()
    }
  }

  connect(to: StreamSocket): void {
    this.#to = to
    for (const frame of this.#waiting.splice(0)) this.#send(to, frame)
  }

  /** What waits although reading was stopped; a peer that ignores the stop is cut off. */
  get isOverfull(): boolean {
    return this.#waitingBytes > 4 * WAITING_BYTES_HIGH
  }

  #send(to: StreamSocket, frame: StreamFrame): void {
    to.send(frame, () => {
      this.#waitingBytes -= frame.length
      if (!this.#isPaused || this.#waitingBytes > WAITING_BYTES_LOW) return
      this.#isPaused = false
      this.#from.resume()
    })
  }
}
