import { request, type IncomingMessage } from 'node:http'
import { connect as tlsConnect, type TLSSocket } from 'node:tls'
import { z } from 'zod'
import type { Log } from '@nubo/runtime'
import type {
  PowerControl,
  PoweredHost,
  PowerReading,
  SecretStore,
} from '../domains/fleet/index.ts'

/** For one question, with connecting and TLS; slow controllers are common, and the lease path is there for dead ones. */
const ANSWER_TIMEOUT_MS = 4_000
const REPLY_BYTES_MAX = 256 * 1024

/** Of the whole resource only this counts (DMTF DSP0266, ComputerSystem). */
const computerSystem = z.object({ PowerState: z.string() })

interface Reply {
  readonly status: number
  readonly text: string
}

/** Management controllers that speak Redfish. Passwords lie sealed beside the CA, and go into no log. */
export function createRedfishPower(deps: {
  secrets: Pick<SecretStore, 'get' | 'put' | 'remove'>
  log: Log
}): PowerControl {
  const { secrets, log } = deps

  async function ask(
    { hostId, power }: PoweredHost,
    call: { method: 'GET' } | { method: 'POST'; path: string; body: unknown },
  ): Promise<Reply> {
    const password = await secrets.get(secretOf(hostId))
    if (password === undefined) throw new Error('its password is not known here')
    const url = new URL(power.redfish + (call.method === 'POST' ? call.path : ''))
    return send(url, {
      method: call.method,
      body: call.method === 'POST' ? JSON.stringify(call.body) : undefined,
      credentials: `${power.user}:${password}`,
      certificateSha256: power.certificateSha256,
    })
  }

  return {
    read: async (host) => {
      try {
        return readingOf(await ask(host, { method: 'GET' }))
      } catch (error) {
        return { state: 'unknown', problem: problemOf(error) }
      }
    },

    off: async (host) => {
      const { hostId } = host
      try {
        const { status } = await ask(host, {
          method: 'POST',
          path: '/Actions/ComputerSystem.Reset',
          body: { ResetType: 'ForceOff' },
        })
        log.info('a management controller took the order to switch off', { hostId, status })
      } catch (error) {
        log.warn('a management controller did not take the order to switch off', {
          hostId,
          problem: problemOf(error),
        })
      }
    },

    keepPassword: (hostId, password) =>
      password === null
        ? secrets.remove(secretOf(hostId))
        : secrets.put(secretOf(hostId), password),
  }
}

const secretOf = (hostId: string): string => `host-power/${hostId}`

function readingOf({ status, text }: Reply): PowerReading {
  if (status === 401 || status === 403)
    return { state: 'unknown', problem: `it refuses the user or the password (HTTP ${status})` }
  if (status !== 200) return { state: 'unknown', problem: `it answers HTTP ${status}` }
  const parsed = computerSystem.safeParse(jsonOf(text))
  if (!parsed.success) return { state: 'unknown', problem: 'it tells no PowerState' }
  const { PowerState } = parsed.data
  switch (PowerState) {
    case 'Off':
      return { state: 'off' }
    case 'On':
    case 'Paused':
    // On its way, so it may still run.
    case 'PoweringOff':
    case 'PoweringOn':
      return { state: 'on' }
    default:
      return { state: 'unknown', problem: `it tells the PowerState ${PowerState.slice(0, 40)}` }
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function problemOf(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError')
    return `it does not answer within ${ANSWER_TIMEOUT_MS} ms`
  return error instanceof Error ? error.message : String(error)
}

async function send(
  url: URL,
  call: {
    method: string
    body: string | undefined
    credentials: string
    certificateSha256: string | null
  },
): Promise<Reply> {
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS)
  // Nothing is said before the certificate was compared.
  const socket =
    url.protocol === 'https:'
      ? await pinnedConnection(url, call.certificateSha256 ?? '', signal)
      : undefined
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: url.hostname.replaceAll(/[[\]]/g, ''),
        port: url.port,
        path: url.pathname,
        method: call.method,
        signal,
        ...(socket === undefined ? { agent: false } : { createConnection: () => socket }),
        headers: {
          host: url.host,
          accept: 'application/json',
          connection: 'close',
          authorization: `Basic ${Buffer.from(call.credentials).toString('base64')}`,
          ...(call.body === undefined
            ? {}
            : {
                'content-type': 'application/json',
                'content-length': Buffer.byteLength(call.body),
              }),
        },
      },
      (reply) => void readAll(reply).then(resolve, reject),
    )
    sent.once('error', (error) =>
      reject(signal.aborted && signal.reason instanceof Error ? signal.reason : error),
    )
    sent.end(call.body)
  })
}

async function readAll(reply: IncomingMessage): Promise<Reply> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of reply as AsyncIterable<Buffer>) {
    // proof: without setEncoding a reply yields buffers
    bytes += chunk.length
    if (bytes > REPLY_BYTES_MAX) throw new Error('its answer is too large')
    chunks.push(chunk)
  }
  return { status: reply.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }
}

/** Controllers sign their certificates themselves, so the very certificate is what one trusts. */
function pinnedConnection(url: URL, sha256: string, signal: AbortSignal): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = tlsConnect({
      host: url.hostname.replaceAll(/[[\]]/g, ''),
      port: Number(url.port === '' ? 443 : url.port),
      rejectUnauthorized: false,
    })
    const give = (error: unknown): void => {
      socket.destroy()
      reject(error instanceof Error ? error : new Error(String(error)))
    }
    const onAbort = (): void => give(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    socket.once('error', give)
    socket.once('secureConnect', () => {
      signal.removeEventListener('abort', onAbort)
      const found = socket.getPeerCertificate().fingerprint256?.replaceAll(':', '').toLowerCase()
      if (found !== sha256)
        return give(new Error('its certificate has another fingerprint than the one given'))
      socket.off('error', give)
      resolve(socket)
    })
  })
}
