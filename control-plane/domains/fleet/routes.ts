import { api } from '@nubo/contracts'
import { page, type HostRow, type World } from '../../world/index.ts'
import { route, type CallerBinding } from '../identity/index.ts'
import { hostView } from './host.ts'
import type { FleetService } from './service.ts'

export function fleetBindings(deps: { fleet: FleetService; world: World }): CallerBinding[] {
  const { fleet, world } = deps
  const view = (row: HostRow) => hostView(world, row)
  return [
    route(api.hostInvite, async ({ body }) => {
      const { row, token, expiresAtMs } = await fleet.invite(body)
      return { host: view(row), token, expiresAtMs }
    }),
    route(api.hostList, ({ query }) =>
      page(world, query, { rows: () => [...world.host.values()], view }),
    ),
    route(api.hostShow, async ({ params }) => view(fleet.find(params.id))),
    route(api.hostCordon, async ({ params }) => view(await fleet.cordon(params.id, true))),
    route(api.hostUncordon, async ({ params }) => view(await fleet.cordon(params.id, false))),
    route(api.hostRemove, async ({ params }) => view(await fleet.remove(params.id))),
  ]
}
