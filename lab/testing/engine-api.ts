import { request } from 'node:http'

/** One call of a container engine's API over its socket; for tests that must not depend on our own client. */
export function callEngine(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const isBytes = body instanceof Uint8Array
    const call = request(
      {
        socketPath,
        method,
        path: `/v1.41${path}`,
        headers: { 'content-type': isBytes ? 'application/x-tar' : 'application/json' },
        timeout: 30_000,
      },
      (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (text += chunk))
        response.once('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
        response.once('error', reject)
      },
    )
    call.once('timeout', () => call.destroy(new Error(`${method} ${path} was not answered`)))
    call.once('error', reject)
    call.end(isBytes ? body : body === undefined ? undefined : JSON.stringify(body))
  })
}
