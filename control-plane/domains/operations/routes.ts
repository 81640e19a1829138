import { api } from '@nubo/contracts'
import { page, type World } from '../../world/index.ts'
import { route, type CallerBinding } from '../identity/index.ts'
import { operationView } from './operation.ts'
import type { OperationService } from './service.ts'

export function operationBindings({
  operations,
  world,
}: {
  operations: OperationService
  world: World
}): CallerBinding[] {
  return [
    route(api.operationList, (input) =>
      page(world, input, {
        ...operations.list(input.caller, input.query.state),
        view: (_world, row) => operationView(row),
        newestFirst: true,
      }),
    ),
    route(api.operationShow, async ({ caller, params, query, signal }) =>
      operationView(await operations.wait(caller, params.id, { waitMs: query.waitMs, signal })),
    ),
    route(api.operationCancel, async ({ caller, params }) =>
      operationView(await operations.cancel(caller, params.id)),
    ),
  ]
}
