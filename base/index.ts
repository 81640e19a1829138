export {
  cidrContains,
  cidrEncloses,
  cidrSize,
  cidrsOverlap,
  formatCidr,
  formatIpv4,
  isMac,
  macFromBytes,
  parseCidr,
  parseIpv4,
  vtepMac,
  type Cidr,
} from './addresses.ts'
export { every, sleep, type Clock, type Timer } from './clock.ts'
export {
  errorCatalogue,
  errorStatus,
  explain,
  isErrorCode,
  isPlatformError,
  PlatformError,
  type ErrorCode,
  type ErrorDetails,
  type ErrorEntry,
  type ErrorKind,
} from './errors.ts'
export {
  isUuid,
  newId,
  type AccountId,
  type AuditId,
  type HostId,
  type Id,
  type ImageId,
  type MemberId,
  type ManifestId,
  type NetworkId,
  type OperationId,
  type PortId,
  type ProjectId,
  type SetId,
  type VmId,
  type InstanceId,
  type SubnetId,
  type TokenId,
} from './ids.ts'
export { integerBelow, pick, seededRandom, withJitter, type Random } from './random.ts'
export {
  formatBytes,
  formatCpuMillis,
  formatDurationMs,
  parseBytes,
  parseCpuMillis,
} from './units.ts'
export { VirtualClock } from './virtual-clock.ts'
export { unreachable } from './unreachable.ts'
