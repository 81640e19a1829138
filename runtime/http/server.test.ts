// Proves the bounds of connections: a body must come in time, an upload must flow, and its work may take its time; and
// that a server which ends answers what was asked.
import assert from 'node:assert/strict'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import { sleep } from '@nubo/base'
import type { Route } from '@nubo/contracts'
import { z } from 'zod'
import { silentLog } from '../process/log.ts'
import { systemClock } from '../process/system.ts'
import type { Binding } from './bind.ts'
import { createHttpServer, type HttpLimits } from './server.ts'

interface Asked {
  readonly handle: Binding<null>['handle']
  readonly form?: Route['form']
  readonly limits: Partial<HttpLimits>
}

async function open(context: TestContext, deps: Asked): Promise<Socket> {
  return (await openServer(context, deps)).socket
}

async function openServer(context: TestContext, deps: Asked) {
  const route: Route = {
    method: 'POST',
    path: '/v1/things',
    summary: '',
    access: 'public',
    body: z.object({}),
    reply: z.unknown(),
    status: 200,
    ...(deps.form === undefined ? {} : { form: deps.form }),
  }
  const server = createHttpServer<null>({
    bindings: [{ route, handle: deps.handle }],
    authorize: () => Promise.resolve(null),
    newRequestId: () => 'r',
    limits: deps.limits,
    clock: systemClock,
    log: silentLog,
  })
  await server.listen({ host: '127.0.0.1', port: 0 })
  context.after(() => server.close())
  const { port } = server.server.address() as AddressInfo // proof: it listens on TCP
  const socket = connect(port, '127.0.0.1')
  context.after(() => socket.destroy())
  return { server, socket }
}

async function textOf(socket: Socket): Promise<string> {
  return (await buffer(socket)).toString()
}

async function waitFor(isSo: () => boolean): Promise<void> {
  while (!isSo()) await sleep(systemClock, 5)
}

function head(type: string, length: number): string {
  return `POST /v1/things HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n`
}

test('a body that trickles in is cut off, however steadily it does', async (context) => {
  let calls = 0
  const socket = await open(context, {
    handle: () => Promise.resolve({ calls: ++calls }),
    limits: { bodyTimeoutMs: 300 },
  })
  socket.on('error', () => undefined)
  socket.write(head('application/json', 1_000))
  const trickle = setInterval(() => socket.write(' '), 20)
  context.after(() => clearInterval(trickle))
  await new Promise((resolve) => socket.once('close', resolve))
  assert.equal(calls, 0)
})

test('a body in time leaves no deadline on the work that follows', async (context) => {
  const socket = await open(context, {
    handle: async () => {
      await sleep(systemClock, 400)
      return { ok: true }
    },
    limits: { bodyTimeoutMs: 200 },
  })
  socket.write(`${head('application/json', 2)}{}`)
  assert.match((await buffer(socket)).toString(), /200 OK[^]*"ok":true/)
})

test('an upload that has come may be worked on for longer than a connection may be idle', async (context) => {
  const socket = await open(context, {
    form: 'upload',
    handle: async ({ upload, signal }) => {
      const { length } = await buffer(upload)
      await sleep(systemClock, 900, signal)
      return { length }
    },
    limits: { idleTimeoutMs: 300 },
  })
  socket.write(`${head('application/octet-stream', 4)}nubo`)
  assert.match((await buffer(socket)).toString(), /200 OK[^]*"length":4/)
})

test('an upload that stops flowing is cut off', async (context) => {
  const socket = await open(context, {
    form: 'upload',
    handle: async ({ upload }) => ({ length: (await buffer(upload)).length }),
    limits: { idleTimeoutMs: 300 },
  })
  socket.write(`${head('application/octet-stream', 100)}nubo`)
  assert.equal((await buffer(socket)).toString(), '')
})

test('a server that ends answers what is under way and what comes on open connections, says that they end, and takes no new one', async (context) => {
  const release = Promise.withResolvers<void>()
  let calls = 0
  const { server, socket } = await openServer(context, {
    handle: async () => {
      if (++calls === 1) await release.promise
      return {}
    },
    limits: { drainMs: 300 },
  })
  const { port } = server.server.address() as AddressInfo // proof: it listens on TCP
  const idle = connect(port, '127.0.0.1')
  context.after(() => idle.destroy())
  const request = head('application/json', 2).replace('Connection: close\r\n', '') + '{}'
  socket.write(request)
  await waitFor(() => calls === 1)
  const closed = server.close()
  idle.write(request)
  assert.match(await textOf(idle), /^HTTP\/1\.1 200 [^]*connection: close/i)
  await waitFor(() => !server.server.listening)
  release.resolve()
  assert.match(await textOf(socket), /^HTTP\/1\.1 200 [^]*connection: close/i)
  await closed
})
