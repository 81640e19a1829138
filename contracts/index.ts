export {
  errorReply,
  itemOf,
  LINES_TYPE,
  LIST_LIMIT_MAX,
  name as resourceName,
  nameOrId,
  reason,
  REVISION_HEADER,
  type ErrorReply,
  type Reason,
} from './public/common.ts'
export { type Route, type RouteAccess } from './public/route.ts'
export { api, type Api, type RouteName } from './public/routes.ts'
export {
  type Account,
  type Member,
  type Project,
  type Role,
  type Token,
  type WhoAmI,
} from './public/identity.ts'
export { type AuditEntry } from './public/audit.ts'
export { quotaResource, type Quota, type QuotaResource } from './public/quota.ts'
export {
  type Brake,
  hostRemarks,
  type Host,
  type HostFence,
  type HostInventory,
  type HostPower,
} from './public/host.ts'
export { type Network, type Port, type Subnet } from './public/network.ts'
export { IMAGE_UPLOAD_BYTES_MAX, type Image } from './public/image.ts'
export { type HostVerdict, type PlacementAnswer } from './public/place.ts'
export {
  containerSpec,
  setCreate,
  type ContainerSpec,
  type SetCreate,
  type SetState,
  type SetView,
  type StreamTicket,
} from './public/set.ts'
export {
  CPU_MILLIS_PER_VCPU,
  vmCreate,
  type VmCreate,
  type VmState,
  type VmView,
} from './public/vm.ts'
export { type Operation, type OperationState } from './public/operation.ts'
export { type ServerStatus } from './public/server.ts'
export { watchKind, type WatchEvent, type WatchKind } from './public/watch.ts'
export {
  LOG_POSITION_BYTES,
  logPosition,
  STREAM_CREDIT_BYTES,
  STREAM_FRAME_BYTES_MAX,
  streamChannel,
  streamControl,
  type LogPosition,
  type StreamControl,
} from './public/stream.ts'
export {
  fieldEffectTexts,
  fieldRow,
  fieldRows,
  manifestKinds,
  type FieldEffect,
  type ManifestKind,
} from './public/field-effects.ts'
export {
  manifest,
  manifestDocument,
  manifestNetwork,
  manifestPort,
  manifestSet,
  manifestSubnet,
  type ApplyStep,
  type FieldChange,
  type Manifest,
  type ManifestDocument,
  type Plan,
  type PlannedChange,
  type PlanProblem,
} from './public/apply.ts'
