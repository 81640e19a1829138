import type { CallerBinding } from '../identity/index.ts'
import { createMembership, type Membership, type MembershipDeps } from './membership.ts'
import { createPresence, type Presence } from './presence.ts'
import { createLivenessReconciler, type LivenessReconciler } from './reconcilers/liveness.ts'
import { fleetBindings } from './routes.ts'
import { createFleetService, type FleetService, type ServiceDeps } from './service.ts'

export type FleetDeps = ServiceDeps & MembershipDeps

export interface Fleet {
  readonly service: FleetService
  readonly membership: Membership
  readonly presence: Presence
  readonly bindings: readonly CallerBinding[]
  /** For the process that leads; a fresh one for each time it comes to lead. */
  newLivenessReconciler(): LivenessReconciler
}

/** Call `presence.start()` before the first session, `presence.stop()` after the last. */
export function createFleet(deps: FleetDeps): Fleet {
  const service = createFleetService(deps)
  return {
    service,
    membership: createMembership(deps),
    presence: createPresence(deps),
    bindings: fleetBindings({ fleet: service, world: deps.world }),
    newLivenessReconciler: () => createLivenessReconciler(deps),
  }
}
