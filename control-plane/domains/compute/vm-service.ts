import { isUuid, newId, PlatformError, type Clock, type ProjectId, type Random } from '@nubo/base'
import { CPU_MILLIS_PER_VCPU, type VmCreate, type VmState } from '@nubo/contracts'
import type { OperationRow, Selection, VmMachine, VmRow, World } from '../../world/index.ts'
import { mayAct, projectOf, type Caller } from '../identity/index.ts'
import {
  changeInstance,
  createInstance,
  findInstance,
  type ChangeAsked,
  type RequestDeps,
} from './instance-requests.ts'
import type { ImageResolver, ResolvedImage } from './needs.ts'
import { placementRuleOf } from './placement-answer.ts'
import { stateOfVm } from './vm-view.ts'

/** What QEMU itself takes beside the memory of its guest: its own heap, its translated code, its buffers. */
const VM_OVERHEAD_BYTES = 128 * 2 ** 20

interface VmDeps {
  readonly world: World
  readonly clock: Clock
  readonly random: Random
  readonly images: ImageResolver
}

export function vmRequests(deps: VmDeps, requests: RequestDeps) {
  const { world } = deps

  const findVm = (project: ProjectId, nameOrId: string): VmRow =>
    findInstance(
      {
        kind: 'vm',
        byId: (id) => world.vm.get(id),
        byName: (key) => world.vm.by('name', key),
      },
      { project, nameOrId, isId: isUuid(nameOrId) },
    )

  const change = (caller: Caller, nameOrId: string, asked: ChangeAsked): Promise<OperationRow> =>
    changeInstance(requests, findVm(projectOf(caller), nameOrId), asked)

  return {
    findVm,

    /** Of the caller's project; of all projects if an operator asks for that. */
    listVms: (
      caller: Caller,
      asked: {
        host?: string | undefined
        state?: VmState | undefined
        allProjects?: 'true' | 'false' | undefined
      },
    ): Selection<VmRow> => {
      const isEverywhere = asked.allProjects === 'true' && mayAct(caller.role, 'operator')
      const project = isEverywhere ? undefined : projectOf(caller)
      const { host, state } = asked
      const hostId = host === undefined ? undefined : (world.host.by('name', host)[0]?.id ?? host)
      return {
        rows: (range) =>
          hostId !== undefined
            ? world.vm.byIn('host', hostId, range)
            : project !== undefined
              ? world.vm.byIn('project', project, range)
              : world.vm.in(range),
        where: (at, vm) =>
          (project === undefined || vm.projectId === project) &&
          (state === undefined || stateOfVm(at, vm) === state),
      }
    },

    createVm: (caller: Caller, asked: VmCreate): Promise<OperationRow> =>
      createInstance(requests, {
        row: draftVm(deps, projectOf(caller), asked),
        attachment: asked,
      }),

    startVm: (caller: Caller, nameOrId: string) =>
      change(caller, nameOrId, { verb: 'start', wanted: 'running', progress: 'starting' }),
    /** The guest is asked first, unless it is forced. */
    stopVm: (caller: Caller, nameOrId: string, { force }: { force: boolean }) =>
      change(caller, nameOrId, {
        verb: 'stop',
        wanted: force ? 'off' : 'stopped',
        progress: force ? 'switching it off' : 'asking the guest',
      }),
    restartVm: (caller: Caller, nameOrId: string) =>
      change(caller, nameOrId, { verb: 'restart', wanted: 'running', progress: 'restarting' }),
    pauseVm: (caller: Caller, nameOrId: string) =>
      change(caller, nameOrId, { verb: 'pause', wanted: 'paused', progress: 'pausing' }),
    resumeVm: (caller: Caller, nameOrId: string) =>
      change(caller, nameOrId, { verb: 'resume', wanted: 'running', progress: 'resuming' }),
    removeVm: (caller: Caller, nameOrId: string) =>
      change(caller, nameOrId, { verb: 'remove', wanted: 'removed', progress: 'removing' }),
  }
}

/** A VM as it would be recorded anew. INVALID_INPUT, or NOT_FOUND for an image or a host. */
function draftVm(
  { world, clock, random, images }: VmDeps,
  project: ProjectId,
  asked: VmCreate,
): VmRow {
  if (asked.port !== undefined && (asked.subnet !== undefined || asked.address !== undefined))
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'port' },
      { message: 'port: a port has its own subnet and address: give either the port or these' },
    )
  const image = images.resolve(project, asked.image)
  return {
    id: newId(clock, random),
    projectId: project,
    name: asked.name,
    wanted: 'running',
    generation: 1,
    restartCount: 0,
    recovery: asked.recovery,
    cpuMillis: asked.cpus * CPU_MILLIS_PER_VCPU,
    memoryBytes: asked.memoryBytes + VM_OVERHEAD_BYTES,
    labels: asked.labels,
    imageId: image.id,
    machine: machineOf(asked, image),
    placementRule: placementRuleOf(world, asked.placement),
    priority: asked.priority,
    hostId: null,
    epoch: 0,
    placement: null,
    moved: null,
    leaving: null,
    localGeneration: null,
    createdAtMs: clock.nowMs(),
  }
}

function machineOf(asked: VmCreate, image: ResolvedImage): VmMachine {
  const { disk } = image
  if (disk === null)
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'image', next: 'see the kinds of images: nubo image ls' },
      { message: `image: ${image.name} holds containers, and a VM starts from a disk or a kernel` },
    )
  const { diskBytes } = asked
  if (diskBytes !== undefined && diskBytes < disk.virtualBytes)
    throw new PlatformError(
      'INVALID_INPUT',
      { field: 'diskBytes', limit: `at least ${disk.virtualBytes}`, next: 'ask for a larger disk' },
      { message: `diskBytes: image ${image.name} needs ${disk.virtualBytes} bytes` },
    )
  const { repository, digest, name } = image
  const rootDiskBytes = diskBytes ?? (disk.virtualBytes === 0 ? null : disk.virtualBytes)
  return {
    cpus: asked.cpus,
    memoryBytes: asked.memoryBytes,
    image: { repository, digest },
    imageName: name,
    rootDiskBytes,
    boot:
      disk.commandLine === null
        ? { from: 'disk' }
        : { from: 'kernel', commandLine: disk.commandLine },
    stopTimeoutMs: asked.stopTimeoutMs,
  }
}
