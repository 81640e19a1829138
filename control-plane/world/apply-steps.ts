import { PlatformError } from '@nubo/base'
import { sql, type Transaction } from 'kysely'
import type { Act, ApplyStepAct } from './acting.ts'
import type { Tables } from './tables.ts'

/** What one act of a transaction touched. */
export interface Acted {
  readonly act: Act | undefined
  /** Ids by kind. */
  readonly rows: ReadonlyMap<string, ReadonlySet<string>>
  touch(kind: 'applied', id: string): void
}

/**
 * What a step of an apply does is in force only while that apply is open, and what it makes belongs to the manifest from
 * the same moment. So an apply that takes the place of another finds all that the other did, and nothing is added to it
 * later. Called when the rest of the transaction is done. CHANGED_MEANWHILE, and all of it is undone, if the apply of one
 * of them has ended.
 */
export async function bindToApplies(tx: Transaction<Tables>, all: Iterable<Acted>): Promise<void> {
  const steps = [...all].flatMap((acted) => {
    const step = acted.act?.by === 'call' ? acted.act.step : undefined
    return step === undefined || acted.rows.size === 0 ? [] : [{ acted, step }]
  })
  if (steps.length === 0) return
  await own(tx, steps)
  const operations = [...new Set(steps.map(({ step }) => step.operationId))]
  const open = await sql`
    select 1 from operation where id = any(${operations}::uuid[]) and ended_at_ms is null
    order by id for share`.execute(tx)
  if (open.rows.length < operations.length)
    throw new PlatformError(
      'CHANGED_MEANWHILE',
      { next: 'look at the newer apply of this manifest, or apply again' },
      { message: 'The apply that this is a step of has ended, or another has taken its place.' },
    )
}

async function own(
  tx: Transaction<Tables>,
  steps: readonly { acted: Acted; step: ApplyStepAct }[],
): Promise<void> {
  const owned = steps.flatMap(({ acted, step }) =>
    step.owns === null
      ? []
      : [...(acted.rows.get(step.owns) ?? [])].map((id) => ({ id, acted, step, kind: step.owns })),
  )
  if (owned.length === 0) return
  const { rows } = await sql<{ id: string }>`
    insert into applied (id, project_id, manifest_id, kind)
    select o.id, m.project_id, m.id, o.kind
    from unnest(
      ${owned.map(({ id }) => id)}::uuid[], ${owned.map(({ step }) => step.manifestId)}::uuid[], ${owned.map(({ kind }) => kind)}::text[]
    ) as o (id, manifest_id, kind) join manifest m on m.id = o.manifest_id
    on conflict (id) do update set manifest_id = excluded.manifest_id where applied.manifest_id <> excluded.manifest_id
    returning id`.execute(tx)
  const changed = new Set(rows.map(({ id }) => id))
  for (const { id, acted } of owned) if (changed.has(id)) acted.touch('applied', id)
}
