import { startDeadline, type DeadlineOptions } from './deadline.ts'
import {
  QmpAbortedError,
  QmpOverloadedError,
  QmpTimeoutError,
  type QmpConnectionError,
} from './errors.ts'
import type { QmpEvent } from './events.ts'

export type QmpListener = (event: QmpEvent) => void
export type QmpListenerError = (error: unknown, event: QmpEvent) => void

interface Wait {
  readonly hear: (event: QmpEvent) => void
  readonly reject: (error: QmpConnectionError) => void
}

/** Who wants to hear of events. A listener that throws is reported and disturbs nobody else. */
export class EventListeners {
  readonly #listenersMax: number
  readonly #onError: QmpListenerError
  readonly #listeners = new Set<{ readonly hear: QmpListener }>()
  readonly #waits = new Set<Wait>()

  constructor(options: { readonly listenersMax: number; readonly onError: QmpListenerError }) {
    this.#listenersMax = options.listenersMax
    this.#onError = options.onError
  }

  /** The result takes the listener off again; idempotent. Throws `QmpOverloadedError`. */
  add(hear: QmpListener): () => void {
    this.#checkRoom()
    const entry = { hear }
    this.#listeners.add(entry)
    return () => void this.#listeners.delete(entry)
  }

  /** Resolves with the first event from now on that fits. What the predicate throws rejects the wait. */
  waitFor(predicate: (event: QmpEvent) => boolean, deadline: DeadlineOptions): Promise<QmpEvent> {
    return new Promise((resolve, reject) => {
      this.#checkRoom()
      const end = (): void => {
        release()
        this.#waits.delete(wait)
      }
      const wait: Wait = {
        hear: (event) => {
          try {
            if (!predicate(event)) return
            resolve(event)
          } catch (error) {
            // The caller's own error, as it is.
            reject(error)
          }
          end()
        },
        reject: (error) => {
          end()
          reject(error)
        },
      }
      const release = startDeadline(deadline, (by) => {
        this.#waits.delete(wait)
        const outcome = 'not_sent'
        reject(
          by === 'timeout'
            ? new QmpTimeoutError(`no such event within ${deadline.timeoutMs} ms`, { outcome })
            : new QmpAbortedError('waiting for an event was given up by the caller', {
                outcome,
                cause: deadline.signal?.reason,
              }),
        )
      })
      this.#waits.add(wait)
    })
  }

  emit(event: QmpEvent): void {
    // Copies, because whoever hears may come and go meanwhile.
    for (const { hear } of Array.from(this.#listeners)) {
      try {
        hear(event)
      } catch (error) {
        this.#report(error, event)
      }
    }
    for (const { hear } of Array.from(this.#waits)) hear(event)
  }

  /** Nothing more will happen. */
  end(error: () => QmpConnectionError): void {
    this.#listeners.clear()
    for (const { reject } of Array.from(this.#waits)) reject(error())
  }

  #report(error: unknown, event: QmpEvent): void {
    try {
      this.#onError(error, event)
    } catch (second) {
      warn(second)
    }
  }

  #checkRoom(): void {
    if (this.#listeners.size + this.#waits.size < this.#listenersMax) return
    throw new QmpOverloadedError(
      `${this.#listenersMax} listeners and waits for events are there already (listenersMax)`,
    )
  }
}

/** Where nobody has asked to be told: a warning of the process, which is seen but ends nothing. */
export function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error))
}
