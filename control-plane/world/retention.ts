import type { Clock } from '@nubo/base'
import type { Database } from '@nubo/runtime'
import type { Tables } from './tables.ts'

/** Watchers and servers that slept longer than this read the tables again. */
const FEED_RETENTION_MS = 3_600_000
/** However many there are, the newest stay: a burst must not overtake a reader that is only slow. */
const REVISIONS_KEPT_MIN = 10_000

/** Drops old rows of the feed. Safe to run twice; the newest revision always stays. */
export async function dropOldFeed(deps: {
  database: Database<Tables>
  clock: Clock
}): Promise<void> {
  const { database, clock } = deps
  const { value } = await database.query
    .selectFrom('revision')
    .select('value')
    .executeTakeFirstOrThrow()
  await database.query
    .deleteFrom('feed')
    .where('atMs', '<', clock.nowMs() - FEED_RETENTION_MS)
    .where('revision', '<', value - REVISIONS_KEPT_MIN)
    .execute()
}
