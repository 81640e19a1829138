import { startDeadline, type DeadlineOptions } from './deadline.ts'
import {
  QmpAbortedError,
  QmpCommandError,
  QmpOverloadedError,
  QmpProtocolError,
  QmpTimeoutError,
  type QmpConnectionError,
} from './errors.ts'
import type { QmpMessage } from './message.ts'

/** A reply to a command. */
export type QmpReply = Extract<QmpMessage, { is: 'return' | 'error' }>

interface Pending {
  readonly command: string
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
  readonly release: () => void
}

/**
 * The commands that QEMU has not answered. Ids are unlike those of every other session: a command that an earlier
 * client left behind may be answered to the next one, and must not be taken for one of its own.
 */
export class PendingCommands {
  readonly #session: string
  readonly #inFlightMax: number
  readonly #pending = new Map<string, Pending>()
  /** Sent, given up by us, not answered yet. */
  readonly #abandoned = new Set<string>()
  #made = 0

  constructor(options: { readonly random: () => number; readonly inFlightMax: number }) {
    const draw = (): string => Math.floor(options.random() * 2 ** 32).toString(16)
    this.#session = `${draw()}-${draw()}`
    this.#inFlightMax = options.inFlightMax
  }

  /** A command that was given up counts until QEMU has answered it: it stands in QEMU's queue all the same. */
  get refusal(): QmpOverloadedError | undefined {
    if (this.#pending.size + this.#abandoned.size < this.#inFlightMax) return undefined
    const silent =
      this.#abandoned.size === 0 ? '' : `, ${this.#abandoned.size} of them beyond their deadline`
    return new QmpOverloadedError(
      `${this.#inFlightMax} commands wait for an answer (commandsInFlightMax)${silent}`,
    )
  }

  makeId(): string {
    this.#made += 1
    return `${this.#session}-${this.#made}`
  }

  /**
   * Resolves with the value of the answer; rejects with `QmpCommandError`, or with an outcome that is unknown.
   * Throws `QmpValueError` for a time that is none: then the command must not be sent.
   */
  add(id: string, command: string, deadline: DeadlineOptions): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const release = startDeadline(deadline, (by) => {
      this.#pending.delete(id)
      this.#abandoned.add(id)
      reject(givenUp(by, command, deadline))
    })
    this.#pending.set(id, { command, resolve, reject, release })
    return promise
  }

  /**
   * Gives a reply to its command. False if it is of another session.
   * Throws `QmpProtocolError` if this session never sent the id, or had its answer already.
   */
  settle(reply: QmpReply): boolean {
    if (reply.id?.startsWith(`${this.#session}-`) !== true) return false
    if (this.#abandoned.delete(reply.id)) return true
    const pending = this.#pending.get(reply.id)
    if (pending === undefined) {
      throw new QmpProtocolError('an answer to a command that was not sent, or a second one')
    }
    this.#pending.delete(reply.id)
    pending.release()
    if (reply.is === 'return') pending.resolve(reply.value)
    else pending.reject(new QmpCommandError(pending.command, reply))
    return true
  }

  rejectAll(errorOf: (command: string) => QmpConnectionError): void {
    for (const { command, reject, release } of this.#pending.values()) {
      release()
      reject(errorOf(command))
    }
    this.#pending.clear()
    this.#abandoned.clear()
  }
}

function givenUp(
  by: 'timeout' | 'aborted',
  command: string,
  { timeoutMs, signal }: DeadlineOptions,
): QmpTimeoutError | QmpAbortedError {
  const outcome = 'unknown'
  if (by === 'timeout') {
    return new QmpTimeoutError(
      `${command}: no answer within ${timeoutMs} ms; QEMU may still do it`,
      { outcome },
    )
  }
  return new QmpAbortedError(`${command}: given up by the caller; QEMU may still do it`, {
    outcome,
    cause: signal?.reason,
  })
}
