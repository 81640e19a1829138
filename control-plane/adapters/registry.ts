import { existsSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { request as httpsRequest } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { PlatformError } from '@nubo/base'
import { run } from '@nubo/runtime'
import {
  PUSH_TOKEN_VALIDITY_MS,
  type ImageRegistry,
  type RegistryTokens,
} from '../domains/images/index.ts'

const REQUEST_TIMEOUT_MS = 30_000
const COLLECT_TIMEOUT_MS = 30 * 60_000
const REPLY_BYTES_MAX = 1 << 20

interface Reply {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly text: string
}

/** The distribution registry over its HTTP API (OCI distribution-spec), as its only writer. */
export function createRegistryClient(deps: {
  address: string
  caPem: string
  tokens: RegistryTokens
  configFile: string
  storageDir: string
}): ImageRegistry {
  const [host, port] = splitAddress(deps.address)

  function call(
    repository: string,
    asked: {
      method: string
      path: string
      headers?: Record<string, string>
      body?: { open: () => Readable; sizeBytes: number }
      signal?: AbortSignal | undefined
    },
  ): Promise<Reply> {
    const { token } = deps.tokens.issue({
      subject: 'nubo',
      repository,
      actions: ['pull', 'push', 'delete'],
      validityMs: PUSH_TOKEN_VALIDITY_MS,
    })
    return new Promise((resolve, reject) => {
      const fail = (cause: unknown): void => reject(unavailable(deps.address, cause))
      const request = httpsRequest(
        {
          host,
          port,
          ca: deps.caPem,
          method: asked.method,
          path: asked.path,
          timeout: REQUEST_TIMEOUT_MS,
          signal: asked.signal,
          headers: {
            authorization: `Bearer ${token}`,
            ...(asked.body === undefined ? {} : { 'content-length': String(asked.body.sizeBytes) }),
            ...asked.headers,
          },
        },
        (response) => void readReply(response).then(resolve, fail),
      )
      request.on('timeout', () => request.destroy(new Error('no answer in time')))
      request.on('error', fail)
      if (asked.body === undefined) request.end()
      else pipeline(asked.body.open(), request).catch(fail)
    })
  }

  function expect(reply: Reply, statuses: readonly number[], what: string): Reply {
    if (statuses.includes(reply.status)) return reply
    throw unavailable(
      deps.address,
      new Error(`${what}: status ${reply.status} ${reply.text.slice(0, 500)}`),
    )
  }

  const hasBlob = async (repository: string, digest: string): Promise<boolean> =>
    expect(
      await call(repository, { method: 'HEAD', path: `/v2/${repository}/blobs/${digest}` }),
      [200, 404],
      'asking for a blob',
    ).status === 200

  return {
    address: deps.address,
    hasBlob,

    putBlob: async (repository, blob, signal) => {
      if (await hasBlob(repository, blob.digest)) return
      const started = expect(
        await call(repository, {
          method: 'POST',
          path: `/v2/${repository}/blobs/uploads/`,
          headers: { 'content-length': '0' },
          signal,
        }),
        [202],
        'starting an upload',
      )
      const location = new URL(started.headers.location ?? '', `https://${deps.address}`)
      location.searchParams.set('digest', blob.digest)
      const reply = await call(repository, {
        method: 'PUT',
        path: location.pathname + location.search,
        headers: { 'content-type': 'application/octet-stream' },
        body: blob,
        signal,
      })
      expect(reply, [201], 'storing a blob')
    },

    putManifest: async (repository, manifest, signal) => {
      const bytes = Buffer.from(manifest.text)
      const reply = await call(repository, {
        method: 'PUT',
        path: `/v2/${repository}/manifests/latest`,
        headers: { 'content-type': manifest.mediaType },
        body: { open: () => Readable.from([bytes]), sizeBytes: bytes.length },
        signal,
      })
      const digest = expect(reply, [201], 'storing a manifest').headers['docker-content-digest']
      if (typeof digest !== 'string')
        throw unavailable(deps.address, new Error('the registry named no digest'))
      return digest
    },

    deleteManifest: async (repository, digest) => {
      expect(
        await call(repository, { method: 'DELETE', path: `/v2/${repository}/manifests/${digest}` }),
        [202, 404],
        'deleting a manifest',
      )
    },

    collectGarbage: async (kept, signal) => {
      // On a registry that never stored anything the collection fails.
      if (!existsSync(join(deps.storageDir, 'docker/registry/v2/blobs/sha256'))) return
      const folder = join(deps.storageDir, 'docker/registry/v2/repositories')
      for await (const repository of repositoriesIn(folder)) {
        signal.throwIfAborted()
        if (!kept.has(repository)) await rm(join(folder, repository), { recursive: true })
      }
      await run({
        signal,
        argv: ['docker-registry', 'garbage-collect', '--delete-untagged', deps.configFile],
        timeoutMs: COLLECT_TIMEOUT_MS,
        outputBytesMax: 64 << 20,
      })
    },
  }
}

/** Paths of repositories: folders that hold the registry's own, whose names begin with an underscore. */
async function* repositoriesIn(folder: string, below = ''): AsyncGenerator<string> {
  const entries = await readdir(join(folder, below), { withFileTypes: true })
  if (entries.some((entry) => entry.name.startsWith('_'))) {
    yield below
    return
  }
  for (const entry of entries)
    if (entry.isDirectory()) yield* repositoriesIn(folder, join(below, entry.name))
}

function splitAddress(address: string): [host: string, port: number] {
  const at = address.lastIndexOf(':')
  return [address.slice(0, at), Number(address.slice(at + 1))]
}

function unavailable(address: string, cause: unknown): PlatformError {
  return new PlatformError(
    'REGISTRY_UNAVAILABLE',
    { registry: address, next: 'see `nubo status`' },
    { cause },
  )
}

async function readReply(response: IncomingMessage): Promise<Reply> {
  const chunks: Buffer[] = []
  let total = 0
  for await (const chunk of response) {
    const bytes = chunk as Buffer // proof: no encoding was set
    total += bytes.length
    if (total > REPLY_BYTES_MAX) throw new Error('the reply is too long')
    chunks.push(bytes)
  }
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    text: Buffer.concat(chunks).toString(),
  }
}
