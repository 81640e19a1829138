export { type HostCertificate } from './certificate-line.ts'
export { createFleet, type Fleet, type FleetDeps } from './fleet.ts'
export { BRAKE_LIMITS_DEFAULT, type BrakeLimits } from './brake.ts'
export { type Fencing } from './fencing.ts'
export { brakeView, hostView } from './host.ts'
export {
  type CertificateAuthority,
  type Evacuation,
  type NeighbourProbes,
  type PowerControl,
  type PoweredHost,
  type PowerReading,
  type IssuedCertificate,
  type KeyedCertificate,
} from './needs.ts'
export { noPowerControl } from './no-power-control.ts'
export { type Presence } from './presence.ts'
export { type FenceReconciler } from './reconcilers/fence.ts'
export { type LivenessReconciler } from './reconcilers/liveness.ts'
export { createSecretStore, SEALING_KEY_BYTES, type SecretStore } from './secrets.ts'
export { type Membership } from './membership.ts'
export { lockHost, setCordoned, setDrain, setMaintenance } from './store.ts'
export { type FleetService } from './service.ts'
