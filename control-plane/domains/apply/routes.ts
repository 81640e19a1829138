import { api } from '@nubo/contracts'
import { route, type CallerBinding } from '../identity/index.ts'
import { operationView } from '../operations/index.ts'
import type { ApplyService } from './service.ts'

export function applyBindings({ applies }: { applies: ApplyService }): CallerBinding[] {
  return [
    route(api.planCreate, ({ caller, body }) => applies.plan(caller, body)),
    route(api.applyCreate, async ({ caller, body }) =>
      operationView(await applies.apply(caller, body)),
    ),
    route(api.applyShow, ({ caller, params }) => applies.show(caller, params.id)),
  ]
}
