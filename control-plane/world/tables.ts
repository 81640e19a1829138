import type {
  AccountId,
  AuditId,
  HostId,
  ImageId,
  MemberId,
  ManifestId,
  NetworkId,
  OperationId,
  PortId,
  ProjectId,
  SetId,
  SubnetId,
  TokenId,
  VmId,
} from '@nubo/base'
import type {
  Host,
  HostFence,
  HostInventory,
  HostPower,
  ManifestKind,
  OperationState,
  QuotaResource,
  Reason,
  Role,
} from '@nubo/contracts'
import type {
  FoundContainer,
  FoundMachine,
  FoundSet,
  FoundVm,
  WantedContainer,
  WantedVm,
} from '@nubo/contracts/host'
import type { ColumnType, Generated } from 'kysely'

/** Rows of the tables, in camelCase; the world keeps them in this shape. Migrations hold the truth. */

/** A jsonb column: read as a value, written as JSON text. */
type Json<Value> = ColumnType<Value, string, string>

export interface AccountTable {
  id: AccountId
  name: string
  createdAtMs: number
}

export interface ProjectTable {
  id: ProjectId
  accountId: AccountId
  name: string
  createdAtMs: number
}

export interface TokenTable {
  id: TokenId
  name: string
  role: 'viewer' | 'member' | 'owner' | 'operator'
  projectId: ProjectId | null
  /** Then it acts where this account is a member, and its own role is the most it may do. */
  accountId: AccountId | null
  secretSha256: string
  createdAtMs: number
  expiresAtMs: number | null
  revokedAtMs: number | null
}

export interface MemberTable {
  id: MemberId
  projectId: ProjectId
  accountId: AccountId
  role: Role
  createdAtMs: number
}

export interface HostTable {
  id: HostId
  name: string
  region: string
  zone: string
  rack: string
  roles: Json<Host['roles']>
  labels: Json<Record<string, string>>
  state: Host['state']
  reason: Json<Reason> | null
  sinceMs: number
  cordoned: boolean
  inventory: Json<HostInventory> | null
  capacity: Json<HostResources> | null
  reserve: Json<HostResources> | null
  bootId: string | null
  vtepAddress: string | null
  underlayMtuBytes: number | null
  inviteSha256: string | null
  inviteExpiresAtMs: number | null
  certificateSerial: string | null
  serverName: string | null
  sessionId: string | null
  createdAtMs: number
  stopsWithinMs: number | null
  probeAddress: string | null
  maintenance: Generated<boolean>
  fence: Json<HostFence> | null
  fenceAsked: Json<FenceAsked> | null
  mustClean: Generated<boolean>
  power: Json<HostPower> | null
  drain: Json<HostDrain> | null
  /** What it runs VMs with; null: it runs none. */
  accelerator: 'kvm' | 'tcg' | null
  vmsProblem: string | null
}

/** What an operator had moved away from the host; counts while the operation is open. */
export interface HostDrain {
  readonly operationId: OperationId
  /** So many were on it when it began. */
  readonly sets: number
}

/** An operator wants the host fenced; counts while the operation is open. */
export interface FenceAsked {
  readonly operationId: OperationId
  readonly force: boolean
}

export interface BrakeTable {
  id: string
  name: string
  hosts: Json<readonly string[]>
  reason: Json<Reason>
  sinceMs: number
}

export interface HostResources {
  readonly cpuMillis: number
  readonly memoryBytes: number
  readonly diskBytes: number
}

export interface NetworkTable {
  id: NetworkId
  projectId: ProjectId
  name: string
  cidr: string
  vni: number
  mtuBytes: number
  createdAtMs: number
}

export interface SubnetTable {
  id: SubnetId
  projectId: ProjectId
  networkId: NetworkId
  name: string
  cidr: string
  gatewayAddress: string
  gatewayMac: string
  createdAtMs: number
}

export interface ImageTable {
  id: ImageId
  projectId: ProjectId
  name: string
  repository: string
  digest: string
  sizeBytes: number
  layers: number
  source: 'rootfs' | 'docker-archive' | 'oci-layout' | 'raw' | 'qcow2' | 'vmdk' | 'kernel'
  command: Json<readonly string[]>
  createdAtMs: number
  /** Of the file that was imported; null for those of before this was kept. */
  uploadDigest: string | null
  /** What it starts: containers, or a VM from a disk or a kernel. */
  kind: Generated<'container' | 'disk' | 'kernel'>
  /** Of an image for VMs. */
  disk: Json<ImageDisk> | null
}

