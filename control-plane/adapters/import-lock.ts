import { PlatformError, sleep, type Clock } from '@nubo/base'
import type { Database } from '@nubo/runtime'
import type { ImportLock } from '../domains/images/index.ts'
import type { Tables } from '../world/index.ts'

const IMPORT_LOCK = 7_201_003
const IMPORT_WAIT_MS = 60_000
const RETRY_MS = 250

/** A lock of the database, so that it holds over all server processes and goes with the one that held it. */
export function createImportLock(deps: { database: Database<Tables>; clock: Clock }): ImportLock {
  const { database, clock } = deps
  return {
    whileImporting: async (work) => {
      const deadline = clock.monotonicMs() + IMPORT_WAIT_MS
      let held = await database.tryLead(IMPORT_LOCK, { shared: true })
      while (held === undefined) {
        if (clock.monotonicMs() > deadline) {
          throw new PlatformError(
            'REGISTRY_UNAVAILABLE',
            { next: 'try again in a few minutes' },
            { message: 'The registry is being cleaned up.' },
          )
        }
        await sleep(clock, RETRY_MS)
        held = await database.tryLead(IMPORT_LOCK, { shared: true })
      }
      try {
        return await work(held.signal)
      } finally {
        await held.release()
      }
    },
    whileCollecting: async (work) => {
      const held = await database.tryLead(IMPORT_LOCK)
      if (held === undefined) return false
      try {
        await work(held.signal)
        return true
      } finally {
        await held.release()
      }
    },
  }
}
