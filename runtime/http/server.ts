import { STATUS_CODES, type IncomingMessage, type Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { errorStatus, isPlatformError, PlatformError, type Clock, type Timer } from '@nubo/base'
import type { ErrorReply, Route } from '@nubo/contracts'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { z } from 'zod'
import type { Log } from '../process/log.ts'
import { databaseUnavailable, isDatabaseUnavailable } from '../postgres/database.ts'
import type { Binding } from './bind.ts'
import { Encoded, WholeList } from './encoded.ts'
import { drained } from './drain.ts'
import { begun, writeEvents, type EventBatch } from './events.ts'
import { asksForLines, writeLines } from './lines.ts'
import { Slots } from './slots.ts'

export interface HttpServerOptions<Caller> {
  readonly bindings: readonly Binding<Caller>[]
  /** Finds out who calls and whether this route is allowed; throws UNAUTHENTICATED, FORBIDDEN or NOT_FOUND. */
  readonly authorize: (call: {
    route: Route
    token: string | undefined
    query: unknown
    params: unknown
  }) => Promise<Caller>
  readonly newRequestId: () => string
  /** Hears of each call that ends with an error; must return at once and not throw. */
  readonly onRefused?: ((refused: RefusedCall<Caller>) => void) | undefined
  /** Takes WebSocket connections; without it they are refused. */
  readonly onUpgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
  /** Replaces some of the bounds. */
  readonly limits?: Partial<HttpLimits> | undefined
  readonly clock: Clock
  readonly log: Log
}

/** A call that ended with an error; parts as they came, parsed only if it got that far. */
export interface RefusedCall<Caller> {
  readonly route: Route
  readonly token: string | undefined
  /** Undefined if it was refused before it was known who calls. */
  readonly caller: Caller | undefined
  readonly params: unknown
  readonly query: unknown
  readonly body: unknown
  readonly requestId: string
  readonly error: PlatformError
}

/** Bounds against callers that are slow or many. */
export interface HttpLimits {
  /** A connection that has not sent the head of a request by then is closed. */
  readonly headersTimeoutMs: number
  /** More are closed at once. */
  readonly connectionsMax: number
  /** A body (but an upload, which may take as long as it flows) that has not come by then is refused. */
  readonly bodyTimeoutMs: number
  /** A connection on which nothing happens for this long is closed. */
  readonly idleTimeoutMs: number
  /** A reader of events or of a whole list that takes nothing for this long is cut off. */
  readonly stalledReaderMs: number
  /** Requests at work or waiting at once, without streams of events; more are refused before anything is done for them. */
  readonly requestsMax: number
  /** Streams of events at once. */
  readonly eventStreamsMax: number
  /** Whole lists at once: each may hold old rows, and all of them want the processor. */
  readonly wholeListsMax: number
  /** A whole list that has not been taken by then is cut off. */
  readonly wholeListMs: number
  /**
   * From the beginning of `close`: calls on open connections are answered for so long, each with the word that its connection ends;
   * after it no new connection is taken. 0: everything is cut off at once.
   */
  readonly drainMs: number
  /** Answers that are not there so long after that are cut off. */
  readonly lastAnswersMs: number
}

export const BODY_BYTES_MAX = 1_048_576
export const CONNECTIONS_MAX = 2_000
const HEADER_BYTES_MAX = 16_384
const BYTES_FROM_CHARACTERS = 16_384
const CONNECTIONS_CHECK_PERIOD_MAX_MS = 2_000

const limitsDefault: HttpLimits = {
  headersTimeoutMs: 10_000,
  connectionsMax: CONNECTIONS_MAX,
  bodyTimeoutMs: 30_000,
  idleTimeoutMs: 75_000,
  stalledReaderMs: 30_000,
  requestsMax: 1_000,
  eventStreamsMax: 1_000,
  wholeListsMax: 8,
  wholeListMs: 120_000,
  drainMs: 0,
  lastAnswersMs: 4_000,
}

/** Builds the server without listening, so that tests can inject requests. */
export function createHttpServer<Caller>(options: HttpServerOptions<Caller>): FastifyInstance {
  const limits: HttpLimits = { ...limitsDefault, ...options.limits }
  const app = fastify({
    bodyLimit: BODY_BYTES_MAX,
    connectionTimeout: limits.idleTimeoutMs,
    keepAliveTimeout: 30_000,
    forceCloseConnections: limits.drainMs === 0 ? true : 'idle',
    return503OnClosing: false,
    exposeHeadRoutes: false,
    genReqId: options.newRequestId,
    routerOptions: { maxParamLength: 200, ignoreTrailingSlash: true },
    // What cannot be routed at all, as a path with a broken escape.
    frameworkErrors: (error, request, reply) => {
      sendError(options, { error, request, reply })
    },
    clientErrorHandler: (error, socket) => refuseMalformed(options, { error, socket }),
    http: {
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: 0,
      connectionsCheckingInterval: Math.min(
        CONNECTIONS_CHECK_PERIOD_MAX_MS,
        limits.headersTimeoutMs,
      ),
      maxHeaderSize: HEADER_BYTES_MAX,
    },
  })
  app.server.maxConnections = limits.connectionsMax
  app.addContentTypeParser('*', (_request, _payload, done) => done(null, undefined))
  app.setErrorHandler((error, request, reply) => sendError(options, { error, request, reply }))
  app.setNotFoundHandler((request, reply) =>
    sendError(options, {
      error: new PlatformError(
        'NOT_FOUND',
        { path: request.url.slice(0, 200) },
        { message: 'There is no such call.' },
      ),
      request,
      reply,
    }),
  )
  const bounds: Bounds = {
    limits,
    closing: drained(app, { ...limits, clock: options.clock }),
    requests: new Slots('requests', limits.requestsMax),
    eventStreams: new Slots('streams of events', limits.eventStreamsMax),
    wholeLists: new Slots('whole lists', limits.wholeListsMax),
  }
  for (const binding of options.bindings) addRoute(app, { ...options, ...bounds }, binding)
  refuseOrPassUpgrades(app.server, options)
  return app
}

interface Bounds {
  readonly limits: HttpLimits
  /** Aborts when the server begins to end. */
  readonly closing: AbortSignal
  readonly requests: Slots
  readonly eventStreams: Slots
  readonly wholeLists: Slots
}

/** Before the token is looked at and the body is read, so that too many requests cost next to nothing. */
function withinBounds({ form }: Route, { requests, eventStreams }: Bounds) {
  const slots = form === 'events' ? eventStreams : requests
  return async (_request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const free = slots.take()
    reply.raw.once('close', free)
  }
}

/** Bodies are buffered before a call is authorised: many slow ones would hold as much memory for ever. */
function bodyInTime({ clock, limits }: { clock: Clock; limits: HttpLimits }) {
  const timers = new WeakMap<FastifyRequest, Timer>()
  return {
    preParsing: async (request: FastifyRequest): Promise<void> => {
      const timer = clock.after(limits.bodyTimeoutMs, () => request.raw.destroy())
      timers.set(request, timer)
      request.raw.once('close', () => timer.cancel())
    },
    preValidation: async (request: FastifyRequest): Promise<void> => timers.get(request)?.cancel(),
  }
}

function refuseOrPassUpgrades<Caller>(server: Server, options: HttpServerOptions<Caller>): void {
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy())
    if (options.onUpgrade === undefined)
      socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n')
    else options.onUpgrade(request, socket, head)
  })
}

