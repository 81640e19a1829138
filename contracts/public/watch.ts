import { z } from 'zod'
import { inProject, nameOrId } from './common.ts'
import { defineRoute } from './route.ts'

export const watchKind = z.enum([
  'project',
  'token',
  'host',
  'network',
  'subnet',
  'port',
  'image',
  'set',
  'vm',
  'operation',
  'brake',
])
export type WatchKind = z.infer<typeof watchKind>

/** One event of a watch; `object` is what a `show` of it would answer, null once it is gone. */
export const watchEvent = z
  .object({
    type: z.enum(['change', 'removed', 'synced']),
    /** Resume with `from` = this. */
    revision: z.int(),
    kind: watchKind.nullable(),
    id: z.string().nullable(),
    object: z.unknown().nullable(),
  })
  .meta({ id: 'WatchEvent' })
export type WatchEvent = z.infer<typeof watchEvent>

export const watchRoutes = {
  watch: defineRoute({
    method: 'GET',
    path: '/v1/watch',
    summary:
      'Server-sent events of everything this token may see. Without `from` it begins with the present objects, then says `synced`; with `from` it goes on from there, or answers 410 RESYNC.',
    access: 'viewer',
    query: z.strictObject({
      ...inProject,
      from: z.coerce.number().int().nonnegative().optional(),
      kind: z.union([watchKind, z.array(watchKind)]).optional(),
      id: nameOrId.optional(),
    }),
    reply: watchEvent,
    status: 200,
    form: 'events',
  }),
}
