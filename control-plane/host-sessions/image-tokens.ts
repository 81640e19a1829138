import { PlatformError, type HostId } from '@nubo/base'
import type { Database } from '@nubo/runtime'
import type { Tables, World } from '../world/index.ts'
import { usesRepository } from './slice.ts'

/** How long a set that was placed through another server a moment ago may take to be known here. */
const NEWS_WAIT_MS = 2_000

/**
 * Lets a host pull only what it runs: the repositories of the containers of its sets. `issue` then makes the token.
 * Errors: NOT_FOUND, also when the repository exists but is none of this host's business.
 */
export function forOwnSets<Token>(deps: {
  world: World
  database: Database<Tables>
  issue: (asked: { hostId: HostId; repository: string }) => Promise<Token>
}): (asked: { hostId: HostId; repository: string }) => Promise<Token> {
  const { world, database, issue } = deps
  return async ({ hostId, repository }) => {
    if (!usesRepository(world, hostId, repository)) {
      const newest = await database.query
        .selectFrom('revision')
        .select('value')
        .executeTakeFirstOrThrow()
      await world.reached(newest.value, NEWS_WAIT_MS)
      if (!usesRepository(world, hostId, repository))
        throw new PlatformError('NOT_FOUND', { kind: 'repository', repository })
    }
    return issue({ hostId, repository })
  }
}
