import { isUuid, newId, PlatformError, type Clock, type ProjectId, type Random } from '@nubo/base'
import type { Route } from '@nubo/contracts'
import { violatedConstraint } from '@nubo/runtime'
import type { ProjectRow, Recorder, Selection, TokenRow, World } from '../../world/index.ts'
import { ownProjects, roleIn } from './access.ts'
import { accountCalls, findAccount } from './accounts.ts'
import { mayAct, maySee, type Caller } from './caller.ts'
import { nameTaken } from './names.ts'
import { deleteProject, insertProject, insertToken, revokeToken } from './store.ts'
import { isTokenValid, newSecret, secretSha256 } from './token.ts'

export const DEFAULT_PROJECT_NAME = 'default'
export const DEFAULT_ACCOUNT_NAME = 'default'

export interface IdentityDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly clock: Clock
  readonly random: Random
}

export type IdentityService = ReturnType<typeof createIdentityService>

export function createIdentityService(deps: IdentityDeps) {
  const { world, recorder, clock, random } = deps

  function tokenOfSecret(secret: string | undefined): TokenRow {
    const token =
      secret === undefined ? undefined : world.token.by('secret', secretSha256(secret))[0]
    if (token === undefined || !isTokenValid(token, clock.nowMs())) {
      throw new PlatformError('UNAUTHENTICATED', { next: 'log in with `nubo login`' })
    }
    return token
  }

  /** A project that this token may see, by id or name; NOT_FOUND otherwise, whether it exists or not. */
  function findProject(token: TokenRow, nameOrId: string): ProjectRow {
    const project = isUuid(nameOrId)
      ? world.project.get(nameOrId)
      : world.project.by('name', nameOrId)[0]
    if (project === undefined || roleIn(world, token, project.id) === undefined) {
      throw new PlatformError('NOT_FOUND', { kind: 'project', project: nameOrId })
    }
    return project
  }

  return {
    findProject,
    tokenOf: callerToken,

    visibleProjects: (caller: Caller): Selection<ProjectRow> => {
      const token = callerToken(caller)
      return {
        rows: (range) => world.project.in(range),
        where: (_world, project) => roleIn(world, token, project.id) !== undefined,
      }
    },

    /** Operators see all tokens unless they ask for one project. */
    visibleTokens: (caller: Caller, oneProject: boolean): Selection<TokenRow> => ({
      rows: (range) => world.token.in(range),
      where: (_world, token) =>
        (caller.role === 'operator' && !oneProject) || token.projectId === caller.project,
    }),

    /** Checks token, role and project of a call before its handler runs. */
    authorize: async (call: {
      route: Route
      token: string | undefined
      query: unknown
    }): Promise<Caller> => {
      const token = tokenOfSecret(call.token)
      const { access } = call.route
      const asked = projectAsked(call.query)
      const isProjectCall = access === 'viewer' || access === 'member' || access === 'owner'
      const project =
        asked === undefined ? ownProject(token, isProjectCall) : findProject(token, asked)
      const caller = callerOf(token, project?.id)
      if (asked !== undefined || isProjectCall)
        requireRole(caller.role, access === 'public' || access === 'token' ? 'viewer' : access)
      else if (access === 'operator') requireRole(caller.role, 'operator')
      return caller
    },

    /** Whose secret this is or was, valid or not; for the audit of refusals. */
    whoTried: (secret: string | undefined): TokenRow | undefined =>
      secret === undefined ? undefined : world.token.by('secret', secretSha256(secret))[0],

    /** Whether a caller may still do what needs this role; by default what it could when it came. */
    isStillAllowed: (caller: Caller, needed: TokenRow['role'] = caller.role): boolean => {
      const token = world.token.get(caller.tokenId)
      if (token === undefined || !isTokenValid(token, clock.nowMs())) return false
      if (caller.project === undefined) return true
      const role = roleIn(world, token, caller.project)
      return role !== undefined && mayAct(role, needed)
    },

    ...accountCalls(deps),

    /** Of the account that is named, else of the one that the region began with. */
    createProject: async (name: string, accountNameOrId?: string): Promise<ProjectRow> => {
      const account = findAccount(world, accountNameOrId ?? DEFAULT_ACCOUNT_NAME)
      const row: ProjectRow = {
        id: newId(clock, random),
        accountId: account.id,
        name,
        createdAtMs: clock.nowMs(),
      }
      await recorder
        .write((tx, touched) => insertProject(tx, touched, row))
        .catch(nameTaken('project', name))
      return row
    },

    removeProject: async (caller: Caller, nameOrId: string): Promise<ProjectRow> => {
      const project = findProject(callerToken(caller), nameOrId)
      await recorder
        .write((tx, touched) => deleteProject(tx, touched, project))
        .catch((error: unknown) => {
          if (violatedConstraint(error) === undefined) throw error
          throw new PlatformError(
            'IN_USE',
            {
              project: project.name,
              next: 'remove its sets, ports, subnets, networks and images first',
            },
            { message: `Project ${project.name} is not empty.`, cause: error },
          )
        })
      return project
    },

    createToken: async (
      caller: Caller,
      asked: TokenAsked,
    ): Promise<{ row: TokenRow; secret: string }> => {
      const scope = scopeOfToken(caller, asked)
      const secret = newSecret(random)
      const nowMs = clock.nowMs()
      const row: TokenRow = {
        id: newId(clock, random),
        name: asked.name,
        ...scope,
        secretSha256: secretSha256(secret),
        createdAtMs: nowMs,
        expiresAtMs:
          asked.expiresInSeconds === undefined ? null : nowMs + asked.expiresInSeconds * 1_000,
        revokedAtMs: null,
      }
      await recorder
        .write((tx, touched) => insertToken(tx, touched, row))
        .catch(nameTaken('token', asked.name))
      return { row, secret }
    },

    /** Idempotent. Names of tokens are not unique: a name that several bear must be given as an id. */
    revokeToken: async (caller: Caller, nameOrId: string): Promise<TokenRow> => {
      const visible = [...world.token.values()].filter(
        (token) =>
          maySee(caller, token) ||
          caller.role === 'operator' ||
          (token.accountId !== null && token.accountId === caller.accountId),
      )
      const found = visible.filter(
        (token) => token.id === nameOrId || (token.name === nameOrId && token.revokedAtMs === null),
      )
      const token = found[0]
      if (token === undefined)
        throw new PlatformError('NOT_FOUND', { kind: 'token', token: nameOrId })
      if (found.length > 1)
        throw new PlatformError(
          'INVALID_INPUT',
          { field: 'id', next: 'use the id; see `nubo token ls`' },
          { message: `${found.length} tokens are called ${nameOrId}.` },
        )
      await recorder.write((tx, touched) =>
        revokeToken(tx, touched, { id: token.id, atMs: clock.nowMs() }),
      )
      return world.token.get(token.id) ?? token
    },
  }

  function callerToken(caller: Caller): TokenRow {
    const token = world.token.get(caller.tokenId)
    if (token === undefined) throw new PlatformError('UNAUTHENTICATED')
    return token
  }

  /** What a token without a project in the call means; undefined for calls that need none. */
  function ownProject(token: TokenRow, isNeeded: boolean): ProjectRow | undefined {
    const [only, ...others] = ownProjects(world, token, DEFAULT_PROJECT_NAME)
    if (only !== undefined && others.length === 0) return only
    if (!isNeeded || token.role === 'operator') return undefined
    if (only === undefined)
      throw new PlatformError(
        'NOT_FOUND',
        { kind: 'project', next: 'ask an owner of the project to make the account a member' },
        { message: 'The account of this token is a member of no project.' },
      )
    const names = [only, ...others].map(({ name }) => name).toSorted()
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'project', next: `name a project with --project: ${names.slice(0, 20).join(', ')}` },
      { message: 'This call needs a project.' },
    )
  }

  function callerOf(token: TokenRow, project: ProjectId | undefined): Caller {
    const role = project === undefined ? undefined : roleIn(world, token, project)
    return {
      tokenId: token.id,
      tokenName: token.name,
      accountId: token.accountId,
      // Outside of all projects an account may look at what is its own.
      role: role ?? (token.accountId === null || token.role === 'operator' ? token.role : 'viewer'),
      project,
    }
  }

  /**
   * Where a new token may act, and as what: nothing that its maker could not do there. What the token of an account
   * makes belongs to that account too, so that it ends with the membership.
   */
  function scopeOfToken(
    caller: Caller,
    asked: TokenAsked,
  ): Pick<TokenRow, 'role' | 'projectId' | 'accountId'> {
    const own = callerToken(caller)
    const isOperator = own.role === 'operator'
    const account = asked.account === undefined ? undefined : findAccount(world, asked.account)
    if (account !== undefined && !isOperator && account.id !== own.accountId)
      throw new PlatformError('NOT_FOUND', { kind: 'account', account: asked.account })
    const role = asked.role ?? (account === undefined ? 'member' : 'owner')
    const isUnbound = account !== undefined && asked.project === undefined && own.projectId === null
    const project =
      isUnbound || (role === 'operator' && asked.project === undefined)
        ? undefined
        : asked.project === undefined
          ? (world.project.get(caller.project) ?? ownProject(own, true))
          : findProject(own, asked.project)
    // Of one without a project its own role is the limit, else what it is in that project.
    const most = project === undefined ? own.role : (roleIn(world, own, project.id) ?? 'viewer')
    if (!mayAct(most, 'owner') || !mayAct(most, role)) {
      throw new PlatformError(
        'FORBIDDEN',
        { field: 'role', limit: most },
        { message: `A token of role ${most} cannot make one of role ${role}.` },
      )
    }
    if (project === undefined && role !== 'operator' && account === undefined) {
      throw new PlatformError(
        'INVALID_INPUT',
        { field: 'project', next: 'name a project with --project' },
        { message: `A token of role ${role} needs a project.` },
      )
    }
    return {
      role,
      projectId: project?.id ?? null,
      accountId: account?.id ?? (isOperator ? null : own.accountId),
    }
  }
}

interface TokenAsked {
  name: string
  project?: string | undefined
  account?: string | undefined
  role?: TokenRow['role'] | undefined
  expiresInSeconds?: number | undefined
}

function requireRole(role: TokenRow['role'], needed: TokenRow['role']): void {
  if (mayAct(role, needed)) return
  throw new PlatformError(
    'FORBIDDEN',
    { role, needed },
    { message: `This needs the role ${needed}; the token has ${role}.` },
  )
}

function projectAsked(query: unknown): string | undefined {
  if (typeof query !== 'object' || query === null || !('project' in query)) return undefined
  return typeof query.project === 'string' ? query.project : undefined
}
