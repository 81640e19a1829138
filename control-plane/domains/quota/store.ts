import type { ProjectId } from '@nubo/base'
import { quotaResource } from '@nubo/contracts'
import type { Database } from '@nubo/runtime'
import { sql, type Kysely, type Selectable } from 'kysely'
import type { QuotaLimits, QuotaTable, Tables, Tx } from '../../world/index.ts'

export type QuotaRow = Selectable<QuotaTable>

export async function readQuota(
  database: Database<Tables>,
  projectId: ProjectId,
): Promise<QuotaRow | undefined> {
  return database.query
    .selectFrom('quota')
    .selectAll()
    .where('projectId', '=', projectId)
    .executeTakeFirst()
}

/** The row, kept from changing until the transaction ends. */
export async function lockQuota(tx: Tx, projectId: ProjectId): Promise<QuotaRow | undefined> {
  return tx
    .selectFrom('quota')
    .selectAll()
    .where('projectId', '=', projectId)
    .forNoKeyUpdate()
    .executeTakeFirst()
}

export async function updateLimits(
  tx: Tx,
  change: { projectId: ProjectId; limits: QuotaLimits },
): Promise<void> {
  await tx
    .updateTable('quota')
    .set({ limits: JSON.stringify(change.limits) })
    .where('projectId', '=', change.projectId)
    .execute()
}

/** What the tables say that each project uses. */
function counted(query: Kysely<Tables> | Tx, projectId?: ProjectId) {
  const only = projectId === undefined ? sql`` : sql`where project_id = ${projectId}`
  return sql<Record<(typeof quotaResource.options)[number], number> & { projectId: ProjectId }>`
    select p.id as project_id, coalesce(s.instances, 0) as instances, coalesce(s.cpu_millis, 0)::bigint as cpu_millis,
      coalesce(s.memory_bytes, 0)::bigint as memory_bytes, coalesce(t.addresses, 0) as addresses,
      coalesce(n.networks, 0) as networks, 0 as volumes
    from project p
    left join (select project_id, count(*) as instances, sum(cpu_millis) as cpu_millis, sum(memory_bytes) as memory_bytes
      from (select project_id, cpu_millis, memory_bytes from set ${only}
        union all select project_id, cpu_millis, memory_bytes from vm ${only}) as i group by 1) s on s.project_id = p.id
    left join (select project_id, count(*) as addresses from port ${only} group by 1) t on t.project_id = p.id
    left join (select project_id, count(*) as networks from network ${only} group by 1) n on n.project_id = p.id
    ${projectId === undefined ? sql`` : sql`where p.id = ${projectId}`}`.execute(query)
}

/**
 * Projects whose counters are not what the tables say, with both; read at one moment, so that it is empty at every
 * moment unless something changes rows without counting them.
 */
export async function quotaMismatches(
  database: Database<Tables>,
): Promise<{ projectId: ProjectId; counted: object; found: object | null }[]> {
  return database.query
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (tx) => {
      const rows = await tx.selectFrom('quota').selectAll().execute()
      const known = new Map(rows.map((row) => [row.projectId, row]))
      const { rows: right } = await counted(tx)
      return right.flatMap(({ projectId, ...counts }) => {
        const row = known.get(projectId)
        const isRight = quotaResource.options.every(
          (resource) => row?.[resource] === Number(counts[resource]),
        )
        return isRight ? [] : [{ projectId, counted: counts, found: row ?? null }]
      })
    })
}

/** Counts one project anew, under the lock of its row: whoever changes it waits, or has been counted. */
export async function recountProject(tx: Tx, projectId: ProjectId): Promise<void> {
  await sql`insert into quota (project_id) select id from project where id = ${projectId} on conflict do nothing`.execute(
    tx,
  )
  if ((await lockQuota(tx, projectId)) === undefined) return
  // A statement of its own after the lock, so that it sees everything that was counted before.
  const { rows } = await counted(tx, projectId)
  for (const { projectId: _, ...counts } of rows)
    await tx.updateTable('quota').set(counts).where('projectId', '=', projectId).execute()
}
