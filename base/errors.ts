/**
 * Every error a caller can meet. The kind decides the HTTP status and the exit code, the key is the wire code
 * and never changes its meaning, the text is the documentation (docs/reference/errors.md is held equal by a test).
 */
export const errorStatus = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  precondition: 412,
  too_large: 413,
  resync: 410,
  limit: 429,
  unavailable: 503,
  capacity: 507,
  internal: 500,
} as const
export type ErrorKind = keyof typeof errorStatus

export interface ErrorEntry {
  readonly kind: ErrorKind
  /** What happened, for a person; details name the field, the limit, and the next step. */
  readonly text: string
}

export const errorCatalogue = {
  INVALID_INPUT: {
    kind: 'invalid',
    text: 'A field of the request is missing, malformed or unknown.',
  },
  UNAUTHENTICATED: {
    kind: 'unauthenticated',
    text: 'The token is missing, wrong, expired or revoked.',
  },
  FORBIDDEN: { kind: 'forbidden', text: 'The role of this token does not allow the call.' },
  NOT_FOUND: { kind: 'not_found', text: 'No such thing exists, or not for this token.' },
  NAME_TAKEN: { kind: 'conflict', text: 'Something of this kind already has the name.' },
  IN_USE: { kind: 'conflict', text: 'Something else still uses it.' },
  CHANGED_MEANWHILE: {
    kind: 'precondition',
    text: 'The object changed since it was read (If-Match).',
  },
  NOT_ALLOWED_NOW: { kind: 'conflict', text: 'The present state does not allow this change.' },
  QUOTA_EXCEEDED: {
    kind: 'conflict',
    text: 'The project would use more than its quota allows.',
  },
  LAST_OWNER: { kind: 'conflict', text: 'A project keeps at least one owner.' },
  FIELD_IMMUTABLE: {
    kind: 'conflict',
    text: 'The field cannot be changed in place; the thing would have to be created anew.',
  },
  NETWORK_OVERLAPS: {
    kind: 'conflict',
    text: 'The range lies outside its network or overlaps another subnet of it.',
  },
  ADDRESS_TAKEN: {
    kind: 'conflict',
    text: 'The address is in use or still resting after its last use.',
  },
  ADDRESSES_EXHAUSTED: { kind: 'capacity', text: 'The subnet has no free address.' },
  NOT_PLACED: {
    kind: 'capacity',
    text: 'No host can take the instance; the reasons are listed per host.',
  },
  TOO_LARGE: { kind: 'too_large', text: 'The request or the upload exceeds a limit.' },
  TOO_MANY_REQUESTS: {
    kind: 'limit',
    text: 'Too many requests or connections at once; try again later.',
  },
  RESYNC: {
    kind: 'resync',
    text: 'The change feed no longer reaches back that far; list again and watch from there.',
  },
  DEADLINE_EXCEEDED: {
    kind: 'unavailable',
    text: 'The work did not end in time; it may still end later.',
  },
  DATABASE_UNAVAILABLE: { kind: 'unavailable', text: 'The database does not answer.' },
  SCHEMA_MISMATCH: {
    kind: 'conflict',
    text: 'The database and this version of the server do not fit each other.',
  },
  HOST_UNREACHABLE: {
    kind: 'unavailable',
    text: 'The machine running this resource did not answer.',
  },
  HOST_FENCED: {
    kind: 'unavailable',
    text: 'The machine that ran this was lost and is proven stopped.',
  },
  HOST_DRAINED: {
    kind: 'unavailable',
    text: 'The machine that ran this is being emptied; it starts again on another.',
  },
  REGISTRY_UNAVAILABLE: { kind: 'unavailable', text: 'The image registry does not answer.' },
  ENGINE_UNAVAILABLE: {
    kind: 'unavailable',
    text: 'An engine (container engine or switch of a host, the disk checker of a server) does not answer.',
  },
  IMAGE_BROKEN: { kind: 'invalid', text: 'The file is not an image that can be imported.' },
  IMAGE_PULL_FAILED: {
    kind: 'unavailable',
    text: 'The host could not fetch the image from the registry.',
  },
  CONTAINER_START_FAILED: {
    kind: 'conflict',
    text: 'The container engine refused to start the container.',
  },
  VM_START_FAILED: { kind: 'conflict', text: 'The virtual machine could not be started.' },
  CONTAINER_EXITED: { kind: 'conflict', text: 'A container ended and waits for its next start.' },
  OUT_OF_MEMORY: {
    kind: 'conflict',
    text: 'The kernel ended a process of the container at its memory limit.',
  },
  UNHEALTHY: { kind: 'conflict', text: 'A health check keeps failing.' },
  HOST_DISK_FULL: { kind: 'capacity', text: 'The disk of the host is full.' },
  JOIN_REFUSED: {
    kind: 'forbidden',
    text: 'The join token is wrong, used, expired, or for another host.',
  },
  PROTOCOL_VIOLATION: {
    kind: 'invalid',
    text: 'The peer sent something that the contract does not allow.',
  },
  PROGRAM_FAILED: { kind: 'internal', text: 'A program that Nubo started ended with an error.' },
  PROGRAM_TIMED_OUT: {
    kind: 'unavailable',
    text: 'A program that Nubo started did not end in time.',
  },
  PORT_TAKEN: {
    kind: 'conflict',
    text: 'A port that Nubo needs to listen on is taken by another program.',
  },
  SETUP_FAILED: { kind: 'internal', text: 'A step of bringing the cloud up failed.' },
  INTERNAL: {
    kind: 'internal',
    text: 'A defect of Nubo; the log has the details under the request id.',
  },
} as const satisfies Record<string, ErrorEntry>

export type ErrorCode = keyof typeof errorCatalogue

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(errorCatalogue, text)
}

/** Facts about one occurrence: `field`, `limit`, `next` (what to do) and whatever names the objects. No secrets. */
export type ErrorDetails = Readonly<Record<string, unknown>>

/** An error that the caller can act on. Anything else that is thrown is a bug. */
export class PlatformError extends Error {
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(
    code: ErrorCode,
    details: ErrorDetails = {},
    options: { message?: string; cause?: unknown } = {},
  ) {
    super(
      options.message ?? errorCatalogue[code].text,
      options.cause === undefined ? {} : { cause: options.cause },
    )
    this.name = 'PlatformError'
    this.code = code
    this.details = details
  }

  get kind(): ErrorKind {
    return errorCatalogue[this.code].kind
  }
}

export function isPlatformError(error: unknown, code?: ErrorCode): error is PlatformError {
  return error instanceof PlatformError && (code === undefined || error.code === code)
}

/** The chain of messages of an error and its causes, for people. */
export function explain(error: unknown): string {
  const parts: string[] = []
  for (
    let at: unknown = error;
    at !== undefined && parts.length < 8;
    at = at instanceof Error ? at.cause : undefined
  ) {
    parts.push(at instanceof Error ? at.message : JSON.stringify(at))
  }
  return parts.join(': ')
}
