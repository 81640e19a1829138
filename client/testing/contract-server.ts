/**
 * A small server that speaks the public contract, for tests of the client and of the CLI. It checks each request and
 * each of its own replies by the route's schemas, so a test cannot agree with the client on something that the
 * contract does not say.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { errorCatalogue, errorStatus, isPlatformError, PlatformError } from '@nubo/base'
import { api, type Route, type RouteName, type WatchEvent } from '@nubo/contracts'
import type { CallName, CallReply } from '../routes.ts'
import { acceptSocket, type ServerSocket } from './web-socket.ts'

const BODY_BYTES_MAX = 64 * 2 ** 20

export interface ReceivedCall {
  readonly name: RouteName
  readonly token: string
  // Checked by the route's schemas; a test knows which route it serves.
  readonly params: Record<string, unknown>
  readonly query: Record<string, unknown>
  readonly body: unknown
  /** To answer in ways that the contract does not know. */
  readonly response: ServerResponse
}

type Answer<Reply> = Reply | Promise<Reply>

export type Handlers = {
  readonly [Name in CallName]?: (call: ReceivedCall) => Answer<CallReply<Name>>
} & {
  /** Sends events until it ends or the client goes; then the connection is closed. */
  readonly watch?: (call: ReceivedCall) => AsyncIterable<WatchEvent>
  readonly imageImport?: (
    call: ReceivedCall & { bytes: AsyncIterable<Uint8Array> },
  ) => Answer<CallReply<'imageImport'>>
  /** Any WebSocket. */
  readonly stream?: (path: string, socket: ServerSocket) => Promise<void> | void
}

export interface ContractServer {
  readonly url: string
  readonly port: number
  /** Everything that was asked, in order. */
  readonly received: { name: RouteName; token: string; path: string }[]
  /** Cuts all connections and stops listening. Idempotent. */
  close(): Promise<void>
}

/** What a handler throws when it has answered by itself. */
export class AnsweredItself extends Error {}

/** Listens on a free loopback port unless one is given. Refuses every token but `token`. */
export async function startContractServer(options: {
  handlers: Handlers
  token?: string
  port?: number
}): Promise<ContractServer> {
  const received: ContractServer['received'] = []
  const server = createServer((request, response) => {
    serve(options, received, request, response).catch((error: unknown) => {
      if (error instanceof AnsweredItself) return
      if (response.headersSent) return void response.destroy()
      sendError(response, error)
    })
  })
  const upgraded = new Set<Duplex>()
  server.on('upgrade', (request, duplex) => {
    upgraded.add(duplex)
    duplex.on('close', () => upgraded.delete(duplex))
    if (options.handlers.stream === undefined) return void duplex.destroy()
    void options.handlers.stream(request.url ?? '', acceptSocket(request, duplex))
  })
  const port = await listen(server, options.port ?? 0)
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    received,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
        for (const duplex of upgraded) duplex.destroy()
      }),
  }
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)) // proof: listens on TCP
  })
}

async function serve(
  options: { handlers: Handlers; token?: string },
  received: ContractServer['received'],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://server')
  const token = (request.headers.authorization ?? '').replace(/^Bearer /, '')
  const found = findRoute(request.method ?? '', url.pathname)
  if (found === undefined) {
    throw new PlatformError('NOT_FOUND', { path: url.pathname })
  }
  const { name, route } = found
  received.push({ name, token, path: `${url.pathname}${url.search}` })
  if (options.token !== undefined && token !== options.token) {
    throw new PlatformError('UNAUTHENTICATED')
  }
  const call: ReceivedCall = {
    name,
    token,
    params: checked(route.params, found.params),
    query: checked(route.query, queryOf(url)),
    body: route.form === 'upload' ? undefined : parse(route.body, await jsonBody(request), 'body'),
    response,
  }
  await answer(options.handlers, call, request, route)
}

async function answer(
  handlers: Handlers,
  call: ReceivedCall,
  request: IncomingMessage,
  route: Route,
): Promise<void> {
  const { name, response } = call
  if (name === 'watch') {
    if (handlers.watch === undefined) throw new PlatformError('NOT_FOUND')
    await sendEvents(response, handlers.watch(call))
    return
  }
  const reply =
    name === 'imageImport'
      ? await handlers.imageImport?.({ ...call, bytes: request })
      : await handlers[name]?.(call)
  if (reply === undefined) throw new PlatformError('NOT_FOUND', { call: name })
  const checkedReply = route.reply.parse(reply)
  response.writeHead(route.status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(checkedReply))
}

async function sendEvents(
  response: ServerResponse,
  events: AsyncIterable<WatchEvent>,
): Promise<void> {
  const iterator = events[Symbol.asyncIterator]()
  // The first event decides between a refusal and a stream.
  let next = await iterator.next()
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.write(': hello\n\n')
  response.on('close', () => void iterator.return?.())
  while (next.done !== true) {
    const event = api.watch.reply.parse(next.value)
    response.write(`data: ${JSON.stringify(event)}\n\n`)
    next = await iterator.next()
  }
  response.end()
}

function findRoute(
  method: string,
  path: string,
): { name: RouteName; route: Route; params: Record<string, string> } | undefined {
  for (const [name, route] of Object.entries(api) as [RouteName, Route][]) {
    // proof of the cast: `api` is declared with exactly these keys and values
    if (route.method !== method) continue
    const pattern = route.path.replaceAll(/:([a-zA-Z]+)/g, '(?<$1>[^/]+)')
    const match = new RegExp(`^${pattern}$`).exec(path)
    if (match === null) continue
    const params = Object.entries(match.groups ?? {}).map(([key, value]) => [
      key,
      decodeURIComponent(value),
    ])
    return { name, route, params: Object.fromEntries(params) as Record<string, string> } // proof: built of strings
  }
  return undefined
}

function queryOf(url: URL): Record<string, string | string[]> {
  const query: Record<string, string | string[]> = {}
  for (const key of new Set(url.searchParams.keys())) {
    const values = url.searchParams.getAll(key)
    query[key] = values.length === 1 ? (values[0] ?? '') : values
  }
  return query
}

async function jsonBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of request) {
    if (!(chunk instanceof Uint8Array)) continue
    bytes += chunk.byteLength
    if (bytes > BODY_BYTES_MAX) throw new PlatformError('TOO_LARGE')
    chunks.push(chunk)
  }
  return bytes === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString())
}

function checked(schema: Route['params'], value: unknown): Record<string, unknown> {
  return (parse(schema, value, 'query') ?? {}) as Record<string, unknown> // proof: params and queries are objects
}

function parse(schema: Route['body'], value: unknown, what: string): unknown {
  if (schema === undefined) return undefined
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new PlatformError('INVALID_INPUT', {
    in: what,
    field: issue?.path.join('.') ?? '',
    limit: issue?.message ?? '',
  })
}

function sendError(response: ServerResponse, error: unknown): void {
  const platform = isPlatformError(error)
    ? error
    : new PlatformError('INTERNAL', { text: String(error) })
  response.writeHead(errorStatus[errorCatalogue[platform.code].kind], {
    'content-type': 'application/json',
  })
  response.end(
    JSON.stringify({
      code: platform.code,
      message: platform.message,
      details: platform.details,
      requestId: 'request-1',
    }),
  )
}
