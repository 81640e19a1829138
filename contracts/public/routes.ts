import { auditRoutes } from './audit.ts'
import { applyRoutes } from './apply.ts'
import { hostRoutes } from './host.ts'
import { identityRoutes } from './identity.ts'
import { imageRoutes } from './image.ts'
import { networkRoutes } from './network.ts'
import { operationRoutes } from './operation.ts'
import { quotaRoutes } from './quota.ts'
import { serverRoutes } from './server.ts'
import { placeRoutes } from './place.ts'
import { setRoutes } from './set.ts'
import { vmRoutes } from './vm.ts'
import { watchRoutes } from './watch.ts'

/** Every call of the public API, by name. */
export const api = {
  ...identityRoutes,
  ...hostRoutes,
  ...networkRoutes,
  ...imageRoutes,
  ...setRoutes,
  ...vmRoutes,
  ...placeRoutes,
  ...operationRoutes,
  ...quotaRoutes,
  ...auditRoutes,
  ...serverRoutes,
  ...applyRoutes,
  ...watchRoutes,
}
export type Api = typeof api
export type RouteName = keyof Api
