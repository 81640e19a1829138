import type { VmState, VmView } from '@nubo/contracts'
import type { VmRow, WorldReader } from '../../world/index.ts'
import { attachmentsOf, placementView } from './instance-view.ts'
import { isFoundCurrent, standingOf } from './standing.ts'

/** What `vmView` says, without making all of the view. */
export function stateOfVm(world: WorldReader, vm: VmRow): VmState {
  const host = world.host.get(vm.hostId)
  return standingOf(vm, { host, found: world.vmFound.get(vm.id) }).state
}

export function vmView(world: WorldReader, vm: VmRow): VmView {
  const host = world.host.get(vm.hostId)
  const found = world.vmFound.get(vm.id)
  const current = isFoundCurrent(vm, found) ? found : undefined
  const { machine } = vm
  const running = current?.machine ?? null
  return {
    id: vm.id,
    projectId: vm.projectId,
    name: vm.name,
    ...standingOf(vm, { host, found }),
    host: host?.name ?? null,
    ...attachmentsOf(world, vm),
    image: machine.imageName,
    cpus: machine.cpus,
    memoryBytes: machine.memoryBytes,
    disks:
      machine.rootDiskBytes === null ? [] : [{ name: 'root', sizeBytes: machine.rootDiskBytes }],
    accelerator: running?.accelerator ?? null,
    startedAtMs: running?.startedAtMs ?? null,
    restarts: current?.restarts ?? 0,
    recovery: vm.recovery,
    priority: vm.priority,
    labels: vm.labels,
    generation: vm.generation,
    foundGeneration: current?.generation ?? 0,
    epoch: vm.epoch,
    placement: placementView(vm),
    moved: vm.moved,
    createdAtMs: vm.createdAtMs,
  }
}
