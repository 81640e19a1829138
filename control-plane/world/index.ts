export { createCatchUp, type CatchUp } from './catch-up.ts'
export { commit, readTables, worldKinds, type Touched, type Tx, type WorldKind } from './commit.ts'
export { FeedReader } from './feed.ts'
export {
  outlineOf,
  rowOutline,
  type PastChange,
  type PastChangeSet,
  type RowOutline,
} from './outline.ts'
export { page } from './page.ts'
export { dropOldFeed } from './retention.ts'
export { createRecorder, type Recorder } from './recorder.ts'
export {
  type HostRow,
  type ImageRow,
  type NetworkRow,
  type OperationRow,
  type PortRow,
  type ProjectRow,
  type SetFoundRow,
  type SetRow,
  type SubnetRow,
  type TokenRow,
} from './rows.ts'
export {
  type HostResources,
  type SetContainer,
  type SetPlacement,
  type SetPlacementRule,
  type Tables,
} from './tables.ts'
export { World, type Change, type ChangeSet } from './world.ts'
