/** When hosts were heard last, and what is recorded of those that were not. */
import type { HostId } from '@nubo/base'
import type { HostFence, Reason } from '@nubo/contracts'
import { withNext } from '@nubo/runtime'
import { sql, type Selectable } from 'kysely'
import type { HostRow, Tables, Touched, Tx } from '../../world/index.ts'
import type { Evacuation } from './needs.ts'
import { isConnected, lockHost } from './store.ts'

export interface Heard {
  readonly hostId: HostId
  readonly sessionId: string
  readonly atMs: number
}

/**
 * Not part of the feed. Counts only for the session that the record has as the host's present one; returns the hosts
 * for which it did. Rows are locked in one order, so that two batches cannot wait for each other, and a host that is
 * given up at this very moment is either heard before that or not counted.
 */
export async function recordHeard(
  query: Pick<Tx, 'getExecutor'>,
  heard: readonly Heard[],
): Promise<HostId[]> {
  if (heard.length === 0) return []
  const reply = await sql<{ hostId: HostId }>`
    with said as (
      select * from unnest(${heard.map((h) => h.hostId)}::uuid[], ${heard.map((h) => h.sessionId)}::uuid[], ${heard.map((h) => h.atMs)}::bigint[])
        as u (host_id, session_id, at_ms)
    ), due as (
      select l.host_id, said.at_ms from host_liveness l join said on said.host_id = l.host_id and said.session_id = l.session_id
      order by l.host_id for update of l
    )
    update host_liveness l set beats = l.beats + 1, heard_at_ms = due.at_ms from due where l.host_id = due.host_id
    returning l.host_id`.execute(query)
  return reply.rows.map(({ hostId }) => hostId)
}

/** What the record says of one host: `value` is another after each heartbeat, whatever the clocks of servers say. */
export interface LivenessRecord {
  readonly value: string
  readonly heardAtMs: number
}

type LivenessRow = Pick<Selectable<Tables['hostLiveness']>, 'hostId' | 'beats' | 'heardAtMs'>

/** Of every host that was ever connected. */
export async function readLiveness(
  query: Pick<Tx, 'selectFrom'>,
): Promise<Map<HostId, LivenessRecord>> {
  return recordsOf(
    await query.selectFrom('hostLiveness').select(['hostId', 'beats', 'heardAtMs']).execute(),
  )
}

/** Servers of an older version change only the time, so it is part of the value. */
const recordsOf = (rows: readonly LivenessRow[]): Map<HostId, LivenessRecord> =>
  new Map(
    rows.map(({ hostId, beats, heardAtMs }) => [
      hostId,
      { value: `${beats}/${heardAtMs}`, heardAtMs },
    ]),
  )

export interface Silence {
  readonly hostId: HostId
  readonly record: LivenessRecord | undefined
  readonly reason: Reason
  readonly fence: HostFence
}

/**
 * Hosts that fell silent; returns those that are given up now, from when on no session of theirs counts. Nothing happens to
 * one that was heard or connected meanwhile, nor to one that somebody else is writing: it may be arriving just now, and when
 * thousands do nobody waits here for them, nor they for this. The next pass sees what became of it.
 */
export async function recordSilence(
  tx: Tx,
  touched: Touched,
  silent: readonly Silence[],
): Promise<HostId[]> {
  const ids = silent.map(({ hostId }) => hostId)
  const hosts = await tx
    .selectFrom('host')
    .select(['id', 'state'])
    .where('id', '=', sql<HostId>`any(${ids}::uuid[])`)
    .orderBy('id')
    .forNoKeyUpdate()
    .skipLocked()
    .execute()
  const connected = new Set(hosts.filter(isConnected).map(({ id }) => id))
  const records = await lockLiveness(tx, ids, 'skip locked')
  const given = silent.filter(
    ({ hostId, record }) => connected.has(hostId) && records.get(hostId)?.value === record?.value,
  )
  if (given.length === 0) return []
  const rows = given.map(({ hostId, record, reason, fence }) => ({
    id: hostId,
    reason,
    fence,
    sinceMs: record?.heardAtMs ?? null,
  }))
  await sql`
    update host as h set state = 'unreachable', reason = r.reason, fence = r.fence,
      since_ms = coalesce(r."sinceMs", h.since_ms), server_name = null, session_id = null
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r (id uuid, reason jsonb, fence jsonb, "sinceMs" bigint)
    where h.id = r.id${withNext}`.execute(tx)
  await sql`
    update host_liveness set session_id = null where host_id = any(${rows.map(({ id }) => id)}::uuid[])${withNext}`.execute(
    tx,
  )
  for (const { id } of rows) touched.touch('host', id)
  return rows.map(({ id }) => id)
}

