import { api } from '@nubo/contracts'
import { page, type World } from '../../world/index.ts'
import { projectOf, route, type CallerBinding } from '../identity/index.ts'
import type { NetworkService } from './service.ts'
import { networkView, portView, subnetView } from './views.ts'

export function networkBindings({
  network,
  world,
}: {
  network: NetworkService
  world: World
}): CallerBinding[] {
  return [
    route(api.networkCreate, async ({ caller, body }) =>
      networkView(world, await network.createNetwork(caller, body)),
    ),
    route(api.networkList, (input) =>
      page(world, input, {
        rows: (range) => world.network.byIn('project', projectOf(input.caller), range),
        view: networkView,
      }),
    ),
    route(api.networkShow, async ({ caller, params }) =>
      networkView(world, network.findNetwork(projectOf(caller), params.id)),
    ),
    route(api.networkRemove, async ({ caller, params }) =>
      networkView(world, await network.removeNetwork(caller, params.id)),
    ),
    route(api.subnetCreate, async ({ caller, body }) =>
      subnetView(world, await network.createSubnet(caller, body)),
    ),
    route(api.subnetList, (input) =>
      page(world, input, {
        ...network.listSubnets(input.caller, input.query.network),
        view: subnetView,
      }),
    ),
    route(api.subnetRemove, async ({ caller, params, query }) =>
      subnetView(world, await network.removeSubnet(caller, params.id, query.network)),
    ),
    route(api.portCreate, async ({ caller, body }) =>
      portView(world, await network.createPort(caller, body)),
    ),
    route(api.portList, (input) =>
      page(world, input, {
        ...network.listPorts(input.caller, input.query.network),
        view: portView,
      }),
    ),
    route(api.portShow, async ({ caller, params }) =>
      portView(world, network.findPort(projectOf(caller), params.id)),
    ),
    route(api.portBind, async ({ caller, params, body }) =>
      portView(world, await network.bindPortToInterface(caller, params.id, body)),
    ),
    route(api.portUnbind, async ({ caller, params }) =>
      portView(world, await network.unbindPortFromInterface(caller, params.id)),
    ),
    route(api.portRemove, async ({ caller, params }) =>
      portView(world, await network.removePort(caller, params.id)),
    ),
  ]
}
