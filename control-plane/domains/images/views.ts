import type { Image } from '@nubo/contracts'
import type { ImageRow, World } from '../../world/index.ts'

export function imageView(world: World, row: ImageRow): Image {
  return { ...row, command: [...row.command], usedBy: world.set.countBy('image', row.id) }
}
