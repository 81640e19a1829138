/** The supervisor's door: HTTP with JSON on a Unix socket that only root can open. Long work answers line by line. */
import { chmodSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { errorStatus, isPlatformError, PlatformError } from '@nubo/base'
import { invalidInput } from '@nubo/runtime'
import { z } from 'zod'
import type { Cloud } from './cloud.ts'
import type { LabHome } from './home.ts'
import { labHost } from './state.ts'
import { readStatus } from './status.ts'
import { failureOf, type ProgressLine, type Step } from './steps.ts'

const BODY_BYTES_MAX = 64 * 1024
const CONNECTIONS_MAX = 64

export const upRequest = z.strictObject({
  hosts: z.array(labHost),
  /** Whether the servers get power control of the hosts. */
  power: z.boolean().default(true),
})
export const hostRequest = z.strictObject({ host: z.string().max(64) })
export const cutRequest = hostRequest.extend({
  cables: z.array(z.enum(['mgmt', 'data'])).min(1),
})

export interface SupervisorApiOptions {
  home: LabHome
  cloud: Cloud
  engines: () => Promise<Record<string, string>>
  /** Called once the answer to /stop is out. */
  onStopped: () => void
  /** Called when the first bringing up failed and everything was ended again. */
  onFailedStart: () => void
}

/** Opens the socket. The server closes with its process. */
export async function openSupervisorApi(options: SupervisorApiOptions): Promise<Server> {
  const server = createServer((request, response) => {
    answer(options, request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy()
      else reply(response, isPlatformError(error) ? errorStatus[error.kind] : 500, failureOf(error))
    })
  })
  server.maxConnections = CONNECTIONS_MAX
  rmSync(options.home.socket, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.home.socket, resolve)
  })
  chmodSync(options.home.socket, 0o600)
  return server
}

async function answer(
  options: SupervisorApiOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { cloud, home } = options
  switch (`${request.method} ${request.url}`) {
    case 'GET /alive':
      break
    case 'GET /status':
      reply(response, 200, await readStatus(cloud, home, await options.engines()))
      return
    case 'POST /up': {
      const { hosts, power } = await body(request, upRequest)
      const wasUp = cloud.isUp
      const isDone = await stream(response, (tell) => cloud.bringUp(hosts, tell, { power }))
      if (!isDone && !wasUp && cloud.busyWith === undefined) options.onFailedStart()
      return
    }
    case 'POST /stop':
      if (await stream(response, (tell) => cloud.stop(tell))) options.onStopped()
      return
    case 'POST /power-off':
      await cloud.powerOff((await body(request, hostRequest)).host)
      break
    case 'POST /power-on':
      await cloud.powerOn((await body(request, hostRequest)).host)
      break
    case 'POST /cut': {
      const { host, cables } = await body(request, cutRequest)
      await cloud.cut(host, cables)
      break
    }
    case 'POST /heal':
      await cloud.heal((await body(request, hostRequest)).host)
      break
    default:
      throw new PlatformError('NOT_FOUND', { path: request.url })
  }
  reply(response, 200, {})
}

function reply(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(value))
}

/** Streams progress and the end; true if the work was done. The work goes on when the listener leaves. */
async function stream(
  response: ServerResponse,
  work: (tell: (step: Step) => void) => Promise<void>,
): Promise<boolean> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  const write = (line: ProgressLine): void => {
    if (!response.destroyed) response.write(`${JSON.stringify(line)}\n`)
  }
  let isDone = false
  try {
    await work((step) => write({ kind: 'step', step }))
    isDone = true
    write({ kind: 'end', failure: null })
  } catch (error) {
    write({ kind: 'end', failure: failureOf(error) })
  }
  await new Promise<void>((resolve) => {
    response.once('close', resolve)
    response.end(resolve)
  })
  return isDone
}

async function body<Body>(request: IncomingMessage, schema: z.ZodType<Body>): Promise<Body> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    // proof: without setEncoding a request yields buffers
    bytes += chunk.length
    if (bytes > BODY_BYTES_MAX) throw new PlatformError('TOO_LARGE', { limit: BODY_BYTES_MAX })
    chunks.push(chunk)
  }
  const parsed = schema.safeParse(jsonOf(Buffer.concat(chunks)))
  if (!parsed.success) throw invalidInput(parsed.error, 'body')
  return parsed.data
}

function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch (cause) {
    throw new PlatformError('INVALID_INPUT', { field: 'body' }, { cause })
  }
}
