import type { Database } from '@nubo/runtime'
import { sql, type Selectable } from 'kysely'
import { auditInsert, type AuditRow, type AuditTable, type Tables } from '../../world/index.ts'

export type StoredAudit = Selectable<AuditTable>

export async function insertAudit(
  database: Database<Tables>,
  rows: readonly AuditRow[],
): Promise<void> {
  await auditInsert(rows).execute(database.query)
}

export interface AuditFilter {
  readonly projectId: string | undefined
  /** Bounds of ids, which are in order of time: from, and up to but not including. */
  readonly fromId: string | undefined
  readonly beforeId: string | undefined
  readonly actor: string | undefined
  readonly resource: { by: 'id' | 'name'; text: string } | undefined
  readonly outcome: 'done' | 'refused' | undefined
  readonly limit: number
}

/** The newest first. Each filter but the name of a resource has an index in this order. */
export async function readAudit(
  database: Database<Tables>,
  filter: AuditFilter,
): Promise<StoredAudit[]> {
  const { projectId, fromId, beforeId, actor, resource, outcome, limit } = filter
  let query = database.query.selectFrom('audit').selectAll()
  if (projectId !== undefined) query = query.where('projectId', '=', projectId)
  if (fromId !== undefined) query = query.where('id', '>=', fromId as StoredAudit['id']) // proof: compared, not stored
  if (beforeId !== undefined) query = query.where('id', '<', beforeId as StoredAudit['id']) // proof: as above
  if (actor !== undefined) query = query.where('actor', '=', actor)
  if (resource !== undefined)
    query = query.where(resource.by === 'id' ? 'resourceId' : 'resourceName', '=', resource.text)
  if (outcome !== undefined) query = query.where('outcome', '=', outcome)
  return query.orderBy('id', 'desc').limit(limit).execute()
}

/** Drops the oldest below an id, so many at most. Returns how many. */
export async function dropAudit(
  database: Database<Tables>,
  old: { beforeId: string; rowsMax: number },
): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from audit where id in (select id from audit where id < ${old.beforeId} order by id limit ${old.rowsMax})`.execute(
    database.query,
  )
  return Number(numAffectedRows ?? 0)
}

/** The id of the oldest of so many newest rows; undefined if there are not that many. */
export async function oldestKeptId(
  database: Database<Tables>,
  rowsMax: number,
): Promise<string | undefined> {
  const row = await database.query
    .selectFrom('audit')
    .select('id')
    .orderBy('id', 'desc')
    .offset(rowsMax - 1)
    .limit(1)
    .executeTakeFirst()
  return row?.id
}
