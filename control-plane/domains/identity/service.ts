import { isUuid, newId, PlatformError, type Clock, type Random, type TokenId } from '@nubo/base'
import type { Route } from '@nubo/contracts'
import { violatedConstraint } from '@nubo/runtime'
import type { ProjectRow, Recorder, TokenRow, World } from '../../world/index.ts'
import { mayAct, maySee, type Caller } from './caller.ts'
import { deleteProject, insertProject, insertToken, revokeToken } from './store.ts'
import { isTokenValid, newSecret, secretSha256 } from './token.ts'

export const DEFAULT_PROJECT_NAME = 'default'

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
    if (project === undefined || (token.role !== 'operator' && token.projectId !== project.id)) {
      throw new PlatformError('NOT_FOUND', { kind: 'project', project: nameOrId })
    }
    return project
  }

  return {
    findProject,
    tokenOf: callerToken,

    visibleProjects: (caller: Caller): ProjectRow[] =>
      [...world.project.values()].filter(
        (project) => caller.role === 'operator' || project.id === caller.project,
      ),

    /** Operators see all tokens unless they ask for one project. */
    visibleTokens: (caller: Caller, oneProject: boolean): TokenRow[] =>
      [...world.token.values()].filter(
        (token) =>
          (caller.role === 'operator' && !oneProject) || token.projectId === caller.project,
      ),

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
      if (asked !== undefined || isProjectCall) {
        const project = asked === undefined ? ownProject(token) : findProject(token, asked)
        requireRole(token, access === 'public' || access === 'token' ? 'viewer' : access)
        return { tokenId: token.id, tokenName: token.name, role: token.role, project: project?.id }
      }
      if (access === 'operator') requireRole(token, 'operator')
      return {
        tokenId: token.id,
        tokenName: token.name,
        role: token.role,
        project: ownProject(token)?.id,
      }
    },

    isTokenStillValid: (tokenId: TokenId): boolean => {
      const token = world.token.get(tokenId)
      return token !== undefined && isTokenValid(token, clock.nowMs())
    },

    createProject: async (name: string): Promise<ProjectRow> => {
      const account = [...world.account.values()][0]
      if (account === undefined) throw new Error('the region has no account')
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
      asked: {
        name: string
        project?: string | undefined
        role: TokenRow['role']
        expiresInSeconds?: number | undefined
      },
    ): Promise<{ row: TokenRow; secret: string }> => {
      const own = callerToken(caller)
      if (!mayAct(own.role, asked.role)) {
        throw new PlatformError(
          'FORBIDDEN',
          { field: 'role', limit: own.role },
          { message: `A token of role ${own.role} cannot make one of role ${asked.role}.` },
        )
      }
      const project =
        asked.project === undefined
          ? asked.role === 'operator'
            ? undefined
            : ownProject(own)
          : findProject(own, asked.project)
      if (project === undefined && asked.role !== 'operator') {
        throw new PlatformError(
          'INVALID_INPUT',
          { field: 'project', next: 'name a project with --project' },
          { message: `A token of role ${asked.role} needs a project.` },
        )
      }
      const secret = newSecret(random)
      const nowMs = clock.nowMs()
      const row: TokenRow = {
        id: newId(clock, random),
        name: asked.name,
        role: asked.role,
        projectId: project?.id ?? null,
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
        (token) => maySee(caller, token) || caller.role === 'operator',
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

  function ownProject(token: TokenRow): ProjectRow | undefined {
    return token.projectId === null
      ? world.project.by('name', DEFAULT_PROJECT_NAME)[0]
      : world.project.get(token.projectId)
  }
}

function requireRole(token: TokenRow, needed: 'viewer' | 'member' | 'owner' | 'operator'): void {
  if (mayAct(token.role, needed)) return
  throw new PlatformError(
    'FORBIDDEN',
    { role: token.role, needed },
    { message: `This needs the role ${needed}; the token has ${token.role}.` },
  )
}

function projectAsked(query: unknown): string | undefined {
  if (typeof query !== 'object' || query === null || !('project' in query)) return undefined
  return typeof query.project === 'string' ? query.project : undefined
}

/**
 * For `.catch` of a creation: a violated unique name becomes NAME_TAKEN, a reference to something that was removed
 * meanwhile NOT_FOUND; anything else stays.
 */
export function nameTaken(kind: string, name: string): (error: unknown) => never {
  return (error) => {
    const constraint = violatedConstraint(error)
    if (constraint?.endsWith('_fkey') === true) {
      throw new PlatformError(
        'NOT_FOUND',
        { kind, name, next: 'look again: something that it refers to was removed meanwhile' },
        { cause: error },
      )
    }
    if (constraint?.endsWith('_name') !== true) throw error
    throw new PlatformError(
      'NAME_TAKEN',
      { field: 'name', kind, name, next: 'choose another name' },
      { message: `A ${kind} called ${name} exists already.`, cause: error },
    )
  }
}
