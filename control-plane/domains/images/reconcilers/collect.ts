import type { Database, Log } from '@nubo/runtime'
import type { Tables, World } from '../../../world/index.ts'
import type { ImageRegistry, ImportLock } from '../needs.ts'
import { readRepositories } from '../store.ts'

/**
 * Removes blobs that no image needs any more. The collection wants nothing to be written meanwhile: it holds the lock
 * that imports share, and skips the pass when one runs. One pass after images went, and one after each start.
 */
export function createImageCollection(deps: {
  world: World
  database: Database<Tables>
  registry: ImageRegistry
  lock: ImportLock
  log: Log
}): {
  pass: () => Promise<void>
  stop: () => void
} {
  let isDue = true
  const unsubscribe = deps.world.subscribe(({ changes }) => {
    if (changes.some((change) => change.kind === 'image' && change.after === undefined))
      isDue = true
  })
  return {
    pass: async () => {
      if (!isDue) return
      isDue = false
      let ran = false
      try {
        ran = await deps.lock.whileCollecting(async (signal) => {
          await deps.registry.collectGarbage(await readRepositories(deps.database), signal)
          deps.log.info('unused image blobs were removed')
        })
      } finally {
        if (!ran) isDue = true
      }
    },
    stop: unsubscribe,
  }
}
