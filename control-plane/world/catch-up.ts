import type { Database } from '@nubo/runtime'
import type { Tables } from './tables.ts'
import type { World } from './world.ts'

const CATCH_UP_WAIT_MS = 2_000

/**
 * Brings this process's world up to everything that was recorded before the call. Resolves with whether the world is
 * now newer than `seenRevision`; false too when the record cannot be asked or the news do not arrive in time.
 */
export type CatchUp = (seenRevision: number) => Promise<boolean>

/** However many callers wait, at most one question is under way and one is to come. */
export function createCatchUp(deps: { database: Database<Tables>; world: World }): CatchUp {
  const { database, world } = deps
  let underWay: Promise<unknown> = Promise.resolve()
  let next: Promise<number> | undefined

  const ask = async (): Promise<number> => {
    const row = await database.query
      .selectFrom('revision')
      .select('value')
      .executeTakeFirstOrThrow()
    return row.value
  }
  // A question that was asked before the call may have been answered before it too: only the next one will do.
  const newest = (): Promise<number> =>
    (next ??= underWay.then(() => {
      next = undefined
      const asked = ask()
      underWay = asked.catch(() => undefined)
      return asked
    }))

  return async (seenRevision) => {
    try {
      const revision = await newest()
      await world.reached(revision, CATCH_UP_WAIT_MS)
    } catch {
      return false
    }
    return world.revision > seenRevision
  }
}
