/**
 * One call of the API over fetch: builds the request from the contract, finds a server that answers, checks the
 * reply. All rules about repeating are here: reads go on to the next server whenever one gives no answer, changes
 * only when nothing was sent.
 */
import { type Clock } from '@nubo/base'
import { api, type Route, type RouteName } from '@nubo/contracts'
import { startDeadline, type Deadline } from './deadline.ts'
import {
  ApiError,
  ContractError,
  innermostText,
  OutcomeUnknownError,
  parseErrorReply,
} from './errors.ts'
import { onFirstServer, wasNeverSent, type Attempt, type ServerList } from './servers.ts'

// A list may wait 10 s for its revision; a server that takes longer than this for a read is not well.
const READ_TIMEOUT_MS = 15_000
const CHANGE_TIMEOUT_MS = 60_000
/** A page of 1,000 sets with 16 containers each is about 10 MB. */
export const REPLY_BYTES_MAX = 64 * 2 ** 20

/** One exchange with one server, for `--debug` and the like. */
export interface CallTrace {
  readonly method: string
  readonly server: string
  readonly path: string
  /** HTTP status, or what went wrong. */
  readonly outcome: number | string
  readonly ms: number
}

export interface Transport {
  readonly servers: ServerList
  readonly token: string
  readonly clock: Clock
  readonly fetch: typeof fetch
  readonly onCall: (trace: CallTrace) => void
}

/** The parts of a request before they are checked by its route. */
export interface RequestParts {
  readonly params?: unknown
  readonly query?: unknown
  readonly body?: unknown
}

export function routeOf(name: RouteName): Route {
  return api[name]
}

/**
 * '/v1/sets/web?project=shop'. Undefined fields are left out, lists repeat their key.
 * Throws ApiError INVALID_INPUT with status 0 for a name that could not be one: such a name must not become a path.
 */
export function requestPath(name: RouteName, parts: RequestParts): string {
  const route = routeOf(name)
  const params = checkedParams(route, parts.params)
  const path = route.path.replaceAll(/:([a-zA-Z]+)/g, (_, key: string) =>
    encodeURIComponent(String(params[key])),
  )
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(parts.query ?? {})) {
    if (value === undefined || value === null) continue
    for (const one of Array.isArray(value) ? value : [value]) search.append(key, String(one))
  }
  return search.size === 0 ? path : `${path}?${search.toString()}`
}

function checkedParams(route: Route, params: unknown): Record<string, unknown> {
  if (route.params === undefined) return {}
  const parsed = route.params.safeParse(params)
  if (parsed.success) return parsed.data as Record<string, unknown> // proof: every params schema is an object
  const given =
    typeof params === 'object' && params !== null ? Object.values(params).join(', ') : ''
  throw new ApiError({
    code: 'INVALID_INPUT',
    message: `${JSON.stringify(given)} is not a name or an id.`,
    details: {
      field: parsed.error.issues[0]?.path.join('.') ?? '',
      limit: '1 to 63 lower-case letters, digits and dashes, no dash at the ends',
    },
    requestId: '',
    status: 0,
  })
}

export interface Exchange<Result> {
  readonly name: RouteName
  readonly path: string
  readonly accept: string
  readonly contentType?: string
  /** Made anew for each server that is tried. */
  readonly body?: () => string | ReadableStream<Uint8Array>
  /** Takes an answer below 400. The deadline runs on; what `read` leaves running it must cancel. */
  readonly read: (response: Response, deadline: Deadline, server: string) => Promise<Result>
  readonly signal?: AbortSignal | undefined
  readonly timeoutMs?: number | undefined
  readonly ifMatch?: number | undefined
  /** Told when the deadline of a try starts, so that an upload can extend it while bytes flow. */
  readonly onDeadline?: (deadline: Deadline) => void
}

/**
 * Sends to the servers in turn until one answers, and reads its answer.
 * Throws ApiError, UnreachableError, OutcomeUnknownError, ContractError, or the signal's reason.
 */
