import {
  isUuid,
  newId,
  PlatformError,
  type Clock,
  type HostId,
  type ProjectId,
  type Random,
} from '@nubo/base'
import type { SetCreate } from '@nubo/contracts'
import type { SetRow, World } from '../../world/index.ts'
import { checkSet, recordedContainers } from './admission.ts'
import type { ImageResolver } from './needs.ts'

/** A set as it would be recorded anew. INVALID_INPUT, or NOT_FOUND for an image or a host. */
export function draftSet(
  deps: { world: World; clock: Clock; random: Random; images: ImageResolver },
  project: ProjectId,
  asked: SetCreate,
): SetRow {
  const { world, clock, random, images } = deps
  checkSet(asked)
  return {
    id: newId(clock, random),
    projectId: project,
    name: asked.name,
    wanted: 'running',
    generation: 1,
    restartCount: 0,
    recovery: asked.recovery,
    cpuMillis: asked.cpuMillis,
    memoryBytes: asked.memoryBytes,
    labels: asked.labels,
    containers: recordedContainers(asked, (image) => images.resolve(project, image)),
    placementRule: {
      hostId: findRuledHost(world, asked.placement.host),
      spread: asked.placement.spread,
      hostLabels: asked.placement.hostLabels,
    },
    hostId: null,
    epoch: 0,
    placement: null,
    moved: null,
    createdAtMs: clock.nowMs(),
  }
}

function findRuledHost(world: World, nameOrId: string | undefined): HostId | null {
  if (nameOrId === undefined) return null
  const host = isUuid(nameOrId) ? world.host.get(nameOrId) : world.host.by('name', nameOrId)[0]
  if (host === undefined)
    throw new PlatformError(
      'NOT_FOUND',
      { kind: 'host', host: nameOrId },
      { message: `There is no host ${nameOrId}.` },
    )
  return host.id
}
