import { streamControl, type StreamControl } from '@nubo/contracts'
import type { StreamFrame, StreamSocket } from '../needs.ts'

/** One end of a stream whose peer is the test. */
export class FakeSocket implements StreamSocket {
  readonly received: StreamFrame[] = []
  closed: { code: number; reason: string } | undefined
  isPaused = false
  /** While false, what is sent to the peer does not leave. */
  drains = true
  readonly #unsent: (() => void)[] = []
  #onFrame: (frame: StreamFrame) => void = () => {}
  #onClose: () => void = () => {}

  send(frame: StreamFrame, sent: () => void): void {
    if (this.closed !== undefined) return
    this.received.push(frame)
    if (this.drains) sent()
    else this.#unsent.push(sent)
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
  }

  close(code: number, reason: string): void {
    if (this.closed !== undefined) return
    this.closed = { code, reason }
    this.#onClose()
  }

  onFrame(listener: (frame: StreamFrame) => void): void {
    this.#onFrame = listener
  }

  onClose(listener: () => void): void {
    this.#onClose = listener
  }

  /** As the peer. */
  say(frame: StreamFrame | StreamControl): void {
    const isFrame = typeof frame === 'string' || frame instanceof Uint8Array
    if (this.closed === undefined) this.#onFrame(isFrame ? frame : JSON.stringify(frame))
  }

  drain(): void {
    this.drains = true
    for (const sent of this.#unsent.splice(0)) sent()
  }

  /** The control messages that came. */
  controls(): StreamControl[] {
    return this.received
      .filter((frame) => typeof frame === 'string')
      .map((text) => streamControl.safeParse(JSON.parse(text)).data)
      .filter((control) => control !== undefined)
  }
}
