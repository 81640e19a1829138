import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  errorStatus,
  isPlatformError,
  newId,
  PlatformError,
  type Clock,
  type HostId,
  type Random,
} from '@nubo/base'
import type { ErrorReply } from '@nubo/contracts'
import {
  imageTokenRequest,
  joinRequest,
  renewRequest,
  type CertificateReply,
} from '@nubo/contracts/host'
import type { Log } from '@nubo/runtime'
import type { z } from 'zod'
import type { HostRefusal } from '../domains/audit/index.ts'
import type { HostIdentity } from '../host-sessions/index.ts'

/** A certificate request is about 500 bytes. */
const BODY_BYTES_MAX = 32_768
const CALLS_MAX = 64

/** What hosts may ask besides their session. */
export interface HostCalls {
  join(asked: z.infer<typeof joinRequest>): Promise<CertificateReply>
  /** `serial`: of the certificate that was shown, lower-case hex. */
  renew(asked: {
    hostId: HostId
    serial: string
    certificateRequest: string
  }): Promise<CertificateReply>
  imageToken(asked: {
    hostId: HostId
    repository: string
  }): Promise<{ registry: string; token: string; expiresAtMs: number }>
}

const nameOfCall: Readonly<Record<string, HostRefusal['call']>> = {
  'POST /host/v1/join': 'hostJoin',
  'POST /host/v1/renew': 'hostRenew',
  'POST /host/v1/image-token': 'hostImageToken',
}

export interface HostCallsDeps {
  readonly calls: HostCalls
  readonly caPem: string
  readonly onRefused?: ((refusal: HostRefusal) => void) | undefined
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** Who asks; throws UNAUTHENTICATED. */
export type Authenticate = () => Promise<HostIdentity>

/** Answers requests of the host contract, at most CALLS_MAX at once. */
export function createCallAnswerer(deps: HostCallsDeps) {
  let running = 0
  return async (
    request: IncomingMessage,
    response: ServerResponse,
    { authenticate, hostId }: { authenticate: Authenticate; hostId: string | undefined },
  ): Promise<void> => {
    running++
    const asked: Asked = { hostName: undefined }
    try {
      if (running > CALLS_MAX)
        throw new PlatformError('TOO_MANY_REQUESTS', { limit: `${CALLS_MAX} calls at once` })
      await answer(deps, { request, response, authenticate, asked })
    } catch (error) {
      const requestId = newId<'request'>(deps.clock, deps.random)
      const known = sendError(deps, { request, response, requestId, error })
      const call = nameOfCall[callOf(request)]
      if (call !== undefined) deps.onRefused?.({ call, hostId, ...asked, requestId, error: known })
    } finally {
      running--
    }
  }
}

/** What is learned of a call while it is answered. */
interface Asked {
  hostName: string | undefined
}

function callOf({ method, url }: IncomingMessage): string {
  return `${method} ${url}`
}

async function answer(
  deps: HostCallsDeps,
  call: {
    request: IncomingMessage
    response: ServerResponse
    authenticate: Authenticate
    asked: Asked
  },
): Promise<void> {
  const { request, response, authenticate, asked } = call
  const { calls } = deps
  switch (callOf(request)) {
    case 'GET /host/v1/ca':
      response.writeHead(200, { 'content-type': 'application/x-pem-file' }).end(deps.caPem)
      return
    case 'POST /host/v1/join': {
      const body = await readBody(request, joinRequest)
      asked.hostName = body.hostName
      return sendJson(response, await calls.join(body))
    }
    case 'POST /host/v1/renew': {
      const identity = await authenticate()
      const body = await readBody(request, renewRequest)
      const shown = { hostId: hostIdOf(identity), serial: identity.serial }
      return sendJson(response, await calls.renew({ ...shown, ...body }))
    }
    case 'POST /host/v1/image-token': {
      await authenticate()
      const body = await readBody(request, imageTokenRequest)
      // Once more, since whoever asks decides how long the body takes.
      const hostId = hostIdOf(await authenticate())
      return sendJson(response, await calls.imageToken({ hostId, ...body }))
    }
    default:
      throw new PlatformError('NOT_FOUND', {}, { message: 'There is no such call.' })
  }
}

function hostIdOf(identity: HostIdentity): HostId {
  // proof: the id was in a certificate that our CA issued to a host
  return identity.hostId as HostId
}

async function readBody<Schema extends z.ZodType>(
  request: IncomingMessage,
  schema: Schema,
): Promise<z.output<Schema>> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    // proof: no encoding was set on the request, so its chunks are buffers
    chunks.push(chunk as Buffer)
    bytes += chunks.at(-1)?.length ?? 0
    if (bytes > BODY_BYTES_MAX)
      throw new PlatformError('TOO_LARGE', { limit: `${BODY_BYTES_MAX} bytes` })
  }
  let value: unknown
  try {
    value = JSON.parse(Buffer.concat(chunks).toString())
  } catch (cause) {
    throw new PlatformError('INVALID_INPUT', {}, { message: 'The body is not JSON.', cause })
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new PlatformError('INVALID_INPUT', {
    field: issue?.path.map(String).join('.'),
    problem: issue?.message,
  })
}

function sendJson(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

/** Returns the error that the host was told. */
function sendError(
  deps: HostCallsDeps,
  failed: {
    request: IncomingMessage
    response: ServerResponse
    requestId: string
    error: unknown
  },
): PlatformError {
  const { request, response, requestId } = failed
  const error = isPlatformError(failed.error)
    ? failed.error
    : new PlatformError('INTERNAL', {}, { cause: failed.error })
  const status = errorStatus[error.kind]
  const fields = { requestId, path: request.url?.slice(0, 200), error }
  if (status >= 500) deps.log.error('a call of a host failed', fields)
  else deps.log.info('a call of a host was refused', fields)
  if (response.headersSent || response.destroyed) {
    response.destroy()
    return error
  }
  const body: ErrorReply = {
    code: error.code,
    message: error.message,
    details: { ...error.details },
    requestId,
  }
  // What is left of the body is not read, so the connection cannot be used again.
  response
    .writeHead(status, { 'content-type': 'application/json', connection: 'close' })
    .end(JSON.stringify(body))
  return error
}
