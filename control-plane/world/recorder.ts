import type { Clock, Random } from '@nubo/base'
import type { Database } from '@nubo/runtime'
import { whileActing } from './acting.ts'
import { commit, type Touched, type Tx, type WorldKind } from './commit.ts'
import type { FeedReader } from './feed.ts'
import type { QuotaLimits, Tables } from './tables.ts'
import type { World } from './world.ts'

/** How domains write: one transaction, and an answer only after this process has seen it. */
export interface Recorder {
  write<Value>(work: (tx: Tx, touched: Touched) => Promise<Value>): Promise<Value>
}

export function createRecorder(deps: {
  database: Database<Tables>
  clock: Clock
  world: World
  feed: FeedReader
  /** For ids of the audit; without it nothing is audited. */
  random?: Random | undefined
  quotaDefaults?: QuotaLimits | undefined
}): Recorder {
  const { database, clock, world, random, quotaDefaults } = deps
  const audit =
    random === undefined
      ? undefined
      : { random, rowBefore: (kind: WorldKind, id: string) => world[kind].get(id) }
  return {
    write: async (work) => {
      const { value, revision } = await commit({ database, clock, quotaDefaults, audit }, work)
      if (revision !== undefined) {
        // What hears of the news works for itself, not for whoever caused them.
        whileActing(undefined, () => deps.feed.wake(revision))
        await world.reached(revision)
      }
      return value
    },
  }
}
