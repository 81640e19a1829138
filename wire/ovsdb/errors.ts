/**
 * Why an OVSDB call failed, so that a caller can decide without reading text.
 * - `unavailable`: there is no connection and nothing was sent; trying again later may help.
 * - `lost`: the connection ended after the request was sent; whether it took effect is unknown until the database is read again.
 * - `timeout`: no answer within the deadline; the effect is unknown, as with `lost`.
 * - `overloaded`: a named limit of this package is reached and nothing was sent.
 * - `protocol`: the peer sent something that is not OVSDB; the connection is closed.
 * - `rpc`: the server refused the whole request (`error` is its error string, 'unknown method' for example).
 * - `transaction`: an operation of a transaction failed and nothing of it was committed (see `operationIndex`).
 * - `value`: a value does not fit its column, or a limit of the encoding.
 */
export type OvsdbErrorKind =
  | 'unavailable'
  | 'lost'
  | 'timeout'
  | 'overloaded'
  | 'protocol'
  | 'rpc'
  | 'transaction'
  | 'value'

/** What is known about a failure besides its kind; `error` and `details` are the members of RFC 7047 `<error>`. */
export interface OvsdbErrorParts {
  readonly error: string
  readonly details?: string | undefined
  /** Position in the transaction; equal to the number of operations if the commit itself failed. */
  readonly operationIndex?: number | undefined
  readonly cause?: unknown
}

/** The one error class of this package. */
export class OvsdbError extends Error {
  readonly kind: OvsdbErrorKind
  readonly error: string
  readonly details: string | undefined
  readonly operationIndex: number | undefined

  constructor(kind: OvsdbErrorKind, parts: OvsdbErrorParts) {
    const place = parts.operationIndex === undefined ? '' : ` (operation ${parts.operationIndex})`
    const details = parts.details === undefined ? '' : `: ${parts.details}`
    super(
      `${parts.error}${place}${details}`,
      parts.cause === undefined ? undefined : { cause: parts.cause },
    )
    this.name = 'OvsdbError'
    this.kind = kind
    this.error = parts.error
    this.details = parts.details
    this.operationIndex = parts.operationIndex
  }
}
