export { actNow, whileActing, type Act, type CallAct } from './acting.ts'
export { auditInsert, type AuditRow } from './audit.ts'
export { createCatchUp, type CatchUp } from './catch-up.ts'
export { commit, readTables, worldKinds, type Touched, type Tx, type WorldKind } from './commit.ts'
export { FeedReader } from './feed.ts'
export { jsonLines } from './json-lines.ts'
export {
  ownerOf,
  type Owner,
  type PastChange,
  type PastChangeSet,
  type RowOutline,
} from './outline.ts'
export { page, type Selection } from './page.ts'
export { dropOldFeed } from './retention.ts'
export { insertQuota, type Usage } from './quota.ts'
export { createRecorder, type Recorder } from './recorder.ts'
export {
  isLeaving,
  kindOf,
  type AccountRow,
  type BrakeRow,
  type HostRow,
  type ImageRow,
  type MemberRow,
  type ManifestRow,
  type NetworkRow,
  type OperationRow,
  type PortRow,
  type ProjectRow,
  type SetFoundRow,
  type SetRow,
  type SubnetRow,
  type TokenRow,
  type VmFoundRow,
  type VmRow,
  type InstanceKind,
  type InstanceRow,
} from './rows.ts'
export { foundOf, instanceOf, instancesBy } from './instances.ts'
export {
  type AuditTable,
  type HostDrain,
  type HostResources,
  type QuotaLimits,
  type QuotaTable,
  type FenceAsked,
  type SetContainer,
  type ImageDisk,
  type InstanceLeaving,
  type InstanceMoved,
  type Placement,
  type PlacementRule,
  type VmMachine,
  type Tables,
} from './tables.ts'
export { columnsOf, insertRows } from './table-rows.ts'
export { World, type Change, type ChangeSet, type WorldReader } from './world.ts'
