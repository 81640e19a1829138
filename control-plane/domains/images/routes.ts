import { api } from '@nubo/contracts'
import { page, type World } from '../../world/index.ts'
import { projectOf, route, type CallerBinding } from '../identity/index.ts'
import type { ImageService } from './service.ts'
import { imageView } from './views.ts'

export function imageBindings({
  images,
  world,
}: {
  images: ImageService
  world: World
}): CallerBinding[] {
  return [
    route(api.imageImport, async ({ caller, query, upload, signal }) =>
      imageView(world, await images.importImage(caller, query, { body: upload, signal })),
    ),
    route(api.imageList, (input) =>
      page(world, input, {
        rows: (range) => world.image.byIn('project', projectOf(input.caller), range),
        view: imageView,
      }),
    ),
    route(api.imageShow, async ({ caller, params }) =>
      imageView(world, images.findImage(projectOf(caller), params.id)),
    ),
    route(api.imageRemove, async ({ caller, params }) =>
      imageView(world, await images.removeImage(caller, params.id)),
    ),
  ]
}
