import type { Clock } from '@nubo/base'
import type { Database } from '@nubo/runtime'
import { commit, type Touched, type Tx } from './commit.ts'
import type { FeedReader } from './feed.ts'
import type { Tables } from './tables.ts'
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
}): Recorder {
  return {
    write: async (work) => {
      const { value, revision } = await commit(deps, work)
      if (revision !== undefined) {
        deps.feed.wake()
        await deps.world.reached(revision)
      }
      return value
    },
  }
}
