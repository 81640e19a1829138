import { createConnection, type Socket } from 'node:net'

import { QmpClient, type QmpClientOptions } from './client.ts'
import { startDeadline } from './deadline.ts'
import { QmpAbortedError, QmpConnectionError, QmpTimeoutError, QmpValueError } from './errors.ts'
import { systemTimers, type Timers } from './timers.ts'

export interface QmpConnectOptions extends QmpClientOptions {
  /** Unix socket of the monitor, absolute; at most 107 bytes. */
  readonly path: string
  /** For the socket alone; greeting and negotiation have deadlines of their own. Default 5,000. */
  readonly connectTimeoutMs?: number
  /**
   * For a QEMU that is just being started and makes its socket a moment later: what is absent, refuses or is busy is
   * tried again after each such pause, until the deadline. Without it, one attempt.
   */
  readonly retryPauseMs?: number
  readonly signal?: AbortSignal | undefined
}

// sun_path of unix(7), without the closing NUL.
const PATH_BYTES_MAX = 107
const CONNECT_TIMEOUT_MS = 5_000
// EAGAIN: the queue of the socket, which holds two, is full of clients that wait for their turn.
const RETRIED = ['ENOENT', 'ECONNREFUSED', 'EAGAIN']

/**
 * Connects to a monitor and negotiates. It does not come back by itself: whoever connects again must ask QEMU for its
 * state, since events meanwhile are lost, and only the caller knows whether the process still lives.
 * Rejects with `QmpConnectionError` (`cause` is the error of the socket), `QmpTimeoutError`, `QmpAbortedError`,
 * `QmpValueError` for the path, and as `QmpClient.open`.
 */
export async function connectQmp(options: QmpConnectOptions): Promise<QmpClient> {
  const { path } = options
  if (path.includes('\0') || Buffer.byteLength(path) > PATH_BYTES_MAX) {
    throw new QmpValueError('path', `not the path of a socket of at most ${PATH_BYTES_MAX} bytes`)
  }
  return await QmpClient.open(await reach(options), options)
}

async function reach(options: QmpConnectOptions): Promise<Socket> {
  const { path, retryPauseMs, signal, timers = systemTimers } = options
  const timeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS
  const outcome = 'not_sent'
  if (signal?.aborted === true) {
    throw new QmpAbortedError('given up before it began', { outcome, cause: signal.reason })
  }
  const expiry = new AbortController()
  let last: unknown
  const release = startDeadline({ timers, timeoutMs, signal }, (by) =>
    expiry.abort(
      by === 'timeout'
        ? new QmpTimeoutError(`${path}: not connected within ${timeoutMs} ms`, {
            outcome,
            cause: last,
          })
        : new QmpAbortedError(`${path}: given up by the caller`, {
            outcome,
            cause: signal?.reason,
          }),
    ),
  )
  try {
    for (;;) {
      try {
        return await attempt(path, expiry.signal)
      } catch (error) {
        expiry.signal.throwIfAborted()
        last = error
        if (retryPauseMs === undefined || !RETRIED.includes(codeOf(error))) {
          throw new QmpConnectionError(`${path}: ${reasonOf(error)}`, {
            end: 'failed',
            outcome,
            cause: error,
          })
        }
      }
      await pause(timers, retryPauseMs, expiry.signal)
    }
  } finally {
    release()
  }
}

function attempt(path: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path })
    const settle = (): void => {
      signal.removeEventListener('abort', onAbort)
      socket.off('error', onError)
    }
    const onAbort = (): void => {
      settle()
      // Nobody listens from here on, and a socket may still fail.
      socket.on('error', () => undefined)
      socket.destroy()
      reject(signal.reason)
    }
    const onError = (error: Error): void => {
      settle()
      reject(error)
    }
    socket.on('error', onError)
    socket.once('connect', () => {
      settle()
      resolve(socket)
    })
    signal.addEventListener('abort', onAbort, { once: true })
  })
}

function pause(timers: Timers, pauseMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      timers.clear(timer)
      reject(signal.reason)
    }
    const timer = timers.set(() => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    }, pauseMs)
    signal.addEventListener('abort', onAbort, { once: true })
  })
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

function reasonOf(error: unknown): string {
  switch (codeOf(error)) {
    case 'ENOENT':
      return 'there is no such socket'
    case 'ECONNREFUSED':
      return 'nobody listens on the socket'
    case 'EAGAIN':
      return 'too many clients wait for this monitor, which serves one at a time'
    default:
      return 'the socket cannot be reached'
  }
}
