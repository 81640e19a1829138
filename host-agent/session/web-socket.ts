import type { Socket } from 'node:net'
import { createSecureContext, type SecureContext } from 'node:tls'
import {
  HOST_MESSAGE_BYTES_MAX,
  hostSessionPath,
  hostStreamPath,
  type HostContract,
} from '@nubo/contracts/host'
import { STREAM_FRAME_BYTES_MAX } from '@nubo/contracts'
import { PlatformError } from '@nubo/base'
import { WebSocket, type ClientOptions } from 'ws'
import type { Identity } from '../join/identity.ts'
import type { StreamDialer } from '../streams/stream-socket.ts'
import type { ServerConnector } from './channel.ts'

/** A machine that is dead is told from one that is busy: the kernel of the latter answers. */
const TCP_TIMEOUT_MS = 4_000
/** Without a word, until TLS and the upgrade are through: a server to which thousands come lets them wait in turn. */
const HANDSHAKE_TIMEOUT_MS = 8_000
/** A peer that has not said goodbye by then is cut off. */
const CLOSE_TIMEOUT_MS = 2_000
const HTTP_NOT_FOUND = 404
/** A close reason has at most 123 bytes (RFC 6455, section 5.5). */
const REASON_BYTES_MAX = 120

/**
 * Dials `wss://<server>/host/v<N>/session`. The identity is asked for each time, because it is renewed. That a server was
 * too old is not remembered: one more handshake costs little, and it comes back upgraded some day.
 */
export function webSocketConnector(identity: () => Identity): ServerConnector {
  const secureContext = contexts(identity)
  return {
    async connect(server, handlers, signal, contracts) {
      const { socket, contract } = await dialNewest({
        server,
        path: hostSessionPath,
        secureContext: secureContext(),
        bytesMax: HOST_MESSAGE_BYTES_MAX,
        contracts,
        signal,
      })
      let reason = ''
      socket.on('message', (message, isBinary) => {
        if (isBinary) socket.close(1003, 'text only')
        else handlers.onText(textOf(message))
      })
      socket.on('close', (code, said) =>
        handlers.onClose(reason || said.toString() || `closed with code ${code}`),
      )
      return {
        contract,
        send: (text) => {
          // As bytes it leaves in one piece with its header; a text would be two writes that are joined again.
          if (socket.readyState === WebSocket.OPEN)
            socket.send(Buffer.from(text), { binary: false })
        },
        get bufferedBytes() {
          return socket.bufferedAmount
        },
        close: (why) => {
          reason ||= why
          shut(socket, why)
        },
      }
    },
  }
}

/** Dials `wss://<server>/host/v<N>/streams/<token>`. A server that does not know the version leaves the token as it is. */
export function webSocketStreamDialer(identity: () => Identity): StreamDialer {
  const secureContext = contexts(identity)
  return {
    async dial({ server, token, contracts }, handlers, signal) {
      const { socket, contract } = await dialNewest({
        server,
        path: (version) => hostStreamPath(version, token),
        secureContext: secureContext(),
        bytesMax: STREAM_FRAME_BYTES_MAX,
        contracts,
        signal,
        orElse: ', or does not wait for this stream any more',
        // The server may speak with the first packet, so these listen before it is open.
        onSocket: (made) => {
          made.on('message', (message, isBinary) => {
            if (isBinary) handlers.onBytes(bytesOf(message))
            else handlers.onText(textOf(message))
          })
          made.once('open', () => made.once('close', () => handlers.onClose()))
        },
      })
      return {
        contract,
        sendText: (text) => {
          if (socket.readyState === WebSocket.OPEN) socket.send(text)
        },
        sendBytes: (bytes) => {
          if (socket.readyState === WebSocket.OPEN) socket.send(bytes)
        },
        get bufferedBytes() {
          return socket.bufferedAmount
        },
        close: () => shut(socket, 'done'),
      }
    },
  }
}

