import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'

const TOKEN = 'a-session-token=='

/** A metadata service in the way of EC2 that answers only to who has fetched a token. Gives its port on the loopback. */
export async function serveMetadata(
  t: TestContext,
  { instanceId, userData }: { instanceId: string; userData: Uint8Array | undefined },
): Promise<number> {
  const pages = new Map<string, string | Uint8Array>([
    ['/latest/meta-data/instance-id', instanceId],
  ])
  if (userData !== undefined) pages.set('/latest/user-data', userData)
  const server = createServer((request, response) => {
    const { method, url = '', headers } = request
    const lifetime = Number(headers['x-aws-ec2-metadata-token-ttl-seconds'])
    if (method === 'PUT' && url === '/latest/api/token' && lifetime > 0) {
      response.end(TOKEN)
      return
    }
    const page = pages.get(url)
    const isKnown = headers['x-aws-ec2-metadata-token'] === TOKEN
    response.statusCode = isKnown ? (page === undefined ? 404 : 200) : 401
    response.end(isKnown ? page : undefined)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  // proof: it listens on a port, not on a path
  return (server.address() as AddressInfo).port
}
