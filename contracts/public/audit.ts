import { z } from 'zod'
import { id, nameOrId, timeMs } from './common.ts'
import { defineRoute } from './route.ts'

export const AUDIT_PAGE_MAX = 1_000

export const auditEntry = z
  .object({
    id,
    atMs: timeMs,
    /**
     * Name of the account or token; `system:place` and the like for the control plane itself, `host:h1` for an agent;
     * `unknown` without a valid token or certificate.
     */
    actor: z.string(),
    tokenId: z.string().nullable(),
    accountId: z.string().nullable(),
    projectId: z.string().nullable(),
    requestId: z.string().nullable(),
    /** The call by its name in this document, as `setCreate`; `hostJoin` and `hostRenew` are calls of agents. */
    call: z.string(),
    resource: z.object({
      kind: z.string(),
      id: z.string().nullable(),
      name: z.string().nullable(),
    }),
    outcome: z.enum(['done', 'refused']),
    /** Of the error that refused it. */
    code: z.string().nullable(),
    note: z.string().nullable(),
    /** Above 1: of a flood of refusals this many more were counted and not told one by one. */
    count: z.int(),
    /** SHA-256 over the rows that it touched, secrets left out; null where there were none. */
    beforeSha256: z.string().nullable(),
    afterSha256: z.string().nullable(),
  })
  .meta({ id: 'AuditEntry' })
export type AuditEntry = z.infer<typeof auditEntry>

export const auditRoutes = {
  auditList: defineRoute({
    method: 'GET',
    path: '/v1/audit',
    summary:
      'Lists who changed what or was refused, the newest first (operators without a project: everything).',
    access: 'owner',
    query: z.strictObject({
      project: nameOrId.optional(),
      sinceMs: z.coerce.number().int().nonnegative().optional(),
      /** Not including this moment. */
      untilMs: z.coerce.number().int().nonnegative().optional(),
      /** Name of an account or token, or `system:place` and the like. */
      actor: z.string().min(1).max(100).optional(),
      /** Id or name of what was changed. */
      resource: nameOrId.optional(),
      outcome: z.enum(['done', 'refused']).optional(),
      limit: z.coerce.number().int().min(1).max(AUDIT_PAGE_MAX).default(100),
      cursor: id.optional(),
    }),
    reply: z.object({ items: z.array(auditEntry), cursor: z.string().nullable() }),
    status: 200,
  }),
}
