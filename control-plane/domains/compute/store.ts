import { PlatformError, type HostId, type SetId } from '@nubo/base'
import type { FoundSet } from '@nubo/contracts/host'
import { sql } from 'kysely'
import type { HostRow, SetFoundRow, SetPlacement, SetRow, Touched, Tx } from '../../world/index.ts'

/** Keeps the images of a set from being removed while it is created. NOT_FOUND if one has gone meanwhile. */
export async function holdImages(tx: Tx, set: SetRow): Promise<void> {
  const ids = [...new Set(set.containers.map((container) => container.imageId))].toSorted()
  const held = await tx
    .selectFrom('image')
    .select('id')
    .where('id', 'in', ids)
    .orderBy('id')
    .forShare()
    .execute()
  const known = new Set(held.map((row) => row.id))
  const lost = set.containers.find((container) => !known.has(container.imageId))
  if (lost === undefined) return
  throw new PlatformError(
    'NOT_FOUND',
    { kind: 'image', image: lost.imageName, next: 'see `nubo image ls`, or import it' },
    { message: `The image ${lost.imageName} was removed meanwhile.` },
  )
}

export async function insertSet(tx: Tx, touched: Touched, row: SetRow): Promise<void> {
  await tx
    .insertInto('set')
    .values({
      ...row,
      labels: JSON.stringify(row.labels),
      containers: JSON.stringify(row.containers),
      placementRule: JSON.stringify(row.placementRule),
      placement: row.placement === null ? null : JSON.stringify(row.placement),
      moved: row.moved === null ? null : JSON.stringify(row.moved),
    })
    .execute()
  touched.touch('set', row.id)
  touched.use(row.projectId, {
    instances: 1,
    cpuMillis: row.cpuMillis,
    memoryBytes: row.memoryBytes,
  })
}

/** Raises the generation. Returns the row as it is now; undefined if the set is gone or being removed. */
export async function changeWanted(
  tx: Tx,
  touched: Touched,
  change: { id: SetId; wanted: SetRow['wanted']; restart?: boolean },
): Promise<{ generation: number; hostId: HostId | null } | undefined> {
  const row = await tx
    .updateTable('set')
    .set((expression) => ({
      wanted: change.wanted,
      generation: expression('generation', '+', 1),
      ...(change.restart === true ? { restartCount: expression('restartCount', '+', 1) } : {}),
    }))
    .where('id', '=', change.id)
    .where('wanted', '!=', 'removed')
    .returning(['generation', 'hostId'])
    .executeTakeFirst()
  if (row !== undefined) touched.touch('set', change.id)
  return row
}

/** A host that may be placed on, and what the sets on it may take. */
export interface HostRoom {
  readonly host: HostRow
  readonly taken: { cpuMillis: number; memoryBytes: number }
}

/**
 * These hosts as the tables know them, kept from changing and from other placements until the transaction ends. A
 * process that believes for a moment longer that it leads can so not spend room that its successor has given away.
 */
