export { type HostCertificate } from './certificate-line.ts'
export { createFleet, type Fleet, type FleetDeps } from './fleet.ts'
export { hostView } from './host.ts'
export {
  type CertificateAuthority,
  type IssuedCertificate,
  type KeyedCertificate,
} from './needs.ts'
export { type Presence } from './presence.ts'
export { type LivenessReconciler } from './reconcilers/liveness.ts'
export { createSecretStore, SEALING_KEY_BYTES, type SecretStore } from './secrets.ts'
export { type Membership } from './membership.ts'
export { type FleetService } from './service.ts'
