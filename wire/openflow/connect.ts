import { createConnection } from 'node:net'

import { OpenFlowClient, type OpenFlowClientOptions } from './client.ts'
import { OpenFlowClosedError, OpenFlowTimeoutError } from './errors.ts'
import { systemTimers } from './timers.ts'

const CONNECT_TIMEOUT_MS = 5_000

export interface ConnectOptions extends OpenFlowClientOptions {
  /** Until the socket is connected; opening has its own deadline. */
  readonly connectTimeoutMs?: number
}

/**
 * Connects to a Unix socket, usually `<run directory>/<bridge>.mgmt` of Open vSwitch, and opens a client on it.
 * Rejects with OpenFlowClosedError (`cause` is the error of the socket, e.g. ENOENT), OpenFlowTimeoutError, what
 * OpenFlowClient.open rejects with, or the signal's reason. There is no retry.
 */
export async function connectOpenFlow(
  socketPath: string,
  options: ConnectOptions = {},
): Promise<OpenFlowClient> {
  const { signal, timers = systemTimers, connectTimeoutMs = CONNECT_TIMEOUT_MS } = options
  signal?.throwIfAborted()
  const socket = createConnection({ path: socketPath })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onError = (cause: Error): void =>
    reject(new OpenFlowClosedError(`cannot connect to ${socketPath}`, { cause }))
  const onAbort = (): void => reject(signal?.reason)
  const cancelTimer = timers.after(connectTimeoutMs, () =>
    reject(new OpenFlowTimeoutError(`not connected within ${connectTimeoutMs} ms`)),
  )
  socket.once('connect', resolve)
  socket.on('error', onError)
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    await promise
  } catch (error) {
    socket.destroy()
    throw error
  } finally {
    cancelTimer()
    signal?.removeEventListener('abort', onAbort)
  }
  const client = OpenFlowClient.open(socket, options)
  // From here on the client listens itself.
  socket.off('error', onError)
  return client
}
