import { api } from '@nubo/contracts'
import { page, type World } from '../../world/index.ts'
import { route, type CallerBinding } from './route.ts'
import type { IdentityService } from './service.ts'
import { tokenView } from './token.ts'

export function identityBindings(deps: {
  identity: IdentityService
  world: World
  about: { region: string; serverName: string; version: string }
}): CallerBinding[] {
  const { identity, world } = deps
  return [
    route(api.whoAmI, async ({ caller }) => ({
      token: tokenView(identity.tokenOf(caller)),
      project: world.project.get(caller.project) ?? null,
      ...deps.about,
    })),
    route(api.projectCreate, ({ body }) => identity.createProject(body.name)),
    route(api.projectList, ({ caller, query }) =>
      page(world, query, {
        rows: () => identity.visibleProjects(caller),
        view: (project) => project,
      }),
    ),
    route(api.projectRemove, ({ caller, params }) => identity.removeProject(caller, params.id)),
    route(api.tokenCreate, async ({ caller, body }) => {
      const { row, secret } = await identity.createToken(caller, body)
      return { ...tokenView(row), secret }
    }),
    route(api.tokenList, ({ caller, query }) =>
      page(world, query, {
        rows: () => identity.visibleTokens(caller, query.project !== undefined),
        view: tokenView,
      }),
    ),
    route(api.tokenRevoke, async ({ caller, params }) =>
      tokenView(await identity.revokeToken(caller, params.id)),
    ),
  ]
}
