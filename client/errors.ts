/**
 * What a caller of the client can meet, besides its own aborted signal. Each class is one situation with one right
 * answer: read the refusal, start the cloud, look before repeating, update the program, connect again.
 */
import type { ErrorCode, ErrorDetails } from '@nubo/base'

/** The server understood the call and refused it. Codes that this version does not know are kept as they are. */
export class ApiError extends Error {
  readonly code: string
  readonly details: ErrorDetails
  /** Finds the call in the server's log; empty when the server gave none. */
  readonly requestId: string
  /** HTTP status; 0 when the client itself refused to send the call. */
  readonly status: number

  constructor(reply: {
    code: string
    message: string
    details: ErrorDetails
    requestId: string
    status: number
  }) {
    super(reply.message)
    this.name = 'ApiError'
    this.code = reply.code
    this.details = reply.details
    this.requestId = reply.requestId
    this.status = reply.status
  }
}

/** Whether the server refused with exactly this code. */
export function isApiError(error: unknown, code?: ErrorCode): error is ApiError {
  return error instanceof ApiError && (code === undefined || error.code === code)
}

/** Whether the refusal may pass by itself, so that asking again is useful. */
export function isPassing(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 503 || error.status === 429)
}

export interface FailedAttempt {
  readonly server: string
  /** Why it gave no answer, for a person. */
  readonly text: string
}

/** No server gave an answer, and the call was carried out by none of them. */
export class UnreachableError extends Error {
  readonly attempts: readonly FailedAttempt[]

  constructor(attempts: readonly FailedAttempt[], cause: unknown) {
    super(
      `No server answers (${attempts.map(({ server, text }) => `${server}: ${text}`).join('; ')}).`,
      { cause },
    )
    this.name = 'UnreachableError'
    this.attempts = attempts
  }
}

/**
 * The call reached a server, and then no answer came. It may have been carried out, so the client does not repeat it:
 * look first. Names are unique, so a create is answered by looking for the name.
 */
export class OutcomeUnknownError extends Error {
  readonly server: string
  readonly method: string
  readonly path: string

  constructor(call: {
    server: string
    method: string
    path: string
    text: string
    cause: unknown
  }) {
    super(
      `${call.server} took the call ${call.method} ${call.path} and gave no answer (${call.text}). ` +
        'It may have been carried out: look before you repeat it.',
      { cause: call.cause },
    )
    this.name = 'OutcomeUnknownError'
    this.server = call.server
    this.method = call.method
    this.path = call.path
  }
}

/** What answered does not follow the contract: another program, or another version of Nubo. */
export class ContractError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.name = 'ContractError'
  }
}

/** An exec or logs stream broke before its end was told. */
export class StreamError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.name = 'StreamError'
  }
}

/** An error reply as the server sent it, or undefined if it is not one. Fields that are new to us are left out. */
export function parseErrorReply(body: unknown, status: number): ApiError | undefined {
  if (typeof body !== 'object' || body === null) return undefined
  const { code, message, details, requestId } = body as Record<string, unknown> // proof: a non-null object
  if (typeof code !== 'string' || typeof message !== 'string') return undefined
  return new ApiError({
    code,
    message,
    // proof: a non-null object that is not checked further, as ErrorDetails says
    details: typeof details === 'object' && details !== null ? (details as ErrorDetails) : {},
    requestId: typeof requestId === 'string' ? requestId : '',
    status,
  })
}

/** Connection errors of fetch hide their reason in a chain of causes; the innermost tells a person most. */
export function innermostText(error: unknown): string {
  let at = error
  for (let depth = 0; depth < 8 && at instanceof Error && at.cause instanceof Error; depth++) {
    at = at.cause
  }
  if (at instanceof AggregateError && at.errors[0] instanceof Error) return at.errors[0].message
  if (!(at instanceof Error)) return String(at)
  return at.message === '' ? at.name : at.message
}
