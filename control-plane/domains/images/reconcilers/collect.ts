import type { Log } from '@nubo/runtime'
import type { World } from '../../../world/index.ts'
import type { ImageRegistry, ImportLock } from '../needs.ts'

/**
 * Removes blobs that no image needs any more. The collection wants nothing to be written meanwhile: it holds the lock
 * that imports share, and skips the pass when one runs. One pass after images went, and one after each start.
 */
export function createImageCollection(deps: {
  world: World
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
      const ran = await deps.lock.whileCollecting(async () => {
        await deps.registry.collectGarbage()
        deps.log.info('unused image blobs were removed')
      })
      if (!ran) isDue = true
    },
    stop: unsubscribe,
  }
}
