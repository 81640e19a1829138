import type { Clock } from '@nubo/base'
import type { Database } from '@nubo/runtime'
import type { Tables } from '../../../world/index.ts'
import { firstIdAt } from '../audit.ts'
import { dropAudit, oldestKeptId } from '../store.ts'

/** In one statement; a long one would hold up those who write. */
const BATCH_ROWS_MAX = 5_000

export interface AuditRetention {
  readonly days: number
  /** However young they are: a busy region must not fill its disk. About 500 bytes each. */
  readonly rowsMax: number
}

export const auditRetentionDefault: AuditRetention = { days: 90, rowsMax: 1_000_000 }

/** Drops what is older than it may be, or more than there may be, a batch in a pass. Returns whether more are to go. */
export async function dropOldAudit(deps: {
  database: Database<Tables>
  clock: Clock
  retention: AuditRetention
}): Promise<boolean> {
  const { database, clock, retention } = deps
  const oldest = firstIdAt(Math.max(0, clock.nowMs() - retention.days * 86_400_000))
  const kept = await oldestKeptId(database, retention.rowsMax)
  const beforeId = kept !== undefined && kept > oldest ? kept : oldest
  const dropped = await dropAudit(database, { beforeId, rowsMax: BATCH_ROWS_MAX })
  return dropped === BATCH_ROWS_MAX
}
