import { api } from '@nubo/contracts'
import { page, type BrakeRow, type HostRow, type World } from '../../world/index.ts'
import { route, type CallerBinding } from '../identity/index.ts'
import { operationView } from '../operations/index.ts'
import type { Fencing } from './fencing.ts'
import { brakeView, hostView } from './host.ts'
import type { FleetService } from './service.ts'

export function fleetBindings(deps: {
  fleet: FleetService
  fencing: Fencing
  world: World
}): CallerBinding[] {
  const { fleet, fencing, world } = deps
  const view = (row: HostRow) => hostView(world, row)
  return [
    route(api.hostInvite, async ({ body }) => {
      const { row, token, expiresAtMs } = await fleet.invite(body)
      return { host: view(row), token, expiresAtMs }
    }),
    route(api.hostList, (input) =>
      page(world, input, { rows: (range) => world.host.in(range), view: hostView }),
    ),
    route(api.hostShow, async ({ params }) => view(fleet.find(params.id))),
    route(api.hostCordon, async ({ params }) => view(await fleet.cordon(params.id, true))),
    route(api.hostUncordon, async ({ params }) => view(await fleet.cordon(params.id, false))),
    route(api.hostFence, async ({ params, body }) =>
      operationView(await fencing.fence(params.id, body)),
    ),
    route(api.hostPowerSet, async ({ params, body }) =>
      view(await fencing.setPower(params.id, body)),
    ),
    route(api.hostPowerShow, ({ params }) => fencing.showPower(params.id)),
    route(api.hostPowerClear, async ({ params }) => view(await fencing.clearPower(params.id))),
    route(api.brakeList, (input) =>
      page(world, input, {
        rows: (range) => world.brake.in(range),
        view: (_world, row: BrakeRow) => brakeView(row),
      }),
    ),
    route(api.hostRemove, async ({ params }) => view(await fleet.remove(params.id))),
  ]
}
