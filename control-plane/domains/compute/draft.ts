import { newId, type Clock, type ProjectId, type Random } from '@nubo/base'
import type { SetCreate } from '@nubo/contracts'
import type { SetRow, World } from '../../world/index.ts'
import { checkSet, recordedContainers } from './admission.ts'
import type { ImageResolver } from './needs.ts'
import { placementRuleOf } from './placement-answer.ts'

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
