export { bootstrapRegion } from './bootstrap.ts'
export { createStreamUpgrade } from './adapters/stream-upgrade.ts'
export { HostListener } from './adapters/host-listener.ts'
export { FakePowerControl, type ControllerMood } from './adapters/fake-power-control.ts'
export { openCertificateAuthority } from './adapters/certificates.ts'
export { createRedfishPower } from './adapters/redfish.ts'
export { createImportLock } from './adapters/import-lock.ts'
export {
  createSecretStore,
  SEALING_KEY_BYTES,
  type CertificateAuthority,
  type PowerControl,
} from './domains/fleet/index.ts'
export { newSecret, secretSha256 } from './domains/identity/index.ts'
export {
  createRegistryTokens,
  type ImageRegistry,
  type ImportLock,
} from './domains/images/index.ts'
export { databaseHostCommands, type HostChannel, type HostIdentity } from './host-sessions/index.ts'
export { quotaMismatches } from './domains/quota/index.ts'
export { createRegion, type Region, type RegionDeps } from './region.ts'
export { commit, readTables, worldKinds, type Tables, type World } from './world/index.ts'