/** As `readLiveness`; the records stay so until the transaction ends. In one order, as heartbeats. */
async function lockLiveness(
  tx: Tx,
  hostIds: readonly HostId[],
  locked: 'wait' | 'skip locked',
): Promise<Map<HostId, LivenessRecord>> {
  const reply = await sql<LivenessRow>`
    select host_id, beats, heard_at_ms from host_liveness where host_id = any(${hostIds}::uuid[])
    order by host_id for update ${sql.raw(locked === 'wait' ? '' : locked)}`.execute(tx)
  return recordsOf(reply.rows)
}

async function isUnchanged(
  tx: Tx,
  { hostId, record }: { hostId: HostId; record: LivenessRecord | undefined },
): Promise<boolean> {
  return (await lockLiveness(tx, [hostId], 'wait')).get(hostId)?.value === record?.value
}

export interface Fencing {
  readonly hostId: HostId
  /**
   * What the record of its heartbeats must still say: a host that was heard or has arrived meanwhile is not fenced.
   * Null: an operator's word counts without it.
   */
  readonly record: LivenessRecord | undefined | null
  readonly fence: HostFence
  readonly reason: Reason
  readonly atMs: number
}

/**
 * The host is proven stopped, and its `elsewhere` sets wait for a place: one step, so that neither can be forgotten.
 * Returns the row before, or undefined if the host is not lost (any more), or the brake of another leader holds; then
 * nothing has changed.
 */
export async function recordFenced(
  tx: Tx,
  touched: Touched,
  deps: { fencing: Fencing; evacuation: Evacuation },
): Promise<HostRow | undefined> {
  const { hostId, record, fence, reason, atMs } = deps.fencing
  const host = await lockHost(tx, hostId)
  if (host === undefined) return undefined
  // An operator may confirm what was only proven by the end of a lease: then its `local` sets do not run either.
  const isConfirmed = fence.by === 'operator' && host.state === 'fenced'
  if (host.state !== 'unreachable' && !isConfirmed) return undefined
  const isAsked = fence.by === 'operator' || host.fenceAsked !== null
  if (!isAsked && (await isBrakeOn(tx))) return undefined
  if (record !== null && !(await isUnchanged(tx, { hostId, record }))) return undefined
  await tx
    .updateTable('host')
    .set({
      state: 'fenced',
      mustClean: true,
      reason: JSON.stringify(reason),
      fence: JSON.stringify(fence),
      fenceAsked: null,
      sinceMs: atMs,
    })
    .where('id', '=', hostId)
    .execute()
  touched.touch('host', hostId)
  await deps.evacuation.release(tx, touched, { host, atMs })
  return host
}

/**
 * A leader that was cut off decides by what it knew. Exact behind the lock of a host that the brake counts as lost: who
 * puts it on locks those too.
 */
async function isBrakeOn(tx: Tx): Promise<boolean> {
  return (await tx.selectFrom('brake').select('id').limit(1).execute()).length > 0
}

/** What is known and waited for; only of a host that is still in this state. */
export async function recordSigns(
  tx: Tx,
  touched: Touched,
  news: { hostId: HostId; state: HostRow['state']; fence: HostFence; reason: Reason },
): Promise<void> {
  const done = await tx
    .updateTable('host')
    .set({ fence: JSON.stringify(news.fence), reason: JSON.stringify(news.reason) })
    .where('id', '=', news.hostId)
    .where('state', '=', news.state)
    .executeTakeFirst()
  if (done.numUpdatedRows > 0n) touched.touch('host', news.hostId)
}