function addRoute<Caller>(
  app: FastifyInstance,
  options: HttpServerOptions<Caller> & Bounds,
  binding: Binding<Caller>,
): void {
  const { route } = binding
  // Of what is too much nobody is told: that must cost next to nothing.
  const calls = new WeakMap<FastifyRequest, { caller: Caller | undefined }>()
  app.route({
    method: route.method,
    url: route.path,
    onRequest: [
      withinBounds(route, options),
      async (request) => void calls.set(request, { caller: undefined }),
    ],
    ...(route.form === 'upload' ? {} : bodyInTime(options)),
    handler: (request, reply) => {
      const call = calls.get(request) ?? { caller: undefined }
      return answerCall(options, binding, { request, reply, call })
    },
    // Here, since bodies that cannot be read do not come as far as the handler.
    errorHandler: function tellAndAnswer(error, request, reply): void {
      const { params, query, body, id: requestId } = request
      const call = calls.get(request)
      const token = bearerToken(request)
      const known = toPlatformError(error)
      if (call !== undefined)
        options.onRefused?.({ route, token, ...call, params, query, body, requestId, error: known })
      void sendError(options, { error: known, request, reply })
    },
  })
}

async function answerCall<Caller>(
  options: HttpServerOptions<Caller> & Bounds,
  { route, handle }: Binding<Caller>,
  {
    request,
    reply,
    call,
  }: {
    request: FastifyRequest
    reply: FastifyReply
    call: { caller: Caller | undefined }
  },
): Promise<FastifyReply> {
  const params = parsePart(route.params, request.params, 'path')
  const query = parsePart(route.query, request.query, 'query')
  const caller = await options.authorize({ route, token: bearerToken(request), query, params })
  call.caller = caller
  // What was uploaded may take longer to be worked on than a connection may be idle; until then it must flow.
  if (route.form === 'upload') request.raw.once('end', () => request.raw.socket.setTimeout(0))
  const body = route.form === 'upload' ? undefined : parsePart(route.body, request.body, 'body')
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort(new Error('the connection ended')))
  const signal =
    route.form === 'events' ? AbortSignal.any([gone.signal, options.closing]) : gone.signal
  const ifMatch =
    typeof request.headers['if-match'] === 'string' ? request.headers['if-match'] : undefined
  const wantsWhole = route.form === 'list' && asksForLines(request.headers.accept)
  if (wantsWhole) reply.raw.once('close', options.wholeLists.take())
  const answer = await handle({
    caller,
    // proof: parsed just above with the schemas of this route
    params: params as never,
    query: query as never,
    body: body as never,
    requestId: request.id,
    ifMatch,
    signal,
    upload: request.raw,
    wantsWhole,
  })
  return send(reply, answer, { route, signal, ...options })
}

