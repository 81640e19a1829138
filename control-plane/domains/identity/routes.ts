import { api } from '@nubo/contracts'
import { page, type World } from '../../world/index.ts'
import { memberView } from './accounts.ts'
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
    route(api.projectCreate, ({ body }) => identity.createProject(body.name, body.account)),
    route(api.projectList, (input) =>
      page(world, input, {
        ...identity.visibleProjects(input.caller),
        view: (_world, project) => project,
      }),
    ),
    route(api.projectRemove, ({ caller, params }) => identity.removeProject(caller, params.id)),
    route(api.accountCreate, ({ body }) => identity.createAccount(body.name)),
    route(api.accountList, (input) =>
      page(world, input, { ...identity.listAccounts(), view: (_world, account) => account }),
    ),
    route(api.accountRemove, ({ params }) => identity.removeAccount(params.id)),
    route(api.memberList, (input) =>
      page(world, input, { ...identity.listMembers(input.caller), view: memberView }),
    ),
    route(api.memberSet, async ({ caller, params, body }) =>
      memberView(world, await identity.setMember(caller, params.id, body.role)),
    ),
    route(api.memberRemove, async ({ caller, params }) =>
      memberView(world, await identity.removeMember(caller, params.id)),
    ),
    route(api.tokenCreate, async ({ caller, body }) => {
      const { row, secret } = await identity.createToken(caller, body)
      return { ...tokenView(row), secret }
    }),
    route(api.tokenList, (input) =>
      page(world, input, {
        ...identity.visibleTokens(input.caller, input.query.project !== undefined),
        view: (_world, token) => tokenView(token),
      }),
    ),
    route(api.tokenRevoke, async ({ caller, params }) =>
      tokenView(await identity.revokeToken(caller, params.id)),
    ),
  ]
}