export interface ImageDisk {
  /** A VM's disk is at least so large; 0 for a kernel. */
  readonly virtualBytes: number
  /** What the kernel is told; null for a disk. */
  readonly commandLine: string | null
}

/** A container of a set as recorded: what the host gets, and which image of the project it was. */
export interface SetContainer extends WantedContainer {
  readonly imageId: ImageId
  readonly imageName: string
}

export interface PlacementRule {
  readonly hostId: HostId | null
  readonly spread: 'host' | 'rack' | 'zone'
  readonly hostLabels: Readonly<Record<string, string>>
  /** Absent in rows of servers that did not know it. */
  readonly antiAffinity?: 'host' | 'rack' | 'zone' | null
}

export interface Placement {
  readonly score: number
  readonly decidedAtMs: number | null
  /** Present while no host was found. */
  readonly reason: Reason | null
  /** Of every other host where they are few, else examples. */
  readonly rejected: readonly { readonly host: string; readonly reason: string }[]
  /** All other hosts by reason; absent in rows of servers that kept every reason. */
  readonly counts?: readonly { readonly reason: string; readonly hosts: number }[]
  /** While it waits after a move: where room is held for it. The next decision, whatever it is, ends that. */
  readonly heldOn?: HostId
}

/** What sets and VMs have in common: where they are wanted, and where they are placed. */
interface InstanceTable {
  projectId: ProjectId
  name: string
  generation: number
  restartCount: Generated<number>
  recovery: 'local' | 'elsewhere'
  /** What it takes of a host. */
  cpuMillis: number
  memoryBytes: number
  labels: Json<Record<string, string>>
  placementRule: Json<PlacementRule>
  /** 0 to 1,000; of those that wait, the higher is placed first. */
  priority: Generated<number>
  hostId: HostId | null
  epoch: Generated<number>
  placement: Json<Placement> | null
  createdAtMs: number
  moved: Json<InstanceMoved> | null
  leaving: Json<InstanceLeaving> | null
  /**
   * The last generation in which it was `local` on the host that it is on, where it is `elsewhere` by now. A host that has not
   * reached a later one still holds it as `local`: it runs there without a lease, and after a boot.
   */
  localGeneration: number | null
}

export interface SetTable extends InstanceTable {
  id: SetId
  wanted: 'running' | 'stopped' | 'removed'
  containers: Json<readonly SetContainer[]>
}

export interface VmTable extends InstanceTable {
  id: VmId
  /** `stopped`: the guest is asked first; `off`: at once. */
  wanted: 'running' | 'paused' | 'stopped' | 'off' | 'removed'
  imageId: ImageId
  machine: Json<VmMachine>
}

/** What a VM is made of: what its host gets, and what people called the parts. */
export interface VmMachine extends Pick<
  WantedVm,
  'cpus' | 'memoryBytes' | 'image' | 'rootDiskBytes' | 'boot' | 'stopTimeoutMs'
> {
  readonly imageName: string
}

/** A move that is under way: the host ends the instance, and says so, before it is placed again. It is never taken back. */
export interface InstanceLeaving {
  /** Of the change from which on it is no longer in its host's slice. */
  readonly revision: number
  readonly sinceMs: number
  readonly reason: string
  /** Where room is held for it until it is placed; absent in rows of servers that held none. */
  readonly toHostId?: HostId
}

/** Why an instance left the host that it was on before. */
export interface InstanceMoved {
  readonly fromHost: string
  readonly fromEpoch: number
  readonly atMs: number
  readonly reason: string
}

export interface SetFoundTable {
  id: SetId
  hostId: HostId
  epoch: number
  generation: number
  state: FoundSet['state']
  progress: string
  reason: Json<Reason> | null
  containers: Json<readonly FoundContainer[]>
  sinceMs: number
}

export interface VmFoundTable {
  id: VmId
  hostId: HostId
  epoch: number
  generation: number
  state: FoundVm['state']
  progress: string
  reason: Json<Reason> | null
  machine: Json<FoundMachine> | null
  restarts: number
  sinceMs: number
}

