import { PlatformError, type HostId, type ImageId, type InstanceId } from '@nubo/base'
import { withNext } from '@nubo/runtime'
import { sql } from 'kysely'
import {
  insertRows,
  kindOf,
  type InstanceKind,
  type InstanceRow,
  type SetRow,
  type Touched,
  type Tx,
  type VmRow,
} from '../../world/index.ts'

/** What people ask of sets and VMs, of many in one statement. */

/** Keeps the images of these from being removed while they are recorded. NOT_FOUND if one has gone meanwhile. */
export async function holdImages(tx: Tx, rows: readonly InstanceRow[]): Promise<void> {
  const images = rows.flatMap(imagesOf)
  const ids = [...new Set(images.map(({ id }) => id))]
  if (ids.length === 0) return
  const held = await tx
    .selectFrom('image')
    .select('id')
    .where('id', '=', sql<ImageId>`any(${ids}::uuid[])`)
    .orderBy('id')
    .forShare()
    .execute()
  const known = new Set(held.map((row) => row.id))
  const lost = images.find(({ id }) => !known.has(id))
  if (lost === undefined) return
  throw new PlatformError(
    'NOT_FOUND',
    { kind: 'image', image: lost.name, next: 'see `nubo image ls`, or import it' },
    { message: `The image ${lost.name} was removed meanwhile.` },
  )
}

function imagesOf(row: InstanceRow): { readonly id: ImageId; readonly name: string }[] {
  return 'containers' in row
    ? row.containers.map(({ imageId, imageName }) => ({ id: imageId, name: imageName }))
    : [{ id: row.imageId, name: row.machine.imageName }]
}

export async function insertInstances(
  tx: Tx,
  made: readonly { touched: Touched; row: InstanceRow }[],
): Promise<void> {
  const sets: SetRow[] = []
  const vms: VmRow[] = []
  // Names are unique: two transactions that take the same ones take them in the same order.
  for (const row of made.map((one) => one.row).toSorted(byName)) {
    if ('containers' in row) sets.push(row)
    else vms.push(row)
  }
  const [firstSet, ...otherSets] = sets
  if (firstSet !== undefined)
    await sql`${insertRows('set', [firstSet, ...otherSets])} ${withNext}`.execute(tx)
  const [firstVm, ...otherVms] = vms
  if (firstVm !== undefined)
    await sql`${insertRows('vm', [firstVm, ...otherVms])} ${withNext}`.execute(tx)
  for (const { touched, row } of made) {
    touched.touch(kindOf(row), row.id)
    touched.use(row.projectId, {
      instances: 1,
      cpuMillis: row.cpuMillis,
      memoryBytes: row.memoryBytes,
    })
  }
}

function byName(a: InstanceRow, b: InstanceRow): number {
  if (a.projectId !== b.projectId) return a.projectId < b.projectId ? -1 : 1
  return a.name < b.name ? -1 : 1
}

export interface WantedChange {
  readonly id: InstanceId
  readonly kind: InstanceKind
  readonly wanted: InstanceRow['wanted']
  readonly restart: boolean
}

/** An instance after such a change. */
export interface WantedNow {
  readonly generation: number
  readonly hostId: HostId | null
}

/**
 * Raises generations; each instance is named once. Returns the rows as they are now, without those that are gone or being
 * removed. Locks rows in the order of their ids, sets before VMs.
 */
export async function changeWanted(
  tx: Tx,
  changes: readonly WantedChange[],
): Promise<ReadonlyMap<InstanceId, WantedNow>> {
  const changed = new Map<InstanceId, WantedNow>()
  for (const kind of ['set', 'vm'] as const) {
    const own = changes.filter((change) => change.kind === kind)
    if (own.length === 0) continue
    const ids = own.map(({ id }) => id)
    const table = sql.table(kind)
    const { rows } = await sql<WantedNow & { id: InstanceId }>`
    with locked as (
      select id from ${table} where id = any(${ids}::uuid[]) and wanted <> 'removed' order by id for no key update
    )
    update ${table} as s set wanted = c.wanted, generation = s.generation + 1, restart_count = s.restart_count + c.restarts
    from locked l join unnest(
      ${ids}::uuid[],
      ${own.map(({ wanted }) => wanted)}::text[],
      ${own.map(({ restart }) => (restart ? 1 : 0))}::integer[]
    ) as c (id, wanted, restarts) on c.id = l.id
    where s.id = l.id returning s.id, s.generation, s.host_id`.execute(tx)
    for (const row of rows) changed.set(row.id, row)
  }
  return changed
}
