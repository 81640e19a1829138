import { isUuid, newId, type Clock, type PlatformError, type Random } from '@nubo/base'
import type { AuditEntry, Route } from '@nubo/contracts'
import type { Database, Log, RefusedCall, RequestInput } from '@nubo/runtime'
import {
  whileActing,
  type CallAct,
  type Tables,
  type TokenRow,
  type World,
} from '../../world/index.ts'
import { mayAct, projectOf, type Caller } from '../identity/index.ts'
import {
  actOf,
  firstIdAt,
  hostActOf,
  isAudited,
  opensStream,
  rowOf,
  whoIs,
  type HostCall,
} from './audit.ts'
import { RefusalLog } from './refusals.ts'
import { insertAudit, readAudit, type StoredAudit } from './store.ts'

export interface AuditDeps {
  readonly world: World
  readonly database: Database<Tables>
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Whose token this is or was; so that refused ones are told too. */
  readonly whoTried: (secret: string | undefined) => TokenRow | undefined
}

/** A call that ended with an error, as far as it came. */
export type Refusal = RefusedCall<Caller>

/** A request of a host that was refused. */
export interface HostRefusal {
  readonly call: HostCall
  /** Of the certificate that was shown; undefined if it was none of ours. */
  readonly hostId: string | undefined
  /** Which host it said it is, where it showed no certificate. */
  readonly hostName: string | undefined
  readonly requestId: string
  readonly error: PlatformError
}

interface AuditAsked {
  readonly sinceMs?: number | undefined
  readonly untilMs?: number | undefined
  readonly actor?: string | undefined
  readonly resource?: string | undefined
  readonly outcome?: 'done' | 'refused' | undefined
  readonly limit: number
  readonly cursor?: string | undefined
}

export type AuditService = ReturnType<typeof createAuditService>

export function createAuditService(deps: AuditDeps) {
  const { world, database, clock, random, log } = deps
  const refusals = new RefusalLog({
    clock,
    random,
    log,
    insert: (rows) => insertAudit(database, rows),
  })

  return {
    start: () => refusals.start(),
    stop: () => refusals.stop(),

    /** Handles a call so that each transaction that it commits has its row. */
    during: async <Reply>(
      route: Route,
      input: RequestInput<Route, Caller>,
      handle: () => Promise<Reply>,
    ): Promise<Reply> => {
      if (!isAudited(route)) return handle()
      const { caller, params, query, body, requestId } = input
      const act = actOf({
        who: whoIs(world, caller),
        project: caller.project,
        route,
        requestId,
        params,
        query,
        body,
      })
      const reply = await whileActing(act, handle)
      // Before the ticket is out of the house: nobody gets into a set without a trace.
      if (opensStream(route)) await insertAudit(database, [streamRow(act, body)])
      return reply
    },

    /** Returns at once. What the call had committed before the error came has its row besides. */
    refused: (refusal: Refusal): void => {
      const { route, caller, token, error } = refusal
      if (!isAudited(route)) return
      const tried = caller === undefined ? deps.whoTried(token) : undefined
      const who = whoIs(
        world,
        tried === undefined
          ? caller
          : { tokenId: tried.id, tokenName: tried.name, accountId: tried.accountId },
      )
      const act = actOf({
        ...refusal,
        who,
        project: caller?.project ?? tried?.projectId ?? undefined,
      })
      refusals.add(act, { code: error.code, note: error.message })
    },

    /** As `during`, for a machine that joins as this host. */
    duringJoin: <Reply>(hostName: string, join: () => Promise<Reply>): Promise<Reply> =>
      whileActing(
        hostActOf({
          call: 'hostJoin',
          requestId: newId<'request'>(clock, random),
          actor: actorOf(hostName),
          host: hostName,
        }),
        join,
      ),

    /** Before the certificate is out of the house. */
    renewed: async (hostId: string): Promise<void> => {
      const act = hostActOf({
        call: 'hostRenew',
        requestId: newId<'request'>(clock, random),
        actor: actorOf(world.host.get(hostId)?.name ?? hostId),
        host: hostId,
      })
      await insertAudit(database, [
        {
          ...rowOf(act, { code: null, note: null }, deps),
          resourceName: world.host.get(hostId)?.name ?? null,
        },
      ])
    },

    /** Returns at once. What only has to wait (no database) is no refusal. */
    hostRefused: ({ call, hostId, hostName, requestId, error }: HostRefusal): void => {
      if (error.kind === 'unavailable') return
      const actor =
        hostId === undefined ? 'unknown' : actorOf(world.host.get(hostId)?.name ?? hostId)
      const act = hostActOf({ call, requestId, actor, host: hostId ?? hostName ?? null })
      refusals.add(act, { code: error.code, note: error.message })
    },

    /** Of one project for its owners; operators see everything unless they ask for one. */
    list: async (
      caller: Caller,
      asked: AuditAsked & { project?: string | undefined },
    ): Promise<{ items: AuditEntry[]; cursor: string | null }> => {
      const isEverything = asked.project === undefined && mayAct(caller.role, 'operator')
      const { resource, cursor, untilMs } = asked
      const until = untilMs === undefined ? undefined : firstIdAt(untilMs)
      const rows = await readAudit(database, {
        projectId: isEverything ? undefined : projectOf(caller),
        fromId: asked.sinceMs === undefined ? undefined : firstIdAt(asked.sinceMs),
        beforeId: [cursor, until].filter((id) => id !== undefined).toSorted()[0],
        actor: asked.actor,
        resource:
          resource === undefined
            ? undefined
            : { by: isUuid(resource) ? 'id' : 'name', text: resource },
        outcome: asked.outcome,
        limit: asked.limit + 1,
      })
      const items = rows.slice(0, asked.limit)
      return {
        items: items.map(auditView),
        cursor: rows.length > items.length ? (items.at(-1)?.id ?? null) : null,
      }
    },
  }

  /** Of a command only the program: its arguments may hold secrets. */
  function streamRow(act: CallAct, body: unknown): ReturnType<typeof rowOf> {
    const program =
      typeof body === 'object' && body !== null && 'command' in body && Array.isArray(body.command)
        ? `program ${String(body.command[0])}`
        : null
    const set =
      world.set.get(act.resource) ?? world.set.by('name', `${act.projectId}/${act.resource}`)[0]
    return {
      ...rowOf(act, { code: null, note: program }, deps),
      resourceId: set?.id ?? null,
      resourceName: set?.name ?? act.resource,
    }
  }
}

/** Joining ones say themselves how they are called; it was checked against the invitation before anything is written. */
function actorOf(host: string): string {
  return `host:${host}`
}

function auditView({ resourceKind, resourceId, resourceName, ...row }: StoredAudit): AuditEntry {
  return { ...row, resource: { kind: resourceKind, id: resourceId, name: resourceName } }
}
