import type { z } from 'zod'

/** Who may call: anyone with a token, a role on the project, the operator of the region, or nobody in particular. */
export type RouteAccess = 'public' | 'token' | 'viewer' | 'member' | 'owner' | 'operator'

export type RouteForm = 'json' | 'list' | 'events' | 'upload'

/**
 * One call of the public API. The server binds it to a service, the client infers its types from it,
 * and openapi.json is emitted from it.
 */
export interface Route<
  Params extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Body extends z.ZodType = z.ZodType,
  Reply extends z.ZodType = z.ZodType,
  Form extends RouteForm = RouteForm,
> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** '/v1/networks/:id' */
  readonly path: string
  readonly summary: string
  readonly access: RouteAccess
  readonly params?: Params
  readonly query?: Query
  readonly body?: Body
  readonly reply: Reply
  /** 200 the resource, 202 an operation. */
  readonly status: 200 | 202
  /**
   * 'json' (default), 'list' (a page, or all items as lines of JSON: see `listOf`), 'events' (server-sent events) or
   * 'upload' (the body is a stream of bytes).
   */
  readonly form?: Form
}

export function defineRoute<
  Params extends z.ZodType = z.ZodUndefined,
  Query extends z.ZodType = z.ZodUndefined,
  Body extends z.ZodType = z.ZodUndefined,
  Reply extends z.ZodType = z.ZodType,
  Form extends RouteForm = 'json',
>(route: Route<Params, Query, Body, Reply, Form>): Route<Params, Query, Body, Reply, Form> {
  return route
}
