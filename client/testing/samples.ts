/** Objects of the contract with plausible values, for tests to start from. */
import type {
  AuditEntry,
  Host,
  Image,
  Member,
  Network,
  Operation,
  Port,
  Project,
  Quota,
  SetView,
  Subnet,
  Token,
} from '@nubo/contracts'

export const SAMPLE_TIME_MS = Date.UTC(2026, 10, 20, 12)

/** 'n' → a valid UUIDv7 that is the same each time. */
export function sampleId(n: number): string {
  return `019a0000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`
}

const made = { createdAtMs: SAMPLE_TIME_MS }

export const sampleProject: Project = {
  id: sampleId(1),
  name: 'demo',
  accountId: sampleId(2),
  ...made,
}

export const sampleToken: Token = {
  id: sampleId(3),
  name: 'ci',
  role: 'member',
  projectId: sampleId(1),
  accountId: null,
  expiresAtMs: null,
  revokedAtMs: null,
  ...made,
}

export const sampleNetwork: Network = {
  id: sampleId(4),
  projectId: sampleId(1),
  name: 'shop',
  cidr: '10.0.0.0/16',
  vni: 4_096,
  mtuBytes: 1_450,
  subnets: 1,
  ports: 2,
  ...made,
}

export const sampleSubnet: Subnet = {
  id: sampleId(5),
  projectId: sampleId(1),
  networkId: sampleId(4),
  network: 'shop',
  name: 'front',
  cidr: '10.0.1.0/24',
  gatewayAddress: '10.0.1.1',
  gatewayMac: '0a:00:00:00:00:01',
  addressesFree: 251,
  ports: 2,
  ...made,
}

export const samplePort: Port = {
  id: sampleId(6),
  projectId: sampleId(1),
  networkId: sampleId(4),
  network: 'shop',
  subnetId: sampleId(5),
  subnet: 'front',
  name: 'web',
  mac: '0a:00:00:00:00:05',
  address: '10.0.1.5',
  binding: { kind: 'set', setId: sampleId(8), set: 'web' },
  host: 'host-1',
  ...made,
}

export const sampleImage: Image = {
  id: sampleId(7),
  projectId: sampleId(1),
  name: 'busybox',
  repository: 'demo/busybox',
  digest: `sha256:${'ab'.repeat(32)}`,
  sizeBytes: 1_234_567,
  layers: 1,
  source: 'rootfs',
  kind: 'container',
  diskBytes: null,
  command: ['/bin/sh'],
  uploadDigest: `sha256:${'cd'.repeat(32)}`,
  usedBy: 1,
  ...made,
}

export const sampleSet: SetView = {
  id: sampleId(8),
  projectId: sampleId(1),
  name: 'web',
  state: 'running',
  reason: null,
  sinceMs: SAMPLE_TIME_MS,
  host: 'host-1',
  network: 'shop',
  subnet: 'front',
  address: '10.0.1.5',
  ports: [
    {
      id: sampleId(6),
      name: 'web',
      address: '10.0.1.5',
      mac: '0a:00:00:00:00:05',
      network: 'shop',
      subnet: 'front',
    },
  ],
  containers: [
    {
      name: 'web',
      index: 0,
      image: 'busybox',
      state: 'running',
      reason: null,
      restarts: 0,
      exitCode: null,
      health: 'none',
      startedAtMs: SAMPLE_TIME_MS,
    },
  ],
  cpuMillis: 500,
  memoryBytes: 128 * 2 ** 20,
  recovery: 'local',
  priority: 100,
  labels: {},
  generation: 1,
  foundGeneration: 1,
  epoch: 1,
  placement: {
    score: 0.75,
    spread: 'host',
    antiAffinity: null,
    decidedAtMs: SAMPLE_TIME_MS,
    rejected: [{ host: 'host-2', reason: 'memory: 128 MiB wanted, 64 MiB free' }],
    counts: [{ reason: 'not enough memory', hosts: 1 }],
  },
  moved: null,
  ...made,
}

export const sampleOperation: Operation = {
  id: sampleId(9),
  projectId: sampleId(1),
  kind: 'set.create',
  resource: { kind: 'set', id: sampleId(8), name: 'web' },
  state: 'running',
  progress: 'pulling the image',
  reason: null,
  generation: 1,
  mayCancel: true,
  updatedAtMs: SAMPLE_TIME_MS,
  endedAtMs: null,
  deadlineAtMs: SAMPLE_TIME_MS + 60_000,
  ...made,
}

/** The sample, ended. */
export function endedOperation(
  state: 'done' | 'failed' | 'cancelled' | 'superseded',
  reason: Operation['reason'] = null,
): Operation {
  const endedAtMs = SAMPLE_TIME_MS + 2_000
  return { ...sampleOperation, state, reason, progress: state, endedAtMs, updatedAtMs: endedAtMs }
}

const resources = { cpuMillis: 4_000, memoryBytes: 8 * 2 ** 30, diskBytes: 100 * 2 ** 30 }

export const sampleHost: Host = {
  id: sampleId(10),
  name: 'host-1',
  region: 'region-1',
  zone: 'zone-1',
  rack: 'rack-1',
  roles: ['compute'],
  labels: {},
  state: 'ready',
  reason: null,
  since: SAMPLE_TIME_MS,
  cordoned: false,
  maintenance: false,
  drain: null,
  fence: null,
  power: null,
  stopsWithinMs: 8_000,
  vms: 0,
  accelerator: null,
  vmsProblem: null,
  inventory: {
    cores: 4,
    memoryBytes: resources.memoryBytes,
    diskBytes: resources.diskBytes,
    kernel: '6.1.0',
    engines: { docker: '20.10.24', openvswitch: '3.1.0' },
    nics: [{ name: 'eth0', mac: '0a:00:00:00:00:09', mtuBytes: 1_500 }],
    agentVersion: '0.1.0',
  },
  capacity: resources,
  reserve: { cpuMillis: 100, memoryBytes: 2 ** 28, diskBytes: 2 ** 30 },
  allocated: { cpuMillis: 500, memoryBytes: 2 ** 27, diskBytes: 0 },
  sets: 1,
  bootId: 'boot-1',
  vtepAddress: '192.0.2.1',
  serverName: 'server-1',
  ...made,
}

export const sampleMember: Member = {
  id: sampleId(30),
  projectId: sampleId(1),
  accountId: sampleId(31),
  account: 'alice',
  role: 'owner',
  createdAtMs: SAMPLE_TIME_MS,
}

const unlimited = { used: 0, limit: null, isDefault: true }

export const sampleQuota: Quota = {
  projectId: sampleId(1),
  project: 'demo',
  resources: {
    instances: { used: 3, limit: 10, isDefault: false },
    cpuMillis: unlimited,
    memoryBytes: { used: 2 ** 30, limit: null, isDefault: true },
    addresses: unlimited,
    networks: unlimited,
    volumes: unlimited,
  },
}

export const sampleAuditEntry: AuditEntry = {
  id: sampleId(32),
  atMs: SAMPLE_TIME_MS,
  actor: 'ci',
  tokenId: sampleId(3),
  accountId: null,
  projectId: sampleId(1),
  requestId: 'r-1',
  call: 'setCreate',
  resource: { kind: 'set', id: null, name: 'web' },
  outcome: 'refused',
  code: 'QUOTA_EXCEEDED',
  note: 'too many',
  count: 1,
  beforeSha256: null,
  afterSha256: null,
}
