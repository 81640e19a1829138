import type { HostId } from '@nubo/base'
import type { Hello } from '@nubo/contracts/host'
import type { Database } from '@nubo/runtime'
import { sql } from 'kysely'
import type { HostRow, Tables, Touched, Tx } from '../../world/index.ts'

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

/** Fails on a foreign key while anything refers to the host. */
export async function deleteHost(tx: Tx, touched: Touched, id: HostId): Promise<void> {
  await tx.deleteFrom('host').where('id', '=', id).execute()
  touched.touch('host', id)
}

export interface Arrival {
  readonly hostId: HostId
  readonly hello: Hello
  readonly serverName: string
  readonly sessionId: string
  readonly atMs: number
}

/** Undefined if there is no such host. The lock does not hold up sets that are placed on it meanwhile. */
export function lockHost(tx: Tx, id: HostId): Promise<HostRow | undefined> {
  return tx.selectFrom('host').selectAll().where('id', '=', id).forNoKeyUpdate().executeTakeFirst()
}

/** The name of another connected host that says it has this tunnel address. */
export async function connectedHostWithVtep(
  tx: Tx,
  asked: { vtepAddress: string; notId: HostId },
): Promise<string | undefined> {
  const row = await tx
    .selectFrom('host')
    .select('name')
    .where('vtepAddress', '=', asked.vtepAddress)
    .where('id', '!=', asked.notId)
    .where('state', '=', 'ready')
    .executeTakeFirst()
  return row?.name
}

/** The host is there. Its state changes only if it was not `ready`, so a quick reconnection shows nothing. */
export async function recordArrival(tx: Tx, touched: Touched, arrival: Arrival): Promise<void> {
  const { hostId, hello, serverName, sessionId, atMs } = arrival
  await tx
    .updateTable('host')
    .set({
      state: 'ready',
      reason: null,
      sinceMs: sql`case when state = 'ready' then since_ms else ${atMs}::bigint end`,
      inventory: JSON.stringify(hello.inventory),
      capacity: JSON.stringify(hello.capacity),
      reserve: JSON.stringify(hello.reserve),
      bootId: hello.bootId,
      vtepAddress: hello.vtepAddress,
      underlayMtuBytes: hello.underlayMtuBytes,
      serverName,
      sessionId,
    })
    .where('id', '=', hostId)
    .execute()
  await recordHeard(tx, [{ hostId, sessionId, atMs }])
  touched.touch('host', hostId)
}

export interface Heard {
  readonly hostId: HostId
  readonly sessionId: string
  readonly atMs: number
}

/** Not part of the feed. Hosts that were removed meanwhile are left out. */
export async function recordHeard(query: Pick<Tx, 'getExecutor'>, heard: readonly Heard[]) {
  if (heard.length === 0) return
  // One order for all servers, so that two batches cannot wait for each other.
  const sorted = heard.toSorted((a, b) => (a.hostId < b.hostId ? -1 : 1))
  await sql`
    insert into host_liveness (host_id, session_id, heard_at_ms)
    select host.id, u.session_id, u.at_ms
    from unnest(${sorted.map((h) => h.hostId)}::uuid[], ${sorted.map((h) => h.sessionId)}::uuid[], ${sorted.map((h) => h.atMs)}::bigint[])
      as u (host_id, session_id, at_ms)
    join host on host.id = u.host_id
    on conflict (host_id) do update set session_id = excluded.session_id, heard_at_ms = excluded.heard_at_ms
    where host_liveness.heard_at_ms <= excluded.heard_at_ms`.execute(query)
}

/** When each host was last heard, by any server. */
export async function readHeard(database: Database<Tables>): Promise<Map<HostId, number>> {
  const rows = await database.query
    .selectFrom('hostLiveness')
    .select(['hostId', 'heardAtMs'])
    .execute()
  return new Map(rows.map((row) => [row.hostId, row.heardAtMs]))
}

/** The newest revision of the region, which this process's world may not have reached yet. */
export async function readNewestRevision(database: Database<Tables>): Promise<number> {
  const row = await database.query.selectFrom('revision').select('value').executeTakeFirstOrThrow()
  return row.value
}

/** One host that fell silent; nothing happens if it was heard or connected meanwhile. */
export async function recordSilence(
  tx: Tx,
  touched: Touched,
  silent: { hostId: HostId; sessionId: string | null; heardAtMs: number | null; reason: string },
): Promise<boolean> {
  const done = await tx
    .updateTable('host')
    .set({
      state: 'unreachable',
      reason: silent.reason,
      ...(silent.heardAtMs === null ? {} : { sinceMs: silent.heardAtMs }),
      serverName: null,
      sessionId: null,
    })
    .where('id', '=', silent.hostId)
    .where('state', '=', 'ready')
    .where('sessionId', 'is not distinct from', silent.sessionId)
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('hostLiveness')
            .select('hostId')
            .whereRef('hostLiveness.hostId', '=', 'host.id')
            .where('heardAtMs', '>', silent.heardAtMs ?? 0),
        ),
      ),
    )
    .executeTakeFirst()
  if (done.numUpdatedRows === 0n) return false
  touched.touch('host', silent.hostId)
  return true
}
