import type { Clock, Random } from '@nubo/base'
import {
  api,
  type Image,
  type LogPosition,
  type Operation,
  type StreamTicket,
  type WatchEvent,
} from '@nubo/contracts'
import { ContractError } from './errors.ts'
import { readLog, refusesPositions, type LogOutput } from './log-stream.ts'
import { waitForEnd, type WaitOptions } from './operations.ts'
import {
  specialRoutes,
  type CallArguments,
  type CallName,
  type CallOptions,
  type CallReply,
  type CallRequest,
  type Calls,
  type ListItem,
  type ListName,
  type ListQuery,
} from './routes.ts'
import { ServerList } from './servers.ts'
import { connectStream, type StreamConnection } from './stream-connection.ts'
import {
  exchange,
  replyOf,
  requestPath,
  type CallTrace,
  type RequestParts,
  type Transport,
} from './transport.ts'
import { uploadImage, type Upload, type UploadOptions } from './upload.ts'
import { readWholeList } from './whole-list.ts'
import { watchEvents, type WatchOptions, type WatchQuery } from './watch.ts'

export interface ClientOptions {
  /** Addresses of the servers of one region, as 'http://127.0.0.1:7480'. */
  readonly servers: readonly string[]
  readonly token: string
  readonly clock: Clock
  /** Spreads reconnects; nothing secret comes from it. */
  readonly random: Random
  readonly fetch?: typeof fetch
  readonly webSocket?: (url: string) => WebSocket
  readonly onCall?: (trace: CallTrace) => void
}

export interface Client extends Calls {
  /**
   * Any call by its name. All calls throw ApiError (refused), UnreachableError (not carried out),
   * OutcomeUnknownError (maybe carried out), ContractError, or the reason of the signal.
   */
  call<Name extends CallName>(name: Name, ...call: CallArguments<Name>): Promise<CallReply<Name>>
  /** All items of a list, as they were at one revision if the server can tell that. */
  listAll<Name extends ListName>(
    name: Name,
    query?: ListQuery<Name>,
    options?: CallOptions,
  ): Promise<ListItem<Name>[]>
  /** See `watchEvents`. */
  watch(query?: WatchQuery, options?: WatchOptions): AsyncGenerator<WatchEvent, void, void>
  /** See `uploadImage`. */
  imageImport(upload: Upload, options?: UploadOptions): Promise<Image>
  /** Connects to the server that gave the ticket. See `connectStream`. */
  openStream(ticket: StreamTicket, options?: { signal?: AbortSignal }): Promise<StreamConnection>
  /** What `setLogs` asks for, continued over losses of servers; see `readLog`. */
  readSetLog(
    request: CallRequest<'setLogs'>,
    options?: { signal?: AbortSignal },
  ): AsyncGenerator<LogOutput, void, void>
  /** See `waitForEnd`. */
  waitOperation(id: string, options?: WaitOptions): Promise<Operation>
}

/** A client of one region. Opens no connection before the first call. Throws a TypeError for a malformed address. */
export function createClient(options: ClientOptions): Client {
  const transport: Transport & { random: Random } = {
    servers: new ServerList(options.servers),
    token: options.token,
    clock: options.clock,
    random: options.random,
    fetch: options.fetch ?? ((input, init) => fetch(input, init)),
    onCall: options.onCall ?? (() => undefined),
  }
  const ticketServers = new WeakMap<object, string>()

  async function call(
    name: CallName,
    request: RequestParts = {},
    callOptions: CallOptions = {},
  ): Promise<unknown> {
    const path = requestPath(name, request)
    const { body } = request
    const { server, result } = await exchange(transport, {
      name,
      path,
      accept: 'application/json',
      ...(body === undefined
        ? {}
        : { contentType: 'application/json', body: () => JSON.stringify(body) }),
      read: replyOf(name, path),
      ...callOptions,
    })
    if (typeof result === 'object' && result !== null) ticketServers.set(result, server)
    return result
  }

  // proof: `call` checks each reply by the schema that CallReply is inferred from
  const typedCall = call as Client['call']

  const openStream: Client['openStream'] = (ticket, { signal } = {}) => {
    const server = ticketServers.get(ticket) ?? transport.servers.current
    const webSocket = options.webSocket ?? ((url: string) => new WebSocket(url))
    return connectStream({ clock: options.clock, webSocket }, streamUrl(server, ticket), signal)
  }

  return {
    ...namedCalls(typedCall),
    call: typedCall,
    listAll: <Name extends ListName>(
      name: Name,
      query?: ListQuery<Name>,
      callOptions: CallOptions = {},
    ): Promise<ListItem<Name>[]> =>
      // proof: each item is checked by the schema that ListItem is inferred from
      readWholeList(transport, name, query ?? {}, callOptions) as Promise<ListItem<Name>[]>,
    watch: (query = {}, watchOptions = {}) => watchEvents(transport, query, watchOptions),
    imageImport: (upload, uploadOptions = {}) => uploadImage(transport, upload, uploadOptions),
    openStream,
    readSetLog: (request, { signal } = {}) =>
      readLog(
        {
          clock: options.clock,
          random: options.random,
          ask: (after) => askForLog(typedCall, request, { after, signal }),
          connect: (ticket) => openStream(ticket, signal === undefined ? {} : { signal }),
          avoid: (ticket) => {
            const server = ticket === undefined ? undefined : ticketServers.get(ticket)
            transport.servers.avoid(server ?? transport.servers.current)
          },
        },
        { follow: request.body?.follow === true, signal },
      ),
    waitOperation: (id, wait = {}) =>
      waitForEnd(
        transport,
        (waitMs, timeoutMs) =>
          typedCall(
            'operationShow',
            { params: { id }, query: { project: wait.project, waitMs } },
            { signal: wait.signal, timeoutMs },
          ),
        wait,
      ),
  }
}

function namedCalls(call: Client['call']): Calls {
  const special: ReadonlySet<string> = new Set(specialRoutes)
  const names = Object.keys(api).filter((name): name is CallName => !special.has(name))
  const entries = names.map((name) => [
    name,
    (...args: [never, CallOptions?]) => call(name, ...args),
  ])
  return Object.fromEntries(entries) as Calls // proof: one function per CallName, each bound to its own name
}

async function askForLog(
  call: Client['call'],
  request: CallRequest<'setLogs'>,
  { after, signal }: { after: LogPosition | undefined; signal: AbortSignal | undefined },
): Promise<StreamTicket> {
  try {
    const body = { ...request.body, positions: true, after }
    return await call('setLogs', { ...request, body }, { signal })
  } catch (error) {
    if (after !== undefined || !refusesPositions(error)) throw error
    // A server of an older release; its logs end with its connection.
    return await call('setLogs', request, { signal })
  }
}

function streamUrl(server: string, ticket: StreamTicket): string {
  const url = new URL(ticket.path, server)
  // A path such as '//elsewhere/' would send the stream to another machine.
  if (url.origin !== server) throw new ContractError('a stream ticket points to another server')
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  return url.toString()
}
