import type { CallerBinding } from '../identity/index.ts'
import { createMembership, type Membership, type MembershipDeps } from './membership.ts'
import type { BrakeLimits } from './brake.ts'
import { createFencing, type Fencing, type FencingDeps } from './fencing.ts'
import type { NeighbourProbes } from './needs.ts'
import { createPresence, type Presence } from './presence.ts'
import { createFenceReconciler, type FenceReconciler } from './reconcilers/fence.ts'
import { createLivenessReconciler, type LivenessReconciler } from './reconcilers/liveness.ts'
import { fleetBindings } from './routes.ts'
import { createFleetService, type FleetService, type ServiceDeps } from './service.ts'

export type FleetDeps = ServiceDeps &
  MembershipDeps &
  FencingDeps & { readonly probes: NeighbourProbes; readonly brakeLimits: BrakeLimits }

export interface Fleet {
  readonly service: FleetService
  readonly fencing: Fencing
  readonly membership: Membership
  readonly presence: Presence
  readonly bindings: readonly CallerBinding[]
  /** For the process that leads; a fresh one for each time it comes to lead. */
  newLivenessReconciler(): LivenessReconciler
  /** Beside the same leader's liveness reconciler. `onNews`: a pass now would know more than the last one. */
  newFenceReconciler(beside: { liveness: LivenessReconciler; onNews: () => void }): FenceReconciler
}

/** Call `presence.start()` before the first session, `presence.stop()` after the last. */
export function createFleet(deps: FleetDeps): Fleet {
  const service = createFleetService(deps)
  const fencing = createFencing(deps, service.find)
  return {
    service,
    fencing,
    membership: createMembership(deps),
    presence: createPresence(deps),
    bindings: fleetBindings({ fleet: service, fencing, world: deps.world }),
    newLivenessReconciler: () => createLivenessReconciler(deps),
    newFenceReconciler: (beside) => createFenceReconciler(deps, beside),
  }
}