/** The first version that the server does not answer with 404. */
async function dialNewest(options: {
  server: string
  path: (contract: HostContract) => string
  secureContext: SecureContext
  bytesMax: number
  contracts: readonly HostContract[]
  signal: AbortSignal
  onSocket?: (socket: WebSocket) => void
  /** What a 404 may mean as well. */
  orElse?: string
}): Promise<{ socket: WebSocket; contract: HostContract }> {
  const { server, secureContext, contracts, signal, bytesMax } = options
  for (const contract of contracts) {
    const socket = open({ server, path: options.path(contract), secureContext, bytesMax })
    options.onSocket?.(socket)
    let status: number | undefined
    socket.once('unexpected-response', (request, response) => {
      status = response.statusCode
      request.destroy(new Error(`the server answered ${status}`))
    })
    try {
      await opened(socket, server, signal)
      return { socket, contract }
    } catch (error) {
      if (status !== HTTP_NOT_FOUND || signal.aborted) throw error
    }
  }
  throw new PlatformError(
    'HOST_UNREACHABLE',
    { server, contracts: contracts.join(', ') },
    {
      message: `The server ${server} speaks no version of the host contract that this agent knows${options.orElse ?? ''}.`,
    },
  )
}

/** Parsing keys and certificates costs more than the rest of a try, and tries are many when servers are gone. */
function contexts(identity: () => Identity): () => SecureContext {
  let known: { identity: Identity; context: SecureContext } | undefined
  return () => {
    const now = identity()
    if (known?.identity !== now) {
      const { ca, certificate: cert, key } = now
      known = { identity: now, context: createSecureContext({ ca, cert, key }) }
    }
    return known.context
  }
}

function open(options: {
  server: string
  path: string
  secureContext: SecureContext
  bytesMax: number
}): WebSocket {
  // `tls.connect` gets all of it; the types of ws leave the context out.
  const connectOptions: ClientOptions & { secureContext: SecureContext } = {
    secureContext: options.secureContext,
    perMessageDeflate: false,
    maxPayload: options.bytesMax,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    followRedirects: false,
    finishRequest: (request) => {
      request.once('socket', (tcp) => endUnlessConnected(tcp))
      request.end()
    },
  }
  const socket = new WebSocket(`wss://${options.server}${options.path}`, connectOptions)
  // Errors come with a close, which is what everybody listens to; without a listener they would end the process.
  socket.on('error', () => undefined)
  return socket
}

function endUnlessConnected(tcp: Socket): void {
  const timer = setTimeout(
    () => tcp.destroy(new Error(`no TCP connection within ${TCP_TIMEOUT_MS} ms`)),
    TCP_TIMEOUT_MS,
  )
  const clear = (): void => clearTimeout(timer)
  tcp.once('connect', clear)
  tcp.once('close', clear)
}

async function opened(socket: WebSocket, server: string, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onAbort = (): void => {
    socket.terminate()
    reject(signal.reason)
  }
  const onFailure = (cause: unknown): void =>
    reject(
      new PlatformError(
        'HOST_UNREACHABLE',
        { server },
        { message: `The server ${server} cannot be reached.`, cause },
      ),
    )
  const onClose = (code: number): void => onFailure(new Error(`closed with code ${code}`))
  socket.once('open', resolve)
  socket.once('error', onFailure)
  socket.once('close', onClose)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    if (signal.aborted) onAbort()
    await promise
  } finally {
    signal.removeEventListener('abort', onAbort)
    socket.off('open', resolve)
    socket.off('error', onFailure)
    socket.off('close', onClose)
  }
}

function shut(socket: WebSocket, reason: string): void {
  if (socket.readyState === WebSocket.CLOSED) return
  socket.close(1000, Buffer.from(reason).subarray(0, REASON_BYTES_MAX).toString())
  // `unref`: a process that ends anyway need not wait for it.
  setTimeout(() => socket.terminate(), CLOSE_TIMEOUT_MS).unref()
}

function bytesOf(message: Buffer | ArrayBuffer | Buffer[]): Uint8Array {
  if (Array.isArray(message)) return Buffer.concat(message)
  return message instanceof ArrayBuffer ? new Uint8Array(message) : message
}

function textOf(message: Buffer | ArrayBuffer | Buffer[]): string {
  return Buffer.isBuffer(message) ? message.toString() : Buffer.from(bytesOf(message)).toString()
}
