import type {
  HostId,
  ImageId,
  NetworkId,
  PortId,
  ProjectId,
  SetId,
  SubnetId,
  TokenId,
} from '@nubo/base'
import type {
  HostRow,
  NetworkRow,
  PortRow,
  SetRow,
  SubnetRow,
  TokenRow,
  World,
  WorldKind,
} from '../../world/index.ts'
import { plainHost } from '../../world/testing/plain-host.ts'

/** The n-th id of a kind; canonical UUID text, so that it also passes the contract's schemas. */
function testId(prefix: string, n: number): string {
  return `${prefix.padEnd(8, '0')}-0000-7000-8000-${n.toString(16).padStart(12, '0')}`
}

// proof of the casts: ids are branded text; these are canonical UUIDs
export const hostId = (n: number) => testId('a', n) as HostId
export const setId = (n: number) => testId('b', n) as SetId
export const networkId = (n: number) => testId('c', n) as NetworkId
export const portId = (n: number) => testId('d', n) as PortId
const subnetId = (n: number) => testId('e', n) as SubnetId
const projectId = testId('f', 1) as ProjectId

export function hostRow(n: number, changes: Partial<HostRow> = {}): HostRow {
  return plainHost({
    id: hostId(n),
    name: `h${n}`,
    vtepAddress: `10.1.0.${n}`,
    underlayMtuBytes: 1_600,
    certificateSerial: 'aaaaaaaaaaaaaaaa',
    ...changes,
  })
}

/** `hostRow(n)` as it is inserted: what is json has no value, but the roles and labels. */
export function newHostRow(n: number) {
  const { roles, labels, ...row } = hostRow(n)
  return {
    ...row,
    roles: JSON.stringify(roles),
    labels: JSON.stringify(labels),
    reason: null,
    inventory: null,
    capacity: null,
    reserve: null,
    fence: null,
    fenceAsked: null,
    power: null,
    drain: null,
  }
}

export function setRow(n: number, changes: Partial<SetRow> = {}): SetRow {
  return {
    id: setId(n),
    projectId,
    name: `set-${n}`,
    wanted: 'running',
    generation: 1,
    restartCount: 0,
    recovery: 'local',
    cpuMillis: 250,
    memoryBytes: 64 * 2 ** 20,
    labels: {},
    containers: [containerOf('main', 0)],
    placementRule: { hostId: null, spread: 'host', hostLabels: {} },
    priority: 100,
    hostId: null,
    epoch: 1,
    placement: null,
    moved: null,
    leaving: null,
    localGeneration: null,
    createdAtMs: 1,
    ...changes,
  }
}

export function containerOf(name: string, index: number): SetRow['containers'][number] {
  return {
    name,
    index,
    image: { repository: `test/${name}`, digest: `sha256:${'0'.repeat(64)}` },
    command: null,
    env: {},
    cpuMillis: null,
    memoryBytes: null,
    healthCheck: null,
    restart: { policy: 'always', backoffMaxMs: 30_000 },
    stopTimeoutMs: 10_000,
    imageId: testId('9', 1) as ImageId,
    imageName: name,
  }
}

export function networkRow(n: number, changes: Partial<NetworkRow> = {}): NetworkRow {
  return {
    id: networkId(n),
    projectId,
    name: `network-${n}`,
    cidr: '10.9.0.0/16',
    vni: n,
    mtuBytes: 1_450,
    createdAtMs: 1,
    ...changes,
  }
}

export function subnetRow(n: number, changes: Partial<SubnetRow> = {}): SubnetRow {
  return {
    id: subnetId(n),
    projectId,
    networkId: networkId(1),
    name: `subnet-${n}`,
    cidr: `10.9.${n}.0/24`,
    gatewayAddress: `10.9.${n}.1`,
    gatewayMac: '0a:00:00:00:00:01',
    createdAtMs: 1,
    ...changes,
  }
}

export function portRow(n: number, changes: Partial<PortRow> = {}): PortRow {
  return {
    id: portId(n),
    projectId,
    networkId: networkId(1),
    subnetId: subnetId(1),
    name: `port-${n}`,
    mac: `0a:00:00:00:00:${n.toString(16).padStart(2, '0')}`,
    address: `10.9.1.${n}`,
    setId: null,
    vmId: null,
    hostId: null,
    interfaceName: null,
    ownedBySet: false,
    createdAtMs: 1,
    ...changes,
  }
}

export function tokenRow(changes: Partial<TokenRow> = {}): TokenRow {
  return {
    id: testId('8', 1) as TokenId,
    name: 'dev',
    role: 'member',
    projectId,
    accountId: null,
    secretSha256: 'x',
    createdAtMs: 1,
    expiresAtMs: null,
    revokedAtMs: null,
    ...changes,
  }
}

export interface Put {
  readonly kind: WorldKind
  readonly id: string
  readonly body: { readonly id: string } | undefined
}

export const put = (kind: WorldKind, body: { readonly id: string }): Put => ({
  kind,
  id: body.id,
  body,
})
export const gone = (kind: WorldKind, id: string): Put => ({ kind, id, body: undefined })

/** One more revision with these rows. */
export function change(world: World, ...rows: readonly Put[]): void {
  world.apply(world.revision + 1, rows)
}
