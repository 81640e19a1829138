import type { Clock } from '@nubo/base'
import { every } from '@nubo/base'
import { type RawData, WebSocket } from 'ws'
import type { Log } from '@nubo/runtime'
import { closeCodes, type HostChannel, type StreamSocket } from '../host-sessions/index.ts'

/** A peer that does not answer the closing handshake is cut off after this. */
const CLOSE_TIMEOUT_MS = 2_000
/** A quiet stream is probed so often; one lost answer ends it. */
const PING_PERIOD_MS = 15_000

export interface SocketDeps {
  readonly clock: Clock
  /** Says who the peer is. */
  readonly log: Log
}

/** An agent's session over a WebSocket. The agent's heartbeats show that it lives. */
export function webSocketChannel(socket: WebSocket, deps: SocketDeps): HostChannel {
  logErrors(socket, deps)
  return {
    send: (text) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(text, () => undefined)
    },
    get bufferedBytes() {
      return socket.bufferedAmount
    },
    close: (code, reason) => closeSoon(socket, { code, reason, clock: deps.clock }),
    onMessage: (listener) => {
      socket.on('message', (bytes, isBinary) => {
        if (isBinary) {
          closeSoon(socket, {
            code: closeCodes.violation,
            reason: 'PROTOCOL_VIOLATION: a binary message',
            clock: deps.clock,
          })
        } else listener(textOf(bytes))
      })
    },
    onClose: (listener) => {
      socket.once('close', listener)
    },
  }
}

/** One side of an exec or logs stream over a WebSocket. */
export function webSocketStream(socket: WebSocket, deps: SocketDeps): StreamSocket {
  logErrors(socket, deps)
  let isAlive = true
  socket.on('pong', () => {
    isAlive = true
  })
  const ping = every(deps.clock, PING_PERIOD_MS, () => {
    // A side that was told to stop reading cannot see the answer.
    if (socket.isPaused || socket.readyState !== WebSocket.OPEN) return
    if (!isAlive) return socket.terminate()
    isAlive = false
    socket.ping()
  })
  socket.once('close', () => ping.cancel())
  return {
    send: (frame, sent) => {
      if (socket.readyState !== WebSocket.OPEN) return
      socket.send(frame, (error) => {
        if (error === undefined || error === null) sent()
      })
    },
    pause: () => socket.pause(),
    resume: () => {
      isAlive = true
      socket.resume()
    },
    close: (code, reason) => {
      // Else the answer to the closing handshake would never be read.
      socket.resume()
      closeSoon(socket, { code, reason, clock: deps.clock })
    },
    onFrame: (listener) => {
      socket.on('message', (bytes, isBinary) => listener(isBinary ? bytesOf(bytes) : textOf(bytes)))
    },
    onClose: (listener) => {
      socket.once('close', listener)
    },
  }
}

/** What is wrong with a frame (its size, its encoding) ends the connection; ws closes it with the right code itself. */
function logErrors(socket: WebSocket, { log }: SocketDeps): void {
  socket.on('error', (error) => log.warn('a connection failed', { reason: error.message }))
}

function closeSoon(socket: WebSocket, end: { code: number; reason: string; clock: Clock }): void {
  if (socket.readyState >= WebSocket.CLOSING) return
  socket.close(end.code, end.reason)
  const cut = end.clock.after(CLOSE_TIMEOUT_MS, () => socket.terminate())
  socket.once('close', () => cut.cancel())
}

function bytesOf(frame: RawData): Uint8Array {
  if (Array.isArray(frame)) return Buffer.concat(frame)
  return frame instanceof ArrayBuffer ? new Uint8Array(frame) : frame
}

function textOf(frame: RawData): string {
  return Buffer.isBuffer(frame) ? frame.toString() : Buffer.from(bytesOf(frame)).toString()
}
