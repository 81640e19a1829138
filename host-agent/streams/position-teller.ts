import type { Clock, Timer } from '@nubo/base'
import { LOG_POSITION_BYTES, type LogPosition, type StreamControl } from '@nubo/contracts'
import { formatPosition, type EntryPosition } from './log-position.ts'

/** Output is shown when its position has come; a person does not notice so much. */
const TELL_AFTER_MS = 10

/**
 * Says how far logs were carried, between entries and not for each of them: a position goes out TELL_AFTER_MS after the
 * first entry that it covers, and before LOG_POSITION_BYTES are exceeded.
 */
export class PositionTeller {
  readonly #clock: Clock
  readonly #send: (control: StreamControl) => void
  #changed: LogPosition = {}
  #uncoveredBytes = 0
  #timer: Timer | undefined
  #isDue = false
  #isCarrying = false

  constructor(clock: Clock, send: (control: StreamControl) => void) {
    this.#clock = clock
    this.#send = send
    send({ type: 'position', containers: {} })
  }

  /** An entry is about to be sent. */
  begin(bytes: number): void {
    if (this.#uncoveredBytes > 0 && this.#uncoveredBytes + bytes > LOG_POSITION_BYTES) this.flush()
    this.#isCarrying = true
  }

  /** It was sent, or there was nothing to send. */
  done(container: string, position: EntryPosition, bytes: number): void {
    this.#isCarrying = false
    this.#changed[container] = formatPosition(position)
    this.#uncoveredBytes += bytes
    if (this.#isDue) return this.flush()
    this.#timer ??= this.#clock.after(TELL_AFTER_MS, () => {
      this.#isDue = true
      if (!this.#isCarrying) this.flush()
    })
  }

  /** Not while an entry is being sent. */
  flush(): void {
    this.close()
    this.#isDue = false
    this.#uncoveredBytes = 0
    const containers = this.#changed
    this.#changed = {}
    if (Object.keys(containers).length > 0) this.#send({ type: 'position', containers })
  }

  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }
}
