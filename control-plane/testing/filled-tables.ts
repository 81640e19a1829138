import { sql, type Kysely } from 'kysely'

/** Columns as they are called in the database; objects go into jsonb columns. */
export type SampleRow = Readonly<Record<string, string | number | boolean | object | null>>

/** An id that reads like what it names: `sampleId(5)` ends in 5. */
export function sampleId(number: number): string {
  return `00000000-0000-7000-8000-${String(number).padStart(12, '0')}`
}

const account = sampleId(1)
const project = sampleId(2)
const host = sampleId(3)
const network = sampleId(4)
const subnet = sampleId(5)
const set = sampleId(6)
const manifest = sampleId(12)
const image = sampleId(9)
const vm = sampleId(13)
const createdAt = { created_at_ms: 1_000 }

/**
 * A row for every table of the newest schema, parents before children; `revision` has its row from the first migration.
 * A NEW TABLE NEEDS A ROW HERE: the tests of schema and migrations say so.
 */
export const sampleRows: readonly (readonly [table: string, row: SampleRow])[] = [
  ['feed', { revision: 1, sequence: 1, at_ms: 1_000, kind: 'project', id: project, body: {} }],
  ['secret', { name: 'ca', sealed: 'v1.a.b.c', ...createdAt }],
  ['account', { id: account, name: 'default', ...createdAt }],
  ['project', { id: project, account_id: account, name: 'shop', ...createdAt }],
  [
    'quota',
    {
      project_id: project,
      limits: { instances: 5, networks: null },
      instances: 1,
      cpu_millis: 500,
      memory_bytes: 134_217_728,
      addresses: 1,
      networks: 1,
      volumes: 0,
    },
  ],
  [
    'member',
    {
      id: sampleId(12),
      project_id: project,
      account_id: account,
      role: 'owner',
      ...createdAt,
    },
  ],
  [
    'audit',
    {
      id: sampleId(13),
      at_ms: 1_000,
      actor: 'ci',
      token_id: sampleId(7),
      project_id: project,
      request_id: 'r-1',
      call: 'setCreate',
      resource_kind: 'set',
      resource_id: set,
      resource_name: 'web-1',
      outcome: 'done',
      count: 1,
    },
  ],
  [
    'token',
    {
      id: sampleId(7),
      name: 'ci',
      role: 'member',
      project_id: project,
      secret_sha256: 'ab',
      ...createdAt,
    },
  ],
  [
    'host',
    {
      id: host,
      name: 'h1',
      region: 'local',
      zone: 'zone-1',
      rack: 'rack-1',
      roles: ['compute'],
      labels: {},
      state: 'ready',
      since_ms: 1_000,
      ...createdAt,
    },
  ],
  [
    'brake',
    {
      id: sampleId(12),
      name: 'zone zone-1',
      hosts: ['h1', 'h2'],
      reason: { code: 'HOST_UNREACHABLE', text: 'too many' },
      since_ms: 1_000,
    },
  ],
  ['host_liveness', { host_id: host, session_id: sampleId(8), heard_at_ms: 1_000 }],
  [
    'network',
    {
      id: network,
      project_id: project,
      name: 'front',
      cidr: '10.0.0.0/16',
      vni: 7,
      mtu_bytes: 1_500,
      ...createdAt,
    },
  ],
  [
    'subnet',
    {
      id: subnet,
      project_id: project,
      network_id: network,
      name: 'web',
      cidr: '10.0.1.0/24',
      gateway_address: '10.0.1.1',
      gateway_mac: '0a:00:00:00:00:01',
      ...createdAt,
    },
  ],
  [
    'image',
    {
      id: image,
      project_id: project,
      name: 'busybox',
      repository: 'shop/busybox',
      digest: 'sha256:00',
      size_bytes: 5_000_000_000,
      layers: 1,
      source: 'rootfs',
      command: ['sh'],
      ...createdAt,
    },
  ],
  [
    'set',
    {
      id: set,
      project_id: project,
      name: 'web-1',
      wanted: 'running',
      generation: 1,
      recovery: 'local',
      cpu_millis: 500,
      memory_bytes: 134_217_728,
      labels: {},
      containers: [],
      placement_rule: {},
      host_id: host,
      epoch: 1,
      ...createdAt,
    },
  ],
  [
    'set_found',
    {
      id: set,
      host_id: host,
      epoch: 1,
      generation: 1,
      state: 'running',
      progress: '',
      containers: [],
      since_ms: 1_000,
    },
  ],
  [
    'vm',
    {
      id: vm,
      project_id: project,
      name: 'vm-1',
      wanted: 'running',
      generation: 1,
      recovery: 'local',
      cpu_millis: 1_000,
      memory_bytes: 671_088_640,
      labels: {},
      image_id: image,
      machine: {},
      placement_rule: {},
      host_id: host,
      epoch: 1,
      ...createdAt,
    },
  ],
  [
    'vm_found',
    {
      id: vm,
      host_id: host,
      epoch: 1,
      generation: 1,
      state: 'running',
      progress: '',
      restarts: 0,
      since_ms: 1_000,
    },
  ],
  [
    'port',
    {
      id: sampleId(10),
      project_id: project,
      network_id: network,
      subnet_id: subnet,
      name: 'web-1',
      mac: '0a:00:00:00:00:02',
      address: '10.0.1.2',
      set_id: set,
      owned_by_set: true,
      ...createdAt,
    },
  ],
  ['address_rest', { subnet_id: subnet, address: '10.0.1.3', until_ms: 2_000 }],
  [
    'operation',
    {
      id: sampleId(11),
      project_id: project,
      kind: 'set.create',
      resource_kind: 'set',
      resource_id: set,
      resource_name: 'web-1',
      state: 'running',
      progress: '',
      generation: 1,
      may_cancel: true,
      ...createdAt,
      updated_at_ms: 1_000,
      deadline_at_ms: 9_000,
    },
  ],
  ['manifest', { id: manifest, project_id: project, name: 'shop', ...createdAt }],
  ['applied', { id: set, project_id: project, manifest_id: manifest, kind: 'set' }],
  [
    'apply',
    {
      operation_id: sampleId(11),
      manifest_id: manifest,
      token_id: sampleId(7),
      token_name: 'ci',
      role: 'member',
    },
  ],
  [
    'apply_step',
    {
      operation_id: sampleId(11),
      number: 0,
      action: 'create',
      kind: 'set',
      name: 'web-1',
      needs: [],
      is_prune: false,
      body: {},
      state: 'pending',
    },
  ],
]

/** The sample row of a table, changed. */
export function sampleRow(table: string, change: SampleRow = {}): SampleRow {
  const found = sampleRows.find(([name]) => name === table)
  if (found === undefined) throw new Error(`table ${table} has no sample row`)
  return { ...found[1], ...change }
}

export async function insertRow<Tables>(
  database: Kysely<Tables>,
  table: string,
  row: SampleRow,
): Promise<void> {
  const columns = Object.keys(row).map((column) => sql.ref(column))
  const values = Object.values(row).map((value) =>
    typeof value === 'object' && value !== null
      ? sql`${JSON.stringify(value)}::jsonb`
      : sql`${value}`,
  )
  await sql`insert into ${sql.table(table)} (${sql.join(columns)}) values (${sql.join(values)})`.execute(
    database,
  )
}

export async function fillTables<Tables>(database: Kysely<Tables>): Promise<void> {
  for (const [table, row] of sampleRows) await insertRow(database, table, row)
}

/** Every table but the one that counts migrations. */
export async function tableNames<Tables>(database: Kysely<Tables>): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select table_name as name from information_schema.tables
    where table_schema = 'public' and table_name <> 'migration' order by 1`.execute(database)
  return rows.map((row) => row.name)
}
