import type { Clock } from '@nubo/base'
import { imageTokenReply } from '@nubo/contracts/host'
import type { ImageTokens } from '../reconcile/image-puller.ts'
import type { Identity } from './identity.ts'
import { callAnyServer } from './server-call.ts'

/** A token is not used in its last moments: the pull that it is for takes a while to begin. */
const EXPIRY_MARGIN_MS = 30_000
const CACHED_MAX = 256

interface Cached {
  readonly registry: string
  readonly token: string
  readonly expiresAtMs: number
}

/** Tokens of the image registry by `POST /host/v1/image-token`, each kept until shortly before its end. In memory only. */
export function serverImageTokens(options: {
  readonly clock: Clock
  readonly identity: () => Identity
  /** Best first. */
  readonly servers: () => readonly string[]
}): ImageTokens {
  const cache = new Map<string, Cached>()
  return {
    async token(repository, signal) {
      const known = cache.get(repository)
      if (known !== undefined && known.expiresAtMs - EXPIRY_MARGIN_MS > options.clock.nowMs())
        return known
      const { ca, certificate, key } = options.identity()
      const reply = await callAnyServer(options.servers(), {
        method: 'POST',
        path: '/host/v1/image-token',
        body: { repository },
        tls: { ca, cert: certificate, key },
        reply: imageTokenReply,
        signal,
      })
      cache.delete(repository)
      cache.set(repository, reply)
      for (const oldest of cache.keys()) {
        if (cache.size <= CACHED_MAX) break
        cache.delete(oldest)
      }
      return reply
    },
  }
}
