/**
 * The management controllers of the lab's hosts: a small Redfish service (DMTF DSP0266) on loopback. What it switches off
 * goes the way of `nubo lab power-off`; and it does not lose power with the host, as a real controller does not.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isPlatformError, PlatformError } from '@nubo/base'

const LOOPBACK = '127.0.0.1'
const BODY_BYTES_MAX = 16 * 1024
const CONNECTIONS_MAX = 64
const SYSTEMS = '/redfish/v1/Systems'
const RESET = '/Actions/ComputerSystem.Reset'

export type PowerState = 'On' | 'PoweringOff' | 'Off'

export interface RedfishOptions {
  user: string
  password: string
  machines: {
    names(): readonly string[]
    /** Undefined for a name that is no host. `Off` only once nothing of it runs any more. */
    powerState(name: string): PowerState | undefined
    powerOff(name: string): Promise<void>
  }
}

export interface RedfishService {
  /** Of one machine, as `nubo host power set --redfish` takes it. */
  addressOf(name: string): string
  close(): Promise<void>
}

export async function openRedfish(options: RedfishOptions): Promise<RedfishService> {
  const server = createServer((request, response) => {
    answer(options, request, response).catch((error: unknown) => {
      const isBusy = isPlatformError(error, 'NOT_ALLOWED_NOW')
      if (response.headersSent) response.destroy()
      else reply(response, isBusy ? 409 : 500, { error: { message: String(error) } })
    })
  })
  server.maxConnections = CONNECTIONS_MAX
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, LOOPBACK, resolve)
  })
  // proof: it listens on TCP
  const { port } = server.address() as AddressInfo
  return {
    addressOf: (name) => `http://${LOOPBACK}:${port}${SYSTEMS}/${name}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function answer(
  { machines, ...credentials }: RedfishOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (!isAllowed(request, credentials)) {
    response.setHeader('www-authenticate', 'Basic realm="lab"')
    return reply(response, 401, { error: { message: 'user or password are wrong' } })
  }
  const { method = '', url = '' } = request
  if (method === 'GET' && url === SYSTEMS) {
    const Members = machines.names().map((name) => ({ '@odata.id': `${SYSTEMS}/${name}` }))
    return reply(response, 200, { Members, 'Members@odata.count': Members.length })
  }
  const [, name = '', action] = /^\/redfish\/v1\/Systems\/([^/]+)(\/.*)?$/.exec(url) ?? []
  const state = machines.powerState(name)
  if (state === undefined) return reply(response, 404, { error: { message: 'no such machine' } })
  if (method === 'GET' && action === undefined)
    return reply(response, 200, {
      '@odata.id': `${SYSTEMS}/${name}`,
      '@odata.type': '#ComputerSystem.v1_20_0.ComputerSystem',
      Id: name,
      Name: name,
      PowerState: state,
      Actions: {
        '#ComputerSystem.Reset': {
          target: `${SYSTEMS}/${name}${RESET}`,
          'ResetType@Redfish.AllowableValues': ['ForceOff'],
        },
      },
    })
  if (method !== 'POST' || action !== RESET)
    return reply(response, 405, { error: { message: 'not something that this service does' } })
  if ((await bodyOf(request))['ResetType'] !== 'ForceOff')
    return reply(response, 400, { error: { message: 'ResetType must be ForceOff' } })
  // As real controllers do.
  if (state === 'Off') return reply(response, 409, { error: { message: 'it is off already' } })
  await machines.powerOff(name)
  reply(response, 204, undefined)
}

function isAllowed(request: IncomingMessage, known: { user: string; password: string }): boolean {
  const given = request.headers.authorization ?? ''
  const wanted = `Basic ${Buffer.from(`${known.user}:${known.password}`).toString('base64')}`
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(given), digest(wanted))
}

function reply(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json', 'odata-version': '4.0' })
  response.end(value === undefined ? undefined : JSON.stringify(value))
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    // proof: without setEncoding a request yields buffers
    bytes += chunk.length
    if (bytes > BODY_BYTES_MAX) throw new PlatformError('TOO_LARGE', { limit: BODY_BYTES_MAX })
    chunks.push(chunk)
  }
  try {
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'))
    return typeof body === 'object' && body !== null ? { ...body } : {}
  } catch {
    return {}
  }
}
