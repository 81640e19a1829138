import type { Clock } from '@nubo/base'
import type { Database } from '@nubo/runtime'
import type { Tables } from './tables.ts'

/** Watchers and servers that slept longer than this read the tables again. */
const FEED_RETENTION_MS = 3_600_000
/** However many there are, the newest stay: a burst must not overtake a reader that is only slow. */
const REVISIONS_KEPT_MIN = 10_000

/** In one statement; a long one would run into its timeout, and then never end after a longer outage. */
const REVISIONS_AT_ONCE_MAX = 20_000

/** Drops old rows of the feed. Safe to run twice; the newest revision always stays. Returns whether more are to go. */
export async function dropOldFeed(deps: {
  database: Database<Tables>
  clock: Clock
}): Promise<boolean> {
  const { database, clock } = deps
  const { value } = await database.query
    .selectFrom('revision')
    .select('value')
    .executeTakeFirstOrThrow()
  const oldest = await database.query
    .selectFrom('feed')
    .select('revision')
    .orderBy('revision')
    .limit(1)
    .executeTakeFirst()
  if (oldest === undefined) return false
  const end = Math.min(oldest.revision + REVISIONS_AT_ONCE_MAX, value - REVISIONS_KEPT_MIN)
  const dropped = await database.query
    .deleteFrom('feed')
    .where('atMs', '<', clock.nowMs() - FEED_RETENTION_MS)
    .where('revision', '<', end)
    .executeTakeFirst()
  return dropped.numDeletedRows > 0n && end < value - REVISIONS_KEPT_MIN
}
