import type { HostId, OperationId } from '@nubo/base'
import type { HostFence, HostPower, Reason } from '@nubo/contracts'
import type { Hello } from '@nubo/contracts/host'
import type { Database } from '@nubo/runtime'
import { sql } from 'kysely'
import type {
  BrakeRow,
  FenceAsked,
  HostDrain,
  HostRow,
  Tables,
  Touched,
  Tx,
} from '../../world/index.ts'

export interface Invitation {
  readonly host: Pick<HostRow, 'id' | 'name' | 'region' | 'zone' | 'rack' | 'roles' | 'labels'>
  readonly secretSha256: string
  readonly expiresAtMs: number
  readonly atMs: number
}

/**
 * A new host, or a new token for a known one; the token before it no longer counts. Where a host that has never joined
 * is and what it does follows the newest invitation; a host that has joined keeps what is recorded.
 */
export async function upsertInvitation(
  tx: Tx,
  touched: Touched,
  invitation: Invitation,
): Promise<HostId> {
  const { host, secretSha256, expiresAtMs, atMs } = invitation
  const whileInvited = (column: 'zone' | 'rack' | 'roles' | 'labels') =>
    sql<string>`case when host.state = 'invited' then ${sql.ref(`excluded.${column}`)} else ${sql.ref(`host.${column}`)} end`
  const row = await tx
    .insertInto('host')
    .values({
      ...host,
      roles: JSON.stringify(host.roles),
      labels: JSON.stringify(host.labels),
      state: 'invited',
      sinceMs: atMs,
      cordoned: false,
      inviteSha256: secretSha256,
      inviteExpiresAtMs: expiresAtMs,
      createdAtMs: atMs,
    })
    .onConflict((conflict) =>
      conflict.constraint('host_name').doUpdateSet({
        inviteSha256: secretSha256,
        inviteExpiresAtMs: expiresAtMs,
        zone: whileInvited('zone'),
        rack: whileInvited('rack'),
        roles: whileInvited('roles'),
        labels: whileInvited('labels'),
      }),
    )
    .returning('id')
    .executeTakeFirstOrThrow()
  touched.touch('host', row.id)
  return row.id
}

/**
 * Uses up the token of a host and begins a line of certificates. Undefined if the token is wrong, used, expired or of
 * another name. Of two that try at once one waits for the row and then finds the token used.
 */
export async function redeemInvitation(
  tx: Tx,
  touched: Touched,
  join: { name: string; secretSha256: string; certificateLine: string; atMs: number },
): Promise<HostId | undefined> {
  const row = await tx
    .updateTable('host')
    .set({
      inviteSha256: null,
      inviteExpiresAtMs: null,
      certificateSerial: join.certificateLine,
      state: sql`case when state = 'invited' then 'joining' else state end`,
      sinceMs: sql`case when state = 'invited' then ${join.atMs}::bigint else since_ms end`,
    })
    .where('name', '=', join.name)
    .where('inviteSha256', '=', join.secretSha256)
    .where('inviteExpiresAtMs', '>', join.atMs)
    .returning('id')
    .executeTakeFirst()
  if (row !== undefined) touched.touch('host', row.id)
  return row?.id
}

export async function setCordoned(
  tx: Tx,
  touched: Touched,
  change: { id: HostId; cordoned: boolean },
): Promise<void> {
  const done = await tx
    .updateTable('host')
    .set({ cordoned: change.cordoned })
    .where('id', '=', change.id)
    .where('cordoned', '!=', change.cordoned)
    .executeTakeFirst()
  if (done.numUpdatedRows > 0n) touched.touch('host', change.id)
}

export async function setMaintenance(
  tx: Tx,
  touched: Touched,
  change: { id: HostId; maintenance: boolean },
): Promise<void> {
  await tx
    .updateTable('host')
    .set({ maintenance: change.maintenance })
    .where('id', '=', change.id)
    .execute()
  touched.touch('host', change.id)
}

