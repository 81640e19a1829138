/**
 * What went wrong, as far as a caller can act on it:
 * - `bad_request`, `denied`, `not_found`, `conflict`, `server`: the engine answered (400, 401/403, 404, 409, 5xx).
 * - `unreachable`: nobody answered: no socket, refused, or the connection broke before an answer. Retry may help.
 * - `timeout`, `aborted`: our deadline passed, or the caller's signal fired. The engine may still carry the request out.
 * - `protocol`: the answer is not what API 1.41 promises (missing field, truncated frame, over a size limit).
 * - `overloaded`: a limit of this client (pending requests, open streams) is reached; nothing was sent.
 */
export type DockerErrorKind =
  | 'bad_request'
  | 'denied'
  | 'not_found'
  | 'conflict'
  | 'server'
  | 'unreachable'
  | 'timeout'
  | 'aborted'
  | 'protocol'
  | 'overloaded'

/** The only error this package throws. `status` is the HTTP status, or 0 where there was none. */
export class DockerError extends Error {
  override readonly name = 'DockerError'
  readonly kind: DockerErrorKind
  readonly status: number

  constructor(
    kind: DockerErrorKind,
    message: string,
    options: { status?: number; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.kind = kind
    this.status = options.status ?? 0
  }
}

/** The kind of an HTTP status that is not a success. */
export function kindOfStatus(status: number): DockerErrorKind {
  switch (status) {
    case 400:
      return 'bad_request'
    case 401:
    case 403:
      return 'denied'
    case 404:
      return 'not_found'
    case 409:
      return 'conflict'
    default:
      return status >= 500 && status <= 599 ? 'server' : 'protocol'
  }
}

/**
 * The kind of an error that arrives inside a progress stream, after the 200 was sent: only its text tells.
 * The words are those of dockerd 20.10 (`distribution/errors.go`) and of the registry's own error codes.
 */
export function kindOfProgressError(message: string): DockerErrorKind {
  if (/unauthorized|authentication required|requested access|no basic auth/i.test(message))
    return 'denied'
  if (/not found|manifest unknown|name unknown|does not exist/i.test(message)) return 'not_found'
  return 'server'
}

/** True for a DockerError of one of the kinds. */
export function isDockerError(
  error: unknown,
  ...kinds: readonly DockerErrorKind[]
): error is DockerError {
  return error instanceof DockerError && (kinds.length === 0 || kinds.includes(error.kind))
}