export async function lockRooms(
  tx: Tx,
  ids: readonly HostId[],
): Promise<ReadonlyMap<HostId, HostRoom>> {
  const wanted = [...new Set(ids)]
  if (wanted.length === 0) return new Map()
  const hosts = await tx
    .selectFrom('host')
    .selectAll()
    .where('id', 'in', wanted)
    .orderBy('id')
    .forNoKeyUpdate()
    .execute()
  const sums = await tx
    .selectFrom('set')
    .select(({ fn }) => [
      'hostId',
      fn.sum<string>('cpuMillis').as('cpuMillis'),
      fn.sum<string>('memoryBytes').as('memoryBytes'),
    ])
    .where('hostId', 'in', wanted)
    .groupBy('hostId')
    .execute()
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

/** Records a placement if the set still waits for one. Returns whether it did. */
export async function placeSet(
  tx: Tx,
  touched: Touched,
  change: { id: SetId; hostId: HostId; placement: SetPlacement },
): Promise<boolean> {
  const updated = await tx
    .updateTable('set')
    .set((expression) => ({
      hostId: change.hostId,
      epoch: expression('epoch', '+', 1),
      placement: JSON.stringify(change.placement),
    }))
    .where('id', '=', change.id)
    .where('hostId', 'is', null)
    .where('wanted', '!=', 'removed')
    .executeTakeFirst()
  if (updated.numUpdatedRows === 0n) return false
  touched.touch('set', change.id)
  return true
}

/** Why a set waits for a host. */
export async function recordNotPlaced(
  tx: Tx,
  touched: Touched,
  change: { id: SetId; placement: SetPlacement },
): Promise<void> {
  await tx
    .updateTable('set')
    .set({ placement: JSON.stringify(change.placement) })
    .where('id', '=', change.id)
    .where('hostId', 'is', null)
    .execute()
  touched.touch('set', change.id)
}

/** Everything `elsewhere` on a host waits for a place again; what its host said last no longer counts. */
export async function releaseSets(
  tx: Tx,
  touched: Touched,
  change: { host: HostRow; atMs: number; reason: string },
): Promise<SetId[]> {
  const { host, atMs, reason } = change
  const placement: SetPlacement = {
    score: 0,
    decidedAtMs: null,
    reason: { code: 'HOST_FENCED', text: `${reason}; waits to be placed` },
    rejected: [],
  }
  const rows = await tx
    .updateTable('set')
    .set({
      hostId: null,
      placement: JSON.stringify(placement),
      moved: sql`jsonb_build_object('fromHost', ${host.name}::text, 'fromEpoch', epoch, 'atMs', ${atMs}::bigint, 'reason', ${reason}::text)`,
    })
    .where('hostId', '=', host.id)
    .where('recovery', '=', 'elsewhere')
    .where('wanted', '!=', 'removed')
    .returning('id')
    .execute()
  const ids = rows.map(({ id }) => id)
  if (ids.length === 0) return ids
  await tx.deleteFrom('setFound').where('id', 'in', ids).execute()
  for (const id of ids) {
    touched.touch('set', id)
    touched.touch('setFound', id)
  }
  return ids
}

/** The row, kept from changing until the transaction ends; undefined unless the set is on this host in this epoch. */
export async function lockPlacedSet(
  tx: Tx,
  at: { id: string; hostId: HostId; epoch: number },
): Promise<SetRow | undefined> {
  return tx
    .selectFrom('set')
    .selectAll()
    .where('id', '=', at.id as SetId) // proof: an id that does not exist finds nothing
    .where('hostId', '=', at.hostId)
    .where('epoch', '=', at.epoch)
    .forUpdate()
    .executeTakeFirst()
}

export async function upsertFound(
  tx: Tx,
  touched: Touched,
  change: { hostId: HostId; found: FoundSet; sinceMs: number },
): Promise<void> {
  const { found } = change
  const values = {
    hostId: change.hostId,
    epoch: found.epoch,
    generation: found.generation,
    state: found.state,
    progress: found.progress,
    reason: found.reason === null ? null : JSON.stringify(found.reason),
    containers: JSON.stringify(found.containers),
    sinceMs: change.sinceMs,
  }
  await tx
    .insertInto('setFound')
    // proof: the row exists under this id, else the foreign key refuses
    .values({ id: found.id as SetFoundRow['id'], ...values })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(values))
    .execute()
  touched.touch('setFound', found.id)
}

export async function deleteSet(tx: Tx, touched: Touched, id: SetId): Promise<void> {
  await tx.deleteFrom('setFound').where('id', '=', id).execute()
  const deleted = await tx
    .deleteFrom('set')
    .where('id', '=', id)
    .returning(['projectId', 'cpuMillis', 'memoryBytes'])
    .execute()
  for (const { projectId, cpuMillis, memoryBytes } of deleted)
    touched.use(projectId, { instances: -1, cpuMillis: -cpuMillis, memoryBytes: -memoryBytes })
  touched.touch('setFound', id)
  touched.touch('set', id)
}
