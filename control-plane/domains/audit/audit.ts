import { isUuid, newId, type Clock, type ErrorCode, type Random } from '@nubo/base'
import { api, type Route } from '@nubo/contracts'
import type { AuditRow, CallAct, World } from '../../world/index.ts'
import type { Caller } from '../identity/index.ts'

const nameOfRoute = new Map<Route, string>(
  Object.entries(api).map(([name, route]): [Route, string] => [route, name]),
)

/** Calls that only look are not audited. Streams into a set are asked for with POST, and are. */
export function isAudited(route: Route): boolean {
  return route.method !== 'GET'
}

export function opensStream(route: Route): boolean {
  return route === api.setExec || route === api.setLogs
}

/** '/v1/sets/:id/exec' → 'set' */
export function resourceKindOf({ path }: Route): string {
  return (path.split('/')[2] ?? '').replace(/s$/, '')
}

/** What a caller sent names nothing unless it looks like a name or an id. */
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/

/** By its id or name in the path, else by the name in the body or (uploads) the query. */
export function resourceAsked(call: {
  params?: unknown
  query?: unknown
  body?: unknown
}): string | null {
  const candidates = [
    textAt(call.params, 'id'),
    textAt(call.body, 'name'),
    textAt(call.query, 'name'),
  ]
  return candidates.find((text) => text !== undefined && NAME.test(text)) ?? null
}

function textAt(part: unknown, key: string): string | undefined {
  if (typeof part !== 'object' || part === null) return undefined
  const value: unknown = (part as Record<string, unknown>)[key] // proof: a non-null object
  return typeof value === 'string' ? value : undefined
}

/** What belongs to the region and not to the project that the caller happens to be in. */
const OF_THE_REGION = new Set(['host', 'account', 'project'])

type Who = Pick<CallAct, 'actor' | 'tokenId' | 'accountId'>

export function whoIs(
  world: Pick<World, 'account'>,
  caller: Pick<Caller, 'tokenId' | 'tokenName' | 'accountId'> | undefined,
): Who {
  if (caller === undefined) return { actor: 'unknown', tokenId: null, accountId: null }
  const { tokenId, tokenName, accountId } = caller
  return { actor: world.account.get(accountId)?.name ?? tokenName, tokenId, accountId }
}

/** A call as the audit tells of it. */
export function actOf(call: {
  who: Who
  project: string | undefined
  route: Route
  requestId: string
  params?: unknown
  query?: unknown
  body?: unknown
}): CallAct {
  const resourceKind = resourceKindOf(call.route)
  return {
    by: 'call',
    ...call.who,
    projectId: OF_THE_REGION.has(resourceKind) ? null : (call.project ?? null),
    requestId: call.requestId,
    call: nameOfRoute.get(call.route) ?? call.route.path,
    resourceKind,
    resource: resourceAsked(call),
  }
}

/**
 * What hosts ask for. All of it is told when it is refused. A join and a renewal are told when they are done, too: each
 * hands out a certificate. A session says nothing of what is wanted, a stream has the row of whoever asked for it, and
 * a token for images only lets a host read what it was told to run, with every pull.
 */
export type HostCall = 'hostJoin' | 'hostRenew' | 'hostImageToken' | 'hostSession' | 'hostStream'

/** `host`: by name or id, as far as it is known which one asks. What a joining one says of itself names it, but no more. */
export function hostActOf(asked: {
  call: HostCall
  requestId: string
  actor: string
  host: string | null
}): CallAct {
  return {
    by: 'call',
    actor: asked.actor,
    tokenId: null,
    accountId: null,
    projectId: null,
    requestId: asked.requestId,
    call: asked.call,
    resourceKind: 'host',
    resource: asked.host !== null && NAME.test(asked.host) ? asked.host : null,
  }
}

/** A row for what no transaction writes: a stream that was opened (no error), or a refusal. */
export function rowOf(
  act: CallAct,
  told: { code: ErrorCode | null; note: string | null; count?: number },
  deps: { clock: Clock; random: Random },
): AuditRow {
  const atMs = deps.clock.nowMs()
  const isId = act.resource !== null && isUuid(act.resource)
  return {
    id: newId({ ...deps.clock, nowMs: () => atMs }, deps.random),
    atMs,
    actor: act.actor,
    tokenId: act.tokenId,
    accountId: act.accountId,
    projectId: act.projectId,
    requestId: act.requestId,
    call: act.call,
    resourceKind: act.resourceKind,
    resourceId: isId ? act.resource : null,
    resourceName: isId ? null : act.resource,
    outcome: told.code === null ? 'done' : 'refused',
    code: told.code,
    note: told.note,
    count: told.count ?? 1,
    beforeSha256: null,
    afterSha256: null,
  }
}

/** The least id of UUIDv7 that this millisecond has; ids of the table are in order of time. */
export function firstIdAt(atMs: number): string {
  const hex = Math.min(atMs, 2 ** 48 - 1)
    .toString(16)
    .padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`
}
