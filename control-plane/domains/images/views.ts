import type { Image } from '@nubo/contracts'
import type { ImageRow, WorldReader } from '../../world/index.ts'

export function imageView(world: WorldReader, row: ImageRow): Image {
  return { ...row, command: [...row.command], usedBy: world.set.countBy('image', row.id) }
}
