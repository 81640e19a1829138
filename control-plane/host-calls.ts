import { PlatformError, type HostId } from '@nubo/base'
import { isDatabaseUnavailable, type Database } from '@nubo/runtime'
import type { HostCalls } from './adapters/host-listener-calls.ts'
import type { AuditService } from './domains/audit/index.ts'
import type { Membership } from './domains/fleet/index.ts'
import { forOwnSets } from './host-sessions/index.ts'
import type { Tables, World } from './world/index.ts'

interface ImageToken {
  readonly registry: string
  readonly token: string
  readonly expiresAtMs: number
}

/** The calls with a trace of each certificate that is handed out. */
export function createHostCalls(deps: {
  readonly world: World
  readonly database: Database<Tables>
  readonly audit: Pick<AuditService, 'duringJoin' | 'renewed'>
  readonly membership: Pick<Membership, 'join' | 'renew'>
  readonly images: { readonly pullToken: (hostId: HostId, repository: string) => ImageToken }
}): HostCalls {
  const { audit, membership, images } = deps
  return {
    join: (asked) => audit.duringJoin(asked.hostName, () => membership.join(asked)),
    renew: async (asked) => {
      const reply = await membership.renew(asked)
      await audit.renewed(asked.hostId).catch((cause: unknown) => {
        throw isDatabaseUnavailable(cause)
          ? new PlatformError('DATABASE_UNAVAILABLE', {}, { cause })
          : cause
      })
      return reply
    },
    imageToken: forOwnSets({
      ...deps,
      issue: async ({ hostId, repository }) => images.pullToken(hostId, repository),
    }),
  }
}
