import type { Image } from '@nubo/contracts'
import { instancesBy, type ImageRow, type WorldReader } from '../../world/index.ts'

export function imageView(world: WorldReader, row: ImageRow): Image {
  const { disk, ...image } = row
  return {
    ...image,
    // A row of a server that does not know the column is without it.
    kind: row.kind ?? 'container',
    diskBytes: disk?.virtualBytes || null,
    command: [...row.command],
    usedBy: instancesBy(world, 'image', row.id).length,
  }
}
