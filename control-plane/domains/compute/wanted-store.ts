import { PlatformError, type HostId, type SetId } from '@nubo/base'
import { withNext } from '@nubo/runtime'
import { sql } from 'kysely'
import { insertRows, type SetRow, type Touched, type Tx } from '../../world/index.ts'

/** What people ask of sets, of many in one statement. */

/** Keeps the images of sets from being removed while these are recorded. NOT_FOUND if one has gone meanwhile. */
export async function holdImages(
  tx: Tx,
  sets: readonly Pick<SetRow, 'containers'>[],
): Promise<void> {
  const containers = sets.flatMap((set) => set.containers)
  const ids = [...new Set(containers.map(({ imageId }) => imageId))]
  if (ids.length === 0) return
  const held = await tx
    .selectFrom('image')
    .select('id')
    .where('id', '=', sql<(typeof ids)[number]>`any(${ids}::uuid[])`)
    .orderBy('id')
    .forShare()
    .execute()
  const known = new Set(held.map((row) => row.id))
  const lost = containers.find(({ imageId }) => !known.has(imageId))
  if (lost === undefined) return
  throw new PlatformError(
    'NOT_FOUND',
    { kind: 'image', image: lost.imageName, next: 'see `nubo image ls`, or import it' },
    { message: `The image ${lost.imageName} was removed meanwhile.` },
  )
}

export async function insertSets(
  tx: Tx,
  made: readonly { touched: Touched; row: SetRow }[],
): Promise<void> {
  // Names are unique: two transactions that take the same ones take them in the same order.
  const [first, ...others] = made.map(({ row }) => row).toSorted(byName)
  if (first === undefined) return
  await sql`${insertRows('set', [first, ...others])} ${withNext}`.execute(tx)
  for (const { touched, row } of made) {
    touched.touch('set', row.id)
    touched.use(row.projectId, {
      instances: 1,
      cpuMillis: row.cpuMillis,
      memoryBytes: row.memoryBytes,
    })
  }
}

function byName(a: SetRow, b: SetRow): number {
  if (a.projectId !== b.projectId) return a.projectId < b.projectId ? -1 : 1
  return a.name < b.name ? -1 : 1
}

export interface WantedChange {
  readonly id: SetId
  readonly wanted: SetRow['wanted']
  readonly restart: boolean
}

/**
 * Raises generations; each set is named once. Returns the rows as they are now, without sets that are gone or being
 * removed. Locks rows in the order of their ids.
 */
export async function changeWanted(
  tx: Tx,
  changes: readonly WantedChange[],
): Promise<ReadonlyMap<SetId, { generation: number; hostId: HostId | null }>> {
  if (changes.length === 0) return new Map()
  const ids = changes.map(({ id }) => id)
  const { rows } = await sql<{ id: SetId; generation: number; hostId: HostId | null }>`
    with locked as (
      select id from set where id = any(${ids}::uuid[]) and wanted <> 'removed' order by id for no key update
    )
    update set as s set wanted = c.wanted, generation = s.generation + 1, restart_count = s.restart_count + c.restarts
    from locked l join unnest(
      ${ids}::uuid[],
      ${changes.map(({ wanted }) => wanted)}::text[],
      ${changes.map(({ restart }) => (restart ? 1 : 0))}::integer[]
    ) as c (id, wanted, restarts) on c.id = l.id
    where s.id = l.id returning s.id, s.generation, s.host_id`.execute(tx)
  return new Map(rows.map((row) => [row.id, row]))
}