/** Records which operation empties the host. Returns how many instances are on it. */
export async function setDrain(
  tx: Tx,
  touched: Touched,
  { hostId, operationId }: { hostId: HostId; operationId: OperationId },
): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select (select count(*) from set where host_id = ${hostId}::uuid and wanted <> 'removed')
      + (select count(*) from vm where host_id = ${hostId}::uuid and wanted <> 'removed') as count`.execute(
    tx,
  )
  const drain: HostDrain = { operationId, sets: rows[0]?.count ?? 0 }
  await tx
    .updateTable('host')
    .set({ drain: JSON.stringify(drain) })
    .where('id', '=', hostId)
    .execute()
  touched.touch('host', hostId)
  return drain.sets
}

/** Fails on a foreign key while anything refers to the host. */
export async function deleteHost(tx: Tx, touched: Touched, id: HostId): Promise<void> {
  await tx.deleteFrom('host').where('id', '=', id).execute()
  touched.touch('host', id)
}

export interface Arrival {
  /** The row, locked. */
  readonly host: HostRow
  readonly hello: Hello
  readonly serverName: string
  readonly sessionId: string
  readonly atMs: number
}

/** Rows by id; hosts that are gone are left out. The locks do not hold up sets that are placed on them meanwhile. */
export async function lockHosts(tx: Tx, ids: readonly HostId[]): Promise<Map<HostId, HostRow>> {
  const rows = await tx
    .selectFrom('host')
    .selectAll()
    .where('id', '=', sql<HostId>`any(${ids}::uuid[])`)
    // One order for all servers, so that two batches cannot wait for each other.
    .orderBy('id')
    .forNoKeyUpdate()
    .execute()
  return new Map(rows.map((row) => [row.id, row]))
}

/** One of `lockHosts`. */
export async function lockHost(tx: Tx, id: HostId): Promise<HostRow | undefined> {
  return (await lockHosts(tx, [id])).get(id)
}

/** Connected hosts that say that they have one of these tunnel addresses. */
export async function connectedHostsWithVtep(
  tx: Tx,
  vtepAddresses: readonly string[],
): Promise<{ id: HostId; name: string; vtepAddress: string | null }[]> {
  return tx
    .selectFrom('host')
    .select(['id', 'name', 'vtepAddress'])
    .where('vtepAddress', '=', sql<string>`any(${vtepAddresses}::text[])`)
    .where('state', 'in', ['ready', 'returning'])
    .execute()
}

/**
 * The hosts are there. Their states change only if they were not `ready`, so a quick reconnection shows nothing. Those
 * that were fenced are `returning` until they have shown that nothing of an older placement is left (recordCleaned).
 */
export async function recordArrivals(
  tx: Tx,
  touched: Touched,
  arrivals: readonly Arrival[],
): Promise<void> {
  await sql`
    update host as h set
      state = r.state, reason = nullif(r.reason, 'null'::jsonb), fence = nullif(r.fence, 'null'::jsonb),
      since_ms = r."sinceMs", inventory = r.inventory, capacity = r.capacity,
      reserve = r.reserve, boot_id = r."bootId", vtep_address = r."vtepAddress",
      underlay_mtu_bytes = r."underlayMtuBytes", stops_within_ms = r."stopsWithinMs",
      probe_address = r."probeAddress", accelerator = r.accelerator, vms_problem = r."vmsProblem", server_name = r."serverName", session_id = r."sessionId"
    from jsonb_to_recordset(${JSON.stringify(arrivals.map(arrivedRow))}::jsonb) as r (
      id uuid, state text, reason jsonb, fence jsonb, "sinceMs" bigint, inventory jsonb, capacity jsonb, reserve jsonb,
      "bootId" text, "vtepAddress" text, "underlayMtuBytes" integer, "stopsWithinMs" integer, "probeAddress" text,
      accelerator text, "vmsProblem" text,
      "serverName" text, "sessionId" uuid)
    where h.id = r.id`.execute(tx)
  // In one order for all servers, as heartbeats.
  const sorted = arrivals.toSorted((a, b) => (a.host.id < b.host.id ? -1 : 1))
  await sql`
    insert into host_liveness (host_id, session_id, heard_at_ms, beats)
    select u.host_id, u.session_id, u.at_ms, 1
    from unnest(${sorted.map(({ host }) => host.id)}::uuid[], ${sorted.map(({ sessionId }) => sessionId)}::uuid[], ${sorted.map(({ atMs }) => atMs)}::bigint[])
      as u (host_id, session_id, at_ms)
    on conflict (host_id) do update
    set session_id = excluded.session_id, heard_at_ms = excluded.heard_at_ms, beats = host_liveness.beats + 1`.execute(
    tx,
  )
  for (const { host } of arrivals) touched.touch('host', host.id)
}

function arrivedRow({ host, hello, serverName, sessionId, atMs }: Arrival) {
  const state = host.mustClean ? 'returning' : 'ready'
  const { fence, reason } = host.mustClean ? cleaningOf(host) : { fence: null, reason: null }
  return {
    id: host.id,
    state,
    reason,
    fence,
    sinceMs: host.state === state ? host.sinceMs : atMs,
    inventory: hello.inventory,
    capacity: hello.capacity,
    reserve: hello.reserve,
    bootId: hello.bootId,
    vtepAddress: hello.vtepAddress,
    underlayMtuBytes: hello.underlayMtuBytes,
    stopsWithinMs: hello.stopsWithinMs,
    probeAddress: hello.probeAddress,
    accelerator: hello.accelerator,
    vmsProblem: hello.vmsProblem,
    serverName,
    sessionId,
  }
}

function cleaningOf({ fence }: HostRow): { fence: HostFence | null; reason: Reason } {
  const fencedAt = fence?.fencedAt ?? null
  const at = fencedAt === null ? '' : ` ${new Date(fencedAt).toISOString()}`
  const text = `It was fenced${at} and is back; it takes instances again once it has removed what was placed elsewhere meanwhile.`
  return {
    fence: fence === null ? null : { ...fence, step: 'cleaning', text },
    reason: { code: 'HOST_FENCED', text },
  }
}

/** A returning host has nothing of an older placement left. False if this is not its session, or it is not returning. */
export async function recordCleaned(
  tx: Tx,
  touched: Touched,
  cleaned: { hostId: HostId; sessionId: string; atMs: number },
): Promise<boolean> {
  const done = await tx
    .updateTable('host')
    .set({ state: 'ready', mustClean: false, reason: null, fence: null, sinceMs: cleaned.atMs })
    .where('id', '=', cleaned.hostId)
    .where('state', '=', 'returning')
    .where('sessionId', '=', cleaned.sessionId)
    .executeTakeFirst()
  if (done.numUpdatedRows === 0n) return false
  touched.touch('host', cleaned.hostId)
  return true
}

/** The newest revision of the region, which this process's world may not have reached yet. */
export async function readNewestRevision(database: Database<Tables>): Promise<number> {
  const row = await database.query.selectFrom('revision').select('value').executeTakeFirstOrThrow()
  return row.value
}

/** Whether an agent is, or was a moment ago, connected. */
export function isConnected({ state }: Pick<HostRow, 'state'>): boolean {
  return state === 'ready' || state === 'returning'
}

export async function setFenceAsked(
  tx: Tx,
  touched: Touched,
  change: { hostId: HostId; asked: FenceAsked | null },
): Promise<void> {
  await tx
    .updateTable('host')
    .set({ fenceAsked: change.asked === null ? null : JSON.stringify(change.asked) })
    .where('id', '=', change.hostId)
    .execute()
  touched.touch('host', change.hostId)
}

/** Errors: false if the host is gone. */
export async function setPower(
  tx: Tx,
  touched: Touched,
  change: { hostId: HostId; power: HostPower | null },
): Promise<boolean> {
  const done = await tx
    .updateTable('host')
    .set({ power: change.power === null ? null : JSON.stringify(change.power) })
    .where('id', '=', change.hostId)
    .executeTakeFirst()
  if (done.numUpdatedRows === 0n) return false
  touched.touch('host', change.hostId)
  return true
}

/** The brake is on, for this reason; since when it has been on stays. From then on none of its hosts is fenced. */
export async function engageBrake(tx: Tx, touched: Touched, brake: BrakeRow): Promise<void> {
  // Of those that it holds already this was done before; a region that comes back shortens the list again and again, and its
  // hosts must not wait for that.
  const row = await tx.selectFrom('brake').select('hosts').forUpdate().executeTakeFirst()
  const held = new Set(row?.hosts)
  const fresh = brake.hosts.filter((name) => !held.has(name))
  // Whoever fences one of them has finished, or sees the brake.
  if (fresh.length > 0)
    await sql`select 1 from host where name = any(${fresh}::text[]) order by id for share`.execute(
      tx,
    )
  const values = {
    name: brake.name,
    hosts: JSON.stringify(brake.hosts),
    reason: JSON.stringify(brake.reason),
  }
  const inserted = await tx
    .insertInto('brake')
    .values({ id: brake.id, sinceMs: brake.sinceMs, ...values })
    .onConflict((conflict) => conflict.constraint('brake_only_row').doUpdateSet(values))
    .returning('id')
    .executeTakeFirstOrThrow()
  touched.touch('brake', inserted.id)
}

export async function releaseBrake(tx: Tx, touched: Touched): Promise<void> {
  const rows = await tx.deleteFrom('brake').returning('id').execute()
  for (const { id } of rows) touched.touch('brake', id)
}
