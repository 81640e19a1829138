import type { Clock } from './clock.ts'
import type { Random } from './random.ts'

/** A UUIDv7 that names one kind of thing. Made only by `newId` and by parsing at the edge. */
export type Id<Kind extends string> = string & { readonly __kind: Kind }

export type AccountId = Id<'account'>
export type ProjectId = Id<'project'>
export type TokenId = Id<'token'>
export type HostId = Id<'host'>
export type NetworkId = Id<'network'>
export type SubnetId = Id<'subnet'>
export type PortId = Id<'port'>
export type ImageId = Id<'image'>
export type SetId = Id<'set'>
export type VmId = Id<'vm'>
/** Of a set or a VM, where the difference does not matter. */
export type InstanceId = SetId | VmId
export type OperationId = Id<'operation'>
export type MemberId = Id<'member'>
export type AuditId = Id<'audit'>
export type ManifestId = Id<'manifest'>

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** True for the canonical lower-case text of a UUID of any version. */
export function isUuid(text: string): boolean {
  return uuidPattern.test(text)
}

/** UUIDv7 (RFC 9562, section 5.7): 48 bits of time, 74 random bits. Ids of one millisecond are unordered. */
export function newId<Kind extends string>(clock: Clock, random: Random): Id<Kind> {
  const bytes = random.bytes(16)
  let ms = clock.nowMs()
  for (let i = 5; i >= 0; i--) {
    bytes[i] = ms % 256
    ms = Math.floor(ms / 256)
  }
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x70
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const hex = Buffer.from(bytes).toString('hex')
  const text = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
  return text as Id<Kind> // proof: built from 16 bytes with version and variant set
}
