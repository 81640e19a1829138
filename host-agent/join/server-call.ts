import { request, type RequestOptions } from 'node:https'
import { isErrorCode, PlatformError, type ErrorCode } from '@nubo/base'
import { z } from 'zod'

const CALL_TIMEOUT_MS = 10_000
const REPLY_BYTES_MAX = 256 * 1024

export interface ServerCall<Reply extends z.ZodType> {
  /** 'address:port' */
  readonly server: string
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly body?: unknown
  readonly tls: Pick<RequestOptions, 'ca' | 'cert' | 'key' | 'rejectUnauthorized'>
  readonly reply: Reply
  readonly signal?: AbortSignal
}

const errorBody = z.object({
  code: z.string(),
  message: z.string(),
  details: z.record(z.string(), z.unknown()).optional(),
})

/**
 * One HTTPS call of the host contract, within 10 s. A text reply is passed to the schema as it is, JSON parsed.
 * Throws the server's error under its own code, HOST_UNREACHABLE where no server answers, and PROTOCOL_VIOLATION for
 * a reply that the contract does not allow.
 */
export async function callServer<Reply extends z.ZodType>(
  call: ServerCall<Reply>,
): Promise<z.output<Reply>> {
  const { status, text, isJson } = await exchange(call)
  let json: unknown = text
  if (isJson) {
    try {
      json = JSON.parse(text)
    } catch (cause) {
      throw new PlatformError('PROTOCOL_VIOLATION', { server: call.server }, { cause })
    }
  }
  if (status !== 200) {
    const error = errorBody.safeParse(json)
    const code: ErrorCode =
      error.success && isErrorCode(error.data.code) ? error.data.code : 'PROTOCOL_VIOLATION'
    throw new PlatformError(
      code,
      { ...(error.success ? error.data.details : {}), server: call.server, status },
      error.success ? { message: error.data.message } : {},
    )
  }
  const reply = call.reply.safeParse(json)
  if (!reply.success)
    throw new PlatformError(
      'PROTOCOL_VIOLATION',
      { server: call.server, path: call.path },
      { cause: reply.error },
    )
  return reply.data
}

/**
 * Tries servers in turn until one answers, in their order. Only what a server did not take on is tried with the next:
 * a refused call is an answer.
 */
export async function callAnyServer<Reply extends z.ZodType>(
  servers: readonly string[],
  call: Omit<ServerCall<Reply>, 'server'>,
): Promise<z.output<Reply>> {
  let last: unknown
  for (const server of servers) {
    try {
      return await callServer({ ...call, server })
    } catch (error) {
      if (!(error instanceof PlatformError) || error.kind !== 'unavailable') throw error
      last = error
    }
  }
  throw new PlatformError(
    'HOST_UNREACHABLE',
    { servers },
    { message: 'No server of the region answers.', cause: last },
  )
}

interface Exchanged {
  status: number
  text: string
  isJson: boolean
}

function exchange(call: Omit<ServerCall<z.ZodType>, 'reply'>): Promise<Exchanged> {
  const body = call.body === undefined ? undefined : JSON.stringify(call.body)
  const { promise, resolve, reject } = Promise.withResolvers<Exchanged>()
  const unreachable = (cause: unknown): void =>
    reject(
      new PlatformError(
        'HOST_UNREACHABLE',
        { server: call.server },
        { message: `The server ${call.server} does not answer.`, cause },
      ),
    )
  let url: URL
  try {
    url = new URL(call.path, `https://${call.server}`)
  } catch (cause) {
    throw new PlatformError('INVALID_INPUT', { field: 'server', server: call.server }, { cause })
  }
  const outgoing = request(
    url,
    {
      ...call.tls,
      method: call.method,
      // One call in minutes: a kept connection would only outlive a certificate.
      agent: false,
      timeout: CALL_TIMEOUT_MS,
      signal: AbortSignal.any([
        AbortSignal.timeout(CALL_TIMEOUT_MS),
        ...(call.signal === undefined ? [] : [call.signal]),
      ]),
      headers:
        body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    },
    (incoming) => {
      const chunks: Buffer[] = []
      let bytes = 0
      incoming.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > REPLY_BYTES_MAX) {
          reject(
            new PlatformError('PROTOCOL_VIOLATION', {
              server: call.server,
              limit: REPLY_BYTES_MAX,
            }),
          )
          outgoing.destroy()
        } else chunks.push(chunk)
      })
      incoming.on('error', unreachable)
      incoming.on('end', () =>
        resolve({
          status: incoming.statusCode ?? 0,
          text: Buffer.concat(chunks).toString(),
          isJson: incoming.headers['content-type']?.includes('json') === true,
        }),
      )
    },
  )
  outgoing.on('timeout', () => outgoing.destroy(new Error('no answer in time')))
  outgoing.on('error', unreachable)
  outgoing.end(body)
  return promise
}