export interface PortTable {
  id: PortId
  projectId: ProjectId
  networkId: NetworkId
  subnetId: SubnetId
  name: string
  mac: string
  address: string
  /** Of the set, the VM or the interface of a host that it is bound to; at most one of them. */
  setId: SetId | null
  vmId: VmId | null
  hostId: HostId | null
  interfaceName: string | null
  /** Made together with its set or VM, so it goes with it. */
  ownedBySet: boolean
  createdAtMs: number
}

export interface OperationTable {
  id: OperationId
  projectId: ProjectId | null
  kind: string
  resourceKind: string
  resourceId: string
  resourceName: string
  state: OperationState
  progress: string
  reason: Json<Reason> | null
  generation: number
  mayCancel: boolean
  createdAtMs: number
  updatedAtMs: number
  endedAtMs: number | null
  deadlineAtMs: number
}

/** What a project uses, and the limits that were set for it; what is not among them follows the region. */
export type QuotaTable = { projectId: ProjectId; limits: Json<QuotaLimits> } & Record<
  QuotaResource,
  Generated<number>
>
/** Null is no limit. */
export type QuotaLimits = Readonly<Partial<Record<QuotaResource, number | null>>>

export interface AuditTable {
  id: AuditId
  atMs: number
  /** Name of the account or token, or 'system:place' and the like. */
  actor: string
  tokenId: string | null
  accountId: string | null
  projectId: string | null
  requestId: string | null
  /** Name of the call in the contract, or of the reconciler's step. */
  call: string
  resourceKind: string
  resourceId: string | null
  resourceName: string | null
  outcome: 'done' | 'refused'
  code: string | null
  note: string | null
  count: Generated<number>
  beforeSha256: string | null
  afterSha256: string | null
}

export interface ManifestTable {
  id: ManifestId
  projectId: ProjectId
  name: string
  createdAtMs: number
}

/** Which manifest a thing belongs to. */
export interface AppliedTable {
  /** Of the thing. */
  id: string
  projectId: ProjectId
  manifestId: ManifestId
  kind: ManifestKind
}

export interface ApplyTable {
  operationId: OperationId
  manifestId: ManifestId
  tokenId: TokenId
  tokenName: string
  accountId: AccountId | null
  role: TokenTable['role']
}

export interface ApplyStepTable {
  operationId: OperationId
  number: number
  action: 'create' | 'update' | 'remove' | 'adopt'
  kind: ManifestKind
  name: string
  needs: Json<readonly number[]>
  isPrune: boolean
  body: Json<unknown>
  state: 'pending' | 'running' | 'done' | 'failed'
  reason: Json<Reason> | null
  waitsFor: OperationId | null
  begunAtMs: number | null
}

/** Tables that the world keeps in memory, by the kind that the feed calls them. */
export interface WorldTables {
  account: AccountTable
  project: ProjectTable
  member: MemberTable
  token: TokenTable
  host: HostTable
  network: NetworkTable
  subnet: SubnetTable
  image: ImageTable
  set: SetTable
  setFound: SetFoundTable
  vm: VmTable
  vmFound: VmFoundTable
  port: PortTable
  operation: OperationTable
  brake: BrakeTable
  manifest: ManifestTable
  applied: AppliedTable
}

/** All tables, for queries. */
export interface Tables extends WorldTables {
  revision: { onlyRow: Generated<boolean>; value: number }
  feed: {
    revision: number
    sequence: number
    atMs: number
    kind: string
    id: string
    body: Json<Record<string, unknown>> | null
  }
  placementTerm: { onlyRow: Generated<boolean>; value: number }
  secret: { name: string; sealed: string; createdAtMs: number }
  quota: QuotaTable
  audit: AuditTable
  hostLiveness: {
    hostId: HostId
    sessionId: string | null
    heardAtMs: number
    beats: Generated<number>
  }
  apply: ApplyTable
  applyStep: ApplyStepTable
  addressRest: {
    subnetId: SubnetId
    address: string
    untilMs: number
    /** It rests on as long as this host has not been cleaned. */
    hostId: HostId | null
  }
}
