import type { Image } from '@nubo/contracts'
import type { ImageRow, World } from '../../world/index.ts'

export function imageView(world: World, row: ImageRow): Image {
  const usedBy = world.set
    .by('project', row.projectId)
    .filter((set) => set.containers.some((container) => container.imageId === row.id)).length
  return { ...row, command: [...row.command], usedBy }
}
