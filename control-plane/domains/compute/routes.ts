import { api } from '@nubo/contracts'
import { page, type World } from '../../world/index.ts'
import { hostView } from '../fleet/index.ts'
import { projectOf, route, type CallerBinding } from '../identity/index.ts'
import { operationView } from '../operations/index.ts'
import type { HostDrains } from './host-drains.ts'
import type { ComputeService } from './service.ts'
import { encodedSet } from './set-view.ts'
import { vmView } from './vm-view.ts'

export function computeBindings({
  compute,
  drains,
  world,
}: {
  compute: ComputeService
  drains: HostDrains
  world: World
}): CallerBinding[] {
  return [
    route(api.setCreate, async ({ caller, body }) =>
      operationView(await compute.createSet(caller, body)),
    ),
    route(api.setList, (input) =>
      page(world, input, {
        ...compute.listSets(input.caller, input.query),
        view: encodedSet,
      }),
    ),
    route(api.setShow, async ({ caller, params }) =>
      encodedSet(world, compute.findSet(projectOf(caller), params.id)),
    ),
    route(api.setUpdate, async ({ caller, params, body, ifMatch }) =>
      operationView(await compute.updateSet(caller, params.id, body, { ifMatch })),
    ),
    route(api.placeDryRun, ({ caller, body, query }) => compute.placeDryRun(caller, body, query)),
    route(api.setPlacement, ({ caller, params, query }) =>
      compute.explainSet(caller, params.id, query),
    ),
    route(api.setStart, async ({ caller, params }) =>
      operationView(await compute.startSet(caller, params.id)),
    ),
    route(api.setStop, async ({ caller, params }) =>
      operationView(await compute.stopSet(caller, params.id)),
    ),
    route(api.setRestart, async ({ caller, params }) =>
      operationView(await compute.restartSet(caller, params.id)),
    ),
    route(api.setRemove, async ({ caller, params }) =>
      operationView(await compute.removeSet(caller, params.id)),
    ),
    ...vmBindings({ compute, world }),
    route(api.hostDrain, async ({ params }) => operationView(await drains.drain(params.id))),
    route(api.hostMaintenanceBegin, async ({ params }) =>
      operationView(await drains.beginMaintenance(params.id)),
    ),
    route(api.hostMaintenanceEnd, async ({ params }) =>
      hostView(world, await drains.endMaintenance(params.id)),
    ),
    route(api.setExec, async ({ caller, params, body }) =>
      compute.openExec(caller, params.id, body),
    ),
    route(api.setLogs, async ({ caller, params, body }) =>
      compute.openLogs(caller, params.id, body),
    ),
  ]
}

function vmBindings({
  compute,
  world,
}: {
  compute: ComputeService
  world: World
}): CallerBinding[] {
  return [
    route(api.vmCreate, async ({ caller, body }) =>
      operationView(await compute.createVm(caller, body)),
    ),
    route(api.vmList, (input) =>
      page(world, input, { ...compute.listVms(input.caller, input.query), view: vmView }),
    ),
    route(api.vmShow, async ({ caller, params }) =>
      vmView(world, compute.findVm(projectOf(caller), params.id)),
    ),
    route(api.vmStart, async ({ caller, params }) =>
      operationView(await compute.startVm(caller, params.id)),
    ),
    route(api.vmStop, async ({ caller, params, body }) =>
      operationView(await compute.stopVm(caller, params.id, body)),
    ),
    route(api.vmRestart, async ({ caller, params }) =>
      operationView(await compute.restartVm(caller, params.id)),
    ),
    route(api.vmPause, async ({ caller, params }) =>
      operationView(await compute.pauseVm(caller, params.id)),
    ),
    route(api.vmResume, async ({ caller, params }) =>
      operationView(await compute.resumeVm(caller, params.id)),
    ),
    route(api.vmRemove, async ({ caller, params }) =>
      operationView(await compute.removeVm(caller, params.id)),
    ),
  ]
}
