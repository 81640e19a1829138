import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock } from '@nubo/base'
import { STREAM_FRAME_BYTES_MAX } from '@nubo/contracts'
import { silentLog } from '@nubo/runtime'
import { WebSocketServer } from 'ws'
import { STREAM_PATH, type StreamBroker } from '../host-sessions/index.ts'
import { webSocketStream } from './web-socket.ts'

const TOKEN_PATTERN = /^[A-Za-z0-9_-]{43}$/

/**
 * Takes the clients' WebSockets of the public API: `/v1/streams/TOKEN`. The token is the permission: it was given to an
 * authorised caller, works once, and for 30 s. Give the result to `createHttpServer` as `onUpgrade`.
 */
export function createStreamUpgrade(deps: {
  streams: StreamBroker
  clock: Clock
}): (request: IncomingMessage, socket: Duplex, head: Buffer) => void {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: STREAM_FRAME_BYTES_MAX,
  })
  return (request, socket, head) => {
    const attach = deps.streams.claimForClient(streamToken(request.url) ?? '')
    if (attach === undefined) return refuseUpgrade(socket, '404 Not Found')
    server.handleUpgrade(request, socket, head, (webSocket) =>
      // What a client breaks is its own loss; it shall not fill our log.
      attach(webSocketStream(webSocket, { ...deps, log: silentLog })),
    )
  }
}

/** The token at the end of a stream's path; undefined if the path is another. */
function streamToken(url: string | undefined): string | undefined {
  if (url?.startsWith(STREAM_PATH) !== true) return undefined
  const token = url.slice(STREAM_PATH.length)
  return TOKEN_PATTERN.test(token) ? token : undefined
}

export function refuseUpgrade(socket: Duplex, status: string): void {
  socket.on('error', () => socket.destroy())
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () =>
    socket.destroy(),
  )
}
