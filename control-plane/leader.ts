import { every, type Clock } from '@nubo/base'
import type { Database, Leadership, Log } from '@nubo/runtime'
import type { Tables } from './world/index.ts'

/** One number for the whole region: whoever holds it runs what must be done by one. */
const LEADER_LOCK = 7_201_002
const RETRY_PERIOD_MS = 500

/**
 * Runs `lead` while this process holds the lock of the region. When the connection that holds it breaks, the work is
 * stopped at once; another process takes over within RETRY_PERIOD_MS. Every pass that the leader runs is safe to run
 * twice, so a moment with two leaders costs nothing but work.
 */
export function contendForLeadership(deps: {
  database: Database<Tables>
  clock: Clock
  log: Log
  lead: () => { stop: () => Promise<void> }
}): { isLeading: () => boolean; stop: () => Promise<void> } {
  const { database, clock, log } = deps
  let leadership: Leadership | undefined
  let work: { stop: () => Promise<void> } | undefined
  let stopped = false

  async function contend(): Promise<void> {
    if (leadership !== undefined || stopped) return
    const won = await database.tryLead(LEADER_LOCK).catch(() => undefined)
    if (won === undefined) return
    if (stopped || won.signal.aborted) return won.release()
    leadership = won
    log.info('leads the region')
    work = deps.lead()
    won.signal.addEventListener('abort', () => {
      log.info('no longer leads the region')
      leadership = undefined
      void work?.stop()
      work = undefined
    })
  }
  void contend()
  const timer = every(clock, RETRY_PERIOD_MS, contend)
  return {
    isLeading: () => leadership !== undefined,
    stop: async () => {
      stopped = true
      timer.cancel()
      await work?.stop()
      await leadership?.release()
    },
  }
}
