import type { HostId, InstanceId } from '@nubo/base'
import { sql, type RawBuilder } from 'kysely'
import type { HostFacts } from '../placement/index.ts'
import {
  jsonLines,
  type HostRow,
  type InstanceKind,
  type Placement,
  type Touched,
  type Tx,
} from '../../world/index.ts'
import { eachKind } from './store.ts'

/** What the placer reads and records. */

/**
 * Begins a term of placing: batches of earlier terms are refused from now on, and all that they recorded is in the feed
 * at this revision. A batch that is under way ends first.
 */
export async function beginPlacementTerm(tx: Tx): Promise<{ term: number; revision: number }> {
  const { value: term } = await tx
    .updateTable('placementTerm')
    .set((expression) => ({ value: expression('value', '+', 1) }))
    .returning('value')
    .executeTakeFirstOrThrow()
  const { value: revision } = await tx
    .selectFrom('revision')
    .select('value')
    .executeTakeFirstOrThrow()
  return { term, revision }
}

/** Whether the term still lasts; if so, until this transaction ends at least. */
export async function holdPlacementTerm(tx: Tx, term: number): Promise<boolean> {
  const now = await tx.selectFrom('placementTerm').select('value').forShare().executeTakeFirst()
  return now?.value === term
}

/** A host that may be placed on, and what the sets on it may take. */
export interface HostRoom {
  readonly host: Pick<HostRow, keyof HostFacts | 'reserve'>
  readonly taken: { cpuMillis: number; memoryBytes: number }
}

const hostFields = [
  'id',
  'name',
  'zone',
  'rack',
  'roles',
  'labels',
  'state',
  'cordoned',
  'maintenance',
  'capacity',
  'reserve',
  'accelerator',
] as const

/**
 * These hosts as the tables know them, kept from changing and from other placements until the transaction ends: one may
 * have been cordoned, or a set on it have grown, since the world was read.
 */
export async function lockRooms(
  tx: Tx,
  ids: readonly HostId[],
): Promise<ReadonlyMap<HostId, HostRoom>> {
  const wanted = [...new Set(ids)]
  if (wanted.length === 0) return new Map()
  const hosts = await tx
    .selectFrom('host')
    .select(hostFields)
    .where('id', '=', sql<HostId>`any(${wanted}::uuid[])`)
    .orderBy('id')
    .forNoKeyUpdate()
    .execute()
  const { rows: sums } = await sql<{ hostId: HostId; cpuMillis: string; memoryBytes: string }>`
    select host_id, sum(cpu_millis) as cpu_millis, sum(memory_bytes) as memory_bytes from (
      select host_id, cpu_millis, memory_bytes from set where host_id = any(${wanted}::uuid[])
      union all select host_id, cpu_millis, memory_bytes from vm where host_id = any(${wanted}::uuid[])
    ) as placed group by host_id`.execute(tx)
  const takenOn = new Map(sums.map((row) => [row.hostId, row]))
  return new Map(
    hosts.map((host) => {
      const taken = takenOn.get(host.id)
      return [
        host.id,
        {
          host,
          taken: {
            cpuMillis: Number(taken?.cpuMillis ?? 0),
            memoryBytes: Number(taken?.memoryBytes ?? 0),
          },
        },
      ]
    }),
  )
}

/** What was decided for an instance of this generation; of another one something else may be asked. */
interface Decided {
  readonly id: InstanceId
  readonly kind: InstanceKind
  readonly generation: number
  readonly placement: Placement
}

/** Of one kind, those that still wait for a host, and are what was decided about. Locks rows in the order of their ids. */
const stillWaiting = (table: RawBuilder<unknown>, decided: readonly Decided[]) => sql`
  select t.id from ${table} t join unnest(
    ${decided.map(({ id }) => id)}::uuid[], ${decided.map(({ generation }) => generation)}::integer[]
  ) as d (id, generation) on d.id = t.id and d.generation = t.generation
  where t.host_id is null and t.wanted <> 'removed' order by t.id for no key update of t`

/** Records placements; returns of which instances, see `stillWaiting`. */
export async function recordPlaced(
  tx: Tx,
  touched: Touched,
  changes: readonly (Decided & { hostId: HostId })[],
): Promise<ReadonlySet<InstanceId>> {
  return eachKind(
    { tx, touched },
    changes,
    (table, own) => sql`
    with waiting as (${stillWaiting(table, own)})
    update ${table} as s set host_id = c.host_id, epoch = s.epoch + 1, placement = c.placement::jsonb, local_generation = null
    from waiting w join unnest(
      ${own.map(({ id }) => id)}::uuid[],
      ${own.map(({ hostId }) => hostId)}::uuid[],
      ${jsonLines(own.map(({ placement }) => JSON.stringify(placement)))}
    ) as c (id, host_id, placement) on c.id = w.id
    where s.id = w.id returning s.id`,
  )
}

/** Why instances wait for a host; returns of which, see `stillWaiting`. */
export async function recordNotPlaced(
  tx: Tx,
  touched: Touched,
  changes: readonly Decided[],
): Promise<ReadonlySet<InstanceId>> {
  return eachKind(
    { tx, touched },
    changes,
    (table, own) => sql`
    with waiting as (${stillWaiting(table, own)})
    update ${table} as s set placement = c.placement::jsonb
    from waiting w join unnest(
      ${own.map(({ id }) => id)}::uuid[],
      ${jsonLines(own.map(({ placement }) => JSON.stringify(placement)))}
    ) as c (id, placement) on c.id = w.id
    where s.id = w.id returning s.id`,
  )
}