async function send(
  reply: FastifyReply,
  answer: unknown,
  how: { route: Route; clock: Clock; limits: HttpLimits; signal: AbortSignal },
): Promise<FastifyReply> {
  const { route, clock, limits, signal } = how
  const pace = { clock, signal, stalledReaderMs: limits.stalledReaderMs }
  if (route.form === 'events') {
    // proof: `bind` demands an async iterable of batches of a handler of this form
    const batches = await begun(answer as AsyncIterable<EventBatch>)
    reply.hijack()
    await writeEvents(reply.raw, batches, pace)
    return reply
  }
  if (answer instanceof WholeList) {
    reply.hijack()
    await writeLines(reply.raw, answer, { ...pace, totalMs: limits.wholeListMs })
    return reply
  }
  if (answer instanceof Encoded)
    return reply
      .status(route.status)
      .type('application/json; charset=utf-8')
      .send(bodyOf(answer.text))
  return reply.status(route.status).send(answer)
}

/** As bytes where it is long: a text would be counted, put behind the head and encoded, each time from its beginning. */
function bodyOf(text: string): string | Buffer {
  return text.length < BYTES_FROM_CHARACTERS ? text : Buffer.from(text)
}

function bearerToken(request: FastifyRequest): string | undefined {
  const header = request.headers.authorization
  return header?.startsWith('Bearer ') === true ? header.slice('Bearer '.length) : undefined
}

