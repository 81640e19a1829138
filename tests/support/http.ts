import { request } from 'node:http'

export interface HttpReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  /** The body as JSON; undefined if it is none. */
  readonly json: unknown
}

export interface HttpAsked {
  readonly method?: string
  /** Sent as it is, so that it may be no valid path. */
  readonly path: string
  readonly token?: string | undefined
  /** An object is sent as JSON, bytes and text as they are. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

const TIMEOUT_MS = 20_000

/** One request without any of the client's care, so that it may be wrong. */
export function send(url: string, asked: HttpAsked): Promise<HttpReply> {
  const { hostname, port } = new URL(url)
  const isRaw = typeof asked.body === 'string' || asked.body instanceof Uint8Array
  const body =
    asked.body === undefined ? undefined : isRaw ? asked.body : JSON.stringify(asked.body)
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        hostname,
        port,
        path: asked.path,
        method: asked.method ?? 'GET',
        agent: false,
        timeout: TIMEOUT_MS,
        headers: {
          ...(asked.token === undefined ? {} : { authorization: `Bearer ${asked.token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...asked.headers,
        },
      },
      (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', reject)
        incoming.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            text,
            json: parsed(text),
          })
        })
      },
    )
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer in time')))
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
