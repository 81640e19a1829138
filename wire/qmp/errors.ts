/**
 * What is known about the effect of a command that failed:
 * - `not_sent`: nothing went to QEMU; doing it again cannot do it twice.
 * - `refused`: QEMU answered with an error.
 * - `unknown`: it was sent and no answer came. QEMU may have done it, or may still do it: ask for the state before doing it again.
 * - `done`: QEMU did it, but its answer cannot be used.
 */
export type QmpOutcome = 'not_sent' | 'refused' | 'unknown' | 'done'

export type QmpErrorKind =
  | 'command'
  | 'timeout'
  | 'aborted'
  | 'connection'
  | 'protocol'
  | 'return'
  | 'value'
  | 'overloaded'

interface QmpErrorParts {
  readonly outcome: QmpOutcome
  readonly cause?: unknown
}

/** What all errors of this package are. `kind` tells the class, `outcome` what may have happened. */
export abstract class QmpError extends Error {
  abstract readonly kind: QmpErrorKind
  readonly outcome: QmpOutcome

  constructor(message: string, { outcome, cause }: QmpErrorParts) {
    super(message, cause === undefined ? undefined : { cause })
    this.outcome = outcome
  }
}

// QEMU's own texts are short; what a hostile one sends must not fill logs.
const DESCRIPTION_CHARACTERS_MAX = 4_096

/** QEMU refused the command. `class` is GenericError nearly always; see docs/interop/qmp-spec.rst, "Error". */
export class QmpCommandError extends QmpError {
  override readonly name = 'QmpCommandError'
  readonly kind = 'command'
  readonly command: string
  /** `GenericError`, `CommandNotFound`, `DeviceNotActive`, `DeviceNotFound`, `KVMMissingCap`. */
  readonly class: string
  /** For people; QEMU promises nothing about its words. At most 4,096 characters. */
  readonly description: string

  constructor(command: string, error: { readonly class: string; readonly description: string }) {
    const description = error.description.slice(0, DESCRIPTION_CHARACTERS_MAX)
    super(`${command}: ${description}`, { outcome: 'refused' })
    this.command = command
    this.class = error.class.slice(0, DESCRIPTION_CHARACTERS_MAX)
    this.description = description
  }
}

/** No answer, no event or no greeting within the time given. For a command that was sent the outcome is `unknown`. */
export class QmpTimeoutError extends QmpError {
  override readonly name = 'QmpTimeoutError'
  readonly kind = 'timeout'
}

/** The caller's signal fired. A command that had been sent is not taken back. */
export class QmpAbortedError extends QmpError {
  override readonly name = 'QmpAbortedError'
  readonly kind = 'aborted'
}

/**
 * How a connection ended: `closed_here` by `close()`, `ended` by QEMU (it exited, or was killed), `failed` by an error of the
 * stream, `protocol` because QEMU sent something that is not QMP (`cause` says what).
 */
export type QmpEnd = 'closed_here' | 'ended' | 'failed' | 'protocol'

/** There is no connection, or no longer. After `quit` and `system_powerdown` that is what should happen. */
export class QmpConnectionError extends QmpError {
  override readonly name = 'QmpConnectionError'
  readonly kind = 'connection'
  readonly end: QmpEnd

  constructor(message: string, parts: QmpErrorParts & { readonly end: QmpEnd }) {
    super(message, parts)
    this.end = parts.end
  }
}

/** The peer does not speak QMP. Always the `cause` of a `QmpConnectionError`, since the connection is given up. */
export class QmpProtocolError extends QmpError {
  override readonly name = 'QmpProtocolError'
  readonly kind = 'protocol'

  constructor(message: string, cause?: unknown) {
    super(message, { outcome: 'unknown', cause })
  }
}

/** QEMU did the command, but a field of the answer is missing, of another type, or an integer that a double cannot hold. */
export class QmpReturnError extends QmpError {
  override readonly name = 'QmpReturnError'
  readonly kind = 'return'
  /** Where, e.g. `query-block[0].inserted.image.virtual-size`. */
  readonly field: string

  constructor(field: string, problem: string) {
    super(`${field}: ${problem}`, { outcome: 'done' })
    this.field = field
  }
}

/** An argument that QEMU could not read, or would read as another one. */
export class QmpValueError extends QmpError {
  override readonly name = 'QmpValueError'
  readonly kind = 'value'
  /** Where, e.g. `block_resize.size`. */
  readonly field: string

  constructor(field: string, problem: string) {
    super(`${field}: ${problem}`, { outcome: 'not_sent' })
    this.field = field
  }
}

/** A limit of this package is reached (`QmpLimits`); the message names it. */
export class QmpOverloadedError extends QmpError {
  override readonly name = 'QmpOverloadedError'
  readonly kind = 'overloaded'

  constructor(message: string) {
    super(message, { outcome: 'not_sent' })
  }
}
