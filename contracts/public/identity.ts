import { z } from 'zod'
import { id, idParams, inProject, listOf, listQuery, name, nameOrId, timeMs } from './common.ts'
import { defineRoute } from './route.ts'

export const role = z.enum(['viewer', 'member', 'owner'])
export type Role = z.infer<typeof role>

export const account = z.object({ id, name, createdAtMs: timeMs }).meta({ id: 'Account' })
export type Account = z.infer<typeof account>

/** An account in a project; `account` is its name. */
export const member = z
  .object({ id, projectId: id, accountId: id, account: name, role, createdAtMs: timeMs })
  .meta({ id: 'Member' })
export type Member = z.infer<typeof member>

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
    /** Then it acts where this account is a member, with the lower of the two roles. Servers before accounts do not say. */
    accountId: id.nullable().default(null),
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
    body: z.strictObject({ name, account: nameOrId.optional() }),
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
    form: 'list',
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
    query: z.strictObject(inProject),
    body: z.strictObject({
      name,
      /** If absent, that of the call. */
      project: nameOrId.optional(),
      /** A token of this account: it acts in every project where the account is a member. */
      account: nameOrId.optional(),
      /** 'member' if absent; for a token of an account 'owner', which leaves it to the memberships. */
      role: z.enum(['viewer', 'member', 'owner', 'operator']).optional(),
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
    form: 'list',
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
  accountCreate: defineRoute({
    method: 'POST',
    path: '/v1/accounts',
    summary: 'Creates an account: somebody who acts, with tokens of its own.',
    access: 'operator',
    body: z.strictObject({ name }),
    reply: account,
    status: 200,
  }),
  accountList: defineRoute({
    method: 'GET',
    path: '/v1/accounts',
    summary: 'Lists accounts.',
    access: 'operator',
    query: z.strictObject(listQuery),
    reply: listOf(account),
    status: 200,
    form: 'list',
  }),
  accountRemove: defineRoute({
    method: 'DELETE',
    path: '/v1/accounts/:id',
    summary: 'Removes an account that is a member of nothing and owns no project, with its tokens.',
    access: 'operator',
    params: idParams,
    reply: account,
    status: 200,
  }),
  memberList: defineRoute({
    method: 'GET',
    path: '/v1/members',
    summary: 'Lists the members of a project.',
    access: 'viewer',
    query: z.strictObject({ ...inProject, ...listQuery }),
    reply: listOf(member),
    status: 200,
    form: 'list',
  }),
  memberSet: defineRoute({
    method: 'PUT',
    path: '/v1/members/:id',
    summary:
      'Makes an account (its name or id) a member of a project, or changes its role; a lower one holds at once, for open streams too.',
    access: 'owner',
    params: idParams,
    query: z.strictObject(inProject),
    body: z.strictObject({ role }),
    reply: member,
    status: 200,
  }),
  memberRemove: defineRoute({
    method: 'DELETE',
    path: '/v1/members/:id',
    summary:
      'Ends the membership of an account (its name or id); what it has open ends. The last owner stays.',
    access: 'owner',
    params: idParams,
    query: z.strictObject(inProject),
    reply: member,
    status: 200,
  }),
}