export async function exchange<Result>(
  transport: Transport,
  call: Exchange<Result>,
): Promise<{ server: string; result: Result }> {
  const { method } = routeOf(call.name)
  return onFirstServer(transport.servers, async (server): Promise<Attempt<Result>> => {
    const startedMs = transport.clock.monotonicMs()
    const trace = (outcome: number | string): void =>
      transport.onCall({
        method,
        server,
        path: call.path,
        outcome,
        ms: transport.clock.monotonicMs() - startedMs,
      })
    const timeoutMs = call.timeoutMs ?? (method === 'GET' ? READ_TIMEOUT_MS : CHANGE_TIMEOUT_MS)
    const deadline = startDeadline(transport.clock, timeoutMs, call.signal)
    call.onDeadline?.(deadline)
    try {
      const response = await send(transport, call, server, deadline.signal)
      if (response.status >= 400) throw await refusal(response, deadline, server)
      const result = await call.read(response, deadline, server)
      trace(response.status)
      return { at: 'answered', result }
    } catch (error) {
      deadline.cancel()
      const isAnswer = error instanceof ApiError || error instanceof ContractError
      trace(error instanceof ApiError ? error.status : innermostText(error))
      if (isAnswer) transport.servers.remember(server)
      if (isAnswer || call.signal?.aborted === true) throw error
      return afterNoAnswer({ method, server, path: call.path }, error)
    }
  })
}

function send(
  transport: Transport,
  call: Exchange<unknown>,
  server: string,
  signal: AbortSignal,
): Promise<Response> {
  const headers: Record<string, string> = {
    accept: call.accept,
    authorization: `Bearer ${transport.token}`,
  }
  if (call.contentType !== undefined) headers['content-type'] = call.contentType
  if (call.ifMatch !== undefined) headers['if-match'] = `"${call.ifMatch}"`
  const init: RequestInit = {
    method: routeOf(call.name).method,
    headers,
    signal,
    // A token must not travel to wherever a redirect points.
    redirect: 'error',
  }
  if (call.body !== undefined) Object.assign(init, { body: call.body(), duplex: 'half' })
  return transport.fetch(`${server}${call.path}`, init)
}

/** Decides what follows when a server gave no answer: the next server, or an end that says why. */
function afterNoAnswer(
  call: { method: string; server: string; path: string },
  error: unknown,
): Attempt<never> {
  const text = innermostText(error)
  if (call.method === 'GET' || wasNeverSent(error)) return { at: 'next', text, cause: error }
  throw new OutcomeUnknownError({ ...call, text, cause: error })
}

/** The error that a reply of 400 or more stands for. */
async function refusal(response: Response, deadline: Deadline, server: string): Promise<Error> {
  const body = parseJson(await readText(response, deadline))
  return (
    parseErrorReply(body, response.status) ??
    new ContractError(
      `${server} answered ${response.status} without an error that Nubo knows. ` +
        'Is this the address of a Nubo server?',
    )
  )
}

/** The whole body as text. Throws ContractError beyond REPLY_BYTES_MAX. */
async function readText(response: Response, deadline: Deadline): Promise<string> {
  if (response.body === null) return ''
  const decoder = new TextDecoder()
  const parts: string[] = []
  let bytes = 0
  for await (const chunk of response.body) {
    bytes += chunk.byteLength
    if (bytes > REPLY_BYTES_MAX) {
      throw new ContractError(`a reply is longer than ${REPLY_BYTES_MAX} bytes`)
    }
    parts.push(decoder.decode(chunk, { stream: true }))
    deadline.extend()
  }
  parts.push(decoder.decode())
  return parts.join('')
}

/** Undefined if it is not JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** A reader for `exchange`: the whole reply, checked by the route's schema. Throws ContractError if it does not fit. */
export function replyOf(name: RouteName, path: string): Exchange<unknown>['read'] {
  const route = routeOf(name)
  return async (response, deadline, server) => {
    const text = await readText(response, deadline)
    deadline.cancel()
    const reply = route.reply.safeParse(parseJson(text))
    if (reply.success) return reply.data
    const issue = reply.error.issues[0]
    throw new ContractError(
      `${server} answered ${route.method} ${path} with something that this version does not understand` +
        ` (${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}). Is the server newer than this program?`,
      reply.error,
    )
  }
}
