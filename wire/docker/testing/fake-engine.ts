import http from 'node:http'
import type { Duplex } from 'node:stream'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DockerClient } from '../client.ts'
import type { TransportLimits } from '../transport.ts'

/** An HTTP server on a Unix socket that answers as a test tells it, to show answers that a real engine never gives. */
export interface FakeEngine {
  readonly client: DockerClient
  readonly socketPath: string
  readonly requests: readonly string[]
  /** Connections accepted so far. */
  connections(): number
  /** Cuts every open connection. */
  cut(): void
  close(): Promise<void>
}

export interface FakeEngineOptions {
  readonly limits?: Partial<TransportLimits>
  readonly onRequest?: (request: http.IncomingMessage, response: http.ServerResponse) => void
  readonly onUpgrade?: (request: http.IncomingMessage, socket: Duplex) => void
}

export async function startFakeEngine(options: FakeEngineOptions): Promise<FakeEngine> {
  const home = await mkdtemp(path.join(tmpdir(), 'ntf'))
  const socketPath = path.join(home, 's')
  const requests: string[] = []
  const sockets = new Set<Duplex>()
  let connections = 0
  const server = http.createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`)
    options.onRequest?.(request, response)
  })
  server.on('connection', (socket) => {
    connections += 1
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  const { onUpgrade } = options
  if (onUpgrade !== undefined) {
    server.on('upgrade', (request, socket) => {
      requests.push(`${request.method} ${request.url}`)
      onUpgrade(request, socket)
    })
  }
  await new Promise<void>((resolve) => server.listen(socketPath, resolve))
  const client = new DockerClient({
    socketPath,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  })
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    client,
    socketPath,
    requests,
    connections: () => connections,
    cut,
    close: async () => {
      client.close()
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
        cut()
      })
      await rm(home, { recursive: true, force: true })
    },
  }
}
