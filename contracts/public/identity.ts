import { z } from 'zod'
import { id, idParams, listOf, listQuery, name, nameOrId, timeMs } from './common.ts'
import { defineRoute } from './route.ts'

export const role = z.enum(['viewer', 'member', 'owner'])
export type Role = z.infer<typeof role>

export const project = z
  .object({ id, name, accountId: id, createdAtMs: timeMs })
  .meta({ id: 'Project' })
export type Project = z.infer<typeof project>

export const token = z
  .object({
    id,
    name,
    /** 'operator' rules the region; the others are roles on `projectId`. */
    role: z.enum(['viewer', 'member', 'owner', 'operator']),
    projectId: id.nullable(),
    createdAtMs: timeMs,
    expiresAtMs: timeMs.nullable(),
    revokedAtMs: timeMs.nullable(),
  })
  .meta({ id: 'Token' })
export type Token = z.infer<typeof token>

export const whoAmI = z
  .object({
    token,
    project: project.nullable(),
    region: z.string(),
    serverName: z.string(),
    version: z.string(),
  })
  .meta({ id: 'WhoAmI' })
export type WhoAmI = z.infer<typeof whoAmI>

export const tokenCreated = token.extend({ secret: z.string() }).meta({ id: 'TokenCreated' })

export const identityRoutes = {
  whoAmI: defineRoute({
    method: 'GET',
    path: '/v1/whoami',
    summary: 'Tells whose token this is, its default project, and which server answers.',
    access: 'token',
    reply: whoAmI,
    status: 200,
  }),
  projectCreate: defineRoute({
    method: 'POST',
    path: '/v1/projects',
    summary: 'Creates a project.',
    access: 'operator',
    body: z.strictObject({ name }),
    reply: project,
    status: 200,
  }),
  projectList: defineRoute({
    method: 'GET',
    path: '/v1/projects',
    summary: 'Lists the projects that this token may see.',
    access: 'token',
    query: z.strictObject(listQuery),
    reply: listOf(project),
    status: 200,
  }),
  projectRemove: defineRoute({
    method: 'DELETE',
    path: '/v1/projects/:id',
    summary: 'Removes an empty project and its tokens.',
    access: 'operator',
    params: idParams,
    reply: project,
    status: 200,
  }),
  tokenCreate: defineRoute({
    method: 'POST',
    path: '/v1/tokens',
    summary: 'Creates a token; its secret is shown only here.',
    access: 'owner',
    body: z.strictObject({
      name,
      project: nameOrId.optional(),
      role: z.enum(['viewer', 'member', 'owner', 'operator']).default('member'),
      expiresInSeconds: z
        .int()
        .min(60)
        .max(10 * 365 * 86_400)
        .optional(),
    }),
    reply: tokenCreated,
    status: 200,
  }),
  tokenList: defineRoute({
    method: 'GET',
    path: '/v1/tokens',
    summary: 'Lists tokens of a project (operators without a project: all).',
    access: 'owner',
    query: z.strictObject({ project: nameOrId.optional(), ...listQuery }),
    reply: listOf(token),
    status: 200,
  }),
  tokenRevoke: defineRoute({
    method: 'DELETE',
    path: '/v1/tokens/:id',
    summary: 'Revokes a token; streams that it opened end.',
    access: 'owner',
    params: idParams,
    query: z.strictObject({ project: nameOrId.optional() }),
    reply: token,
    status: 200,
  }),
}
