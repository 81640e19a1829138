import { z } from 'zod'
import { id, idParams, inProject, listOf, listQuery, reason, timeMs } from './common.ts'
import { defineRoute } from './route.ts'

export const operationState = z.enum([
  'pending',
  'running',
  'done',
  'failed',
  'superseded',
  'cancelled',
])
export type OperationState = z.infer<typeof operationState>

export const operation = z
  .object({
    id,
    projectId: id.nullable(),
    /** What is done, as 'set.create'. */
    kind: z.string(),
    resource: z.object({ kind: z.string(), id, name: z.string() }),
    state: operationState,
    /** What is happening now, for a person. */
    progress: z.string(),
    /** Why it waits, failed or was ended. */
    reason: reason.nullable(),
    /** The generation of the resource that ends it. */
    generation: z.int(),
    mayCancel: z.boolean(),
    createdAtMs: timeMs,
    updatedAtMs: timeMs,
    endedAtMs: timeMs.nullable(),
    deadlineAtMs: timeMs,
  })
  .meta({ id: 'Operation' })
export type Operation = z.infer<typeof operation>

export const operationRoutes = {
  operationList: defineRoute({
    method: 'GET',
    path: '/v1/operations',
    summary: 'Lists operations of a project, newest first.',
    access: 'viewer',
    query: z.strictObject({ ...inProject, ...listQuery, state: operationState.optional() }),
    reply: listOf(operation),
    status: 200,
    form: 'list',
  }),
  operationShow: defineRoute({
    method: 'GET',
    path: '/v1/operations/:id',
    summary:
      'Shows an operation; with waitMs it answers when the operation has ended or the time is over.',
    access: 'viewer',
    params: idParams,
    query: z.strictObject({
      ...inProject,
      waitMs: z.coerce.number().int().min(0).max(60_000).default(0),
    }),
    reply: operation,
    status: 200,
  }),
  operationCancel: defineRoute({
    method: 'POST',
    path: '/v1/operations/:id/cancel',
    summary: 'Asks that an operation be given up; what is done already stays.',
    access: 'member',
    params: idParams,
    query: z.strictObject(inProject),
    reply: operation,
    status: 200,
  }),
}