/** Unknown fields are errors: a misspelt option must not be ignored. */
function parsePart(schema: z.ZodType | undefined, part: unknown, where: string): unknown {
  if (schema === undefined) {
    if (isEmpty(part)) return undefined
    throw new PlatformError(
      'INVALID_INPUT',
      { where, next: `send no ${where}` },
      { message: `This call takes no ${where}.` },
    )
  }
  const parsed = schema.safeParse(part ?? (where === 'body' ? undefined : {}))
  if (parsed.success) return parsed.data
  throw invalidInput(parsed.error, where)
}

function isEmpty(part: unknown): boolean {
  return (
    part === undefined ||
    part === null ||
    (typeof part === 'object' && Object.keys(part).length === 0)
  )
}

const ISSUES_SHOWN_MAX = 10
const MESSAGE_CHARACTERS_MAX = 300

/** INVALID_INPUT that names each wrong field. */
export function invalidInput(error: z.ZodError, where: string): PlatformError {
  const issues = error.issues.slice(0, ISSUES_SHOWN_MAX).map((issue) => {
    const keys =
      'keys' in issue && Array.isArray(issue.keys) ? issue.keys.map(String).join(', ') : ''
    const field = issue.path.map(String).join('.') || keys || where
    return { field: field.slice(0, 200), problem: issue.message.slice(0, 300) }
  })
  const first = issues[0]
  const message =
    first === undefined ? 'The request is malformed.' : `${first.field}: ${first.problem}`
  return new PlatformError('INVALID_INPUT', { where, field: first?.field, issues }, { message })
}

function sendError<Caller>(
  options: HttpServerOptions<Caller>,
  { error, request, reply }: { error: unknown; request: FastifyRequest; reply: FastifyReply },
): FastifyReply {
  const known = toPlatformError(error)
  const status = errorStatus[known.kind]
  if (status >= 500)
    options.log.error('a request failed', {
      requestId: request.id,
      path: request.url.split('?')[0],
      error,
    })
  if (known.kind === 'unavailable' || known.kind === 'limit') void reply.header('retry-after', '1')
  return reply.status(status).send(replyOf(known, request.id))
}

/**
 * Answers what is no HTTP request (a huge or malformed head, or none in time) in the shape of every error, and closes.
 * Node gives only the socket; nothing of the request is known.
 */
function refuseMalformed<Caller>(
  options: HttpServerOptions<Caller>,
  failed: { error: Error & { code?: string }; socket: Duplex },
): void {
  const { error, socket } = failed
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const known =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? new PlatformError(
          'TOO_LARGE',
          { limit: `${HEADER_BYTES_MAX} bytes` },
          { message: 'The head of the request is too large.' },
        )
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? new PlatformError('DEADLINE_EXCEEDED', {}, { message: 'The request came too slowly.' })
        : new PlatformError('INVALID_INPUT', { where: 'request' }, { message: 'Not HTTP.' })
  const status = errorStatus[known.kind]
  const body = JSON.stringify(replyOf(known, options.newRequestId()))
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nConnection: close\r\n` +
      `Content-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    () => socket.destroy(),
  )
}

function replyOf(error: PlatformError, requestId: string): ErrorReply {
  return { code: error.code, message: error.message, details: { ...error.details }, requestId }
}

function toPlatformError(error: unknown): PlatformError {
  if (isPlatformError(error)) return error
  if (isDatabaseUnavailable(error)) return databaseUnavailable(error)
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return new PlatformError('TOO_LARGE', {
      limit: `${BODY_BYTES_MAX} bytes`,
      next: 'send a smaller body',
    })
  }
  if (
    code.startsWith('FST_ERR_') ||
    (error instanceof Error && 'statusCode' in error && error.statusCode === 400)
  ) {
    // The text repeats what was sent, however long that is.
    const message =
      error instanceof Error
        ? error.message.slice(0, MESSAGE_CHARACTERS_MAX)
        : 'The request is malformed.'
    return new PlatformError('INVALID_INPUT', { where: 'request' }, { message, cause: error })
  }
  return new PlatformError('INTERNAL', {}, { cause: error })
}
