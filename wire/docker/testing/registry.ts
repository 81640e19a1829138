import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { digestOf, type TestImage } from './busybox-image.ts'

/** What the registry does with the next answers; for tests of the sad ways. */
export type RegistryMood = 'serve' | 'stall_blobs' | 'cut_blobs' | 'fail'

export interface TestRegistry {
  /** `127.0.0.1:port`: engines speak plain HTTP to 127.0.0.0/8. */
  readonly address: string
  readonly requests: readonly string[]
  mood: RegistryMood
  /** The Bearer token it asks for, if any. */
  token: string | null
  /** Offers the image under `repository`. */
  add(repository: string, image: TestImage): void
  /** Ends it and every open connection. */
  close(): Promise<void>
}

/**
 * A read-only registry in this process: manifests and blobs by digest. With `token` it asks for exactly that Bearer
 * token, as a registry with token authentication does.
 */
export async function startRegistry(options: { token?: string } = {}): Promise<TestRegistry> {
  const answers = new Map<string, { type: string; body: Buffer }>()
  const requests: string[] = []
  const server = http.createServer((request, response) => {
    const path = request.url ?? '/'
    requests.push(`${request.method} ${path}`)
    if (registry.token !== null && request.headers.authorization !== `Bearer ${registry.token}`) {
      // The realm leads nowhere: a client with a ready token has no need to ask there.
      response.setHeader(
        'www-authenticate',
        'Bearer realm="http://127.0.0.1:9/token",service="test"',
      )
      refuse(response, 401, 'UNAUTHORIZED', 'authentication required')
    } else if (registry.mood === 'fail') {
      refuse(response, 503, 'UNAVAILABLE', 'out of order')
    } else if (path === '/v2/') {
      response.end('{}')
    } else {
      serve(path, response)
    }
  })
  const serve = (path: string, response: http.ServerResponse): void => {
    const answer = answers.get(path)
    if (answer === undefined) {
      refuse(response, 404, 'MANIFEST_UNKNOWN', 'manifest unknown')
      return
    }
    response.setHeader('content-type', answer.type)
    response.setHeader('content-length', answer.body.length)
    response.setHeader('docker-content-digest', digestOf(answer.body))
    if (!path.includes('/blobs/') || registry.mood === 'serve') response.end(answer.body)
    else if (registry.mood === 'cut_blobs') {
      response.write(answer.body.subarray(0, answer.body.length >> 1), () => response.destroy())
    } else response.write(answer.body.subarray(0, answer.body.length >> 1))
  }
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(0, '127.0.0.1', resolve)
  await promise
  // Proven: a server that listens on TCP has an AddressInfo.
  const { port } = server.address() as AddressInfo
  const registry: TestRegistry = {
    address: `127.0.0.1:${port}`,
    requests,
    mood: 'serve',
    token: options.token ?? null,
    add: (repository, image) => {
      const manifest = {
        type: 'application/vnd.docker.distribution.manifest.v2+json',
        body: image.manifest,
      }
      answers.set(`/v2/${repository}/manifests/${image.digest}`, manifest)
      for (const body of [image.config, image.layer]) {
        answers.set(`/v2/${repository}/blobs/${digestOf(body)}`, {
          type: 'application/octet-stream',
          body,
        })
      }
    },
    close: async () => {
      const closed = Promise.withResolvers<void>()
      server.close(() => closed.resolve())
      server.closeAllConnections()
      await closed.promise
    },
  }
  return registry
}

function refuse(
  response: http.ServerResponse,
  status: number,
  code: string,
  message: string,
): void {
  response.statusCode = status
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ errors: [{ code, message }] }))
}
