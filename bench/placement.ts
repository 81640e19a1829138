/**
 * Decisions of placement that are committed per second: 20,000 sets that all wait, on 1,000 hosts, until nine tenths of
 * their memory are given away. Committed means in PostgreSQL, on disk, and in the feed; two servers follow it.
 * Hosts are rows of the table, ready and without agents, and sets are made before the clock runs.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { median, type Verdict } from './measure.ts'
import { PlacementStage } from './placement-stage.ts'

const HOSTS = 1_000
const SETS = 20_000
const ZONES = 4
const RACKS_PER_ZONE = 10
const GROUP_SETS = 20
/** Of 400 sets each; hosts hear of all ports of the networks that are on them. */
const NETWORKS = 50
/** Sets have 128, 256, 384 or 512 MiB: 320 on average, 20 a host, which is nine tenths of this. */
const HOST_MEMORY_BYTES = Math.ceil((20 * 320 * 2 ** 20) / 0.9)
const POLL_MS = 500
const HEARTBEAT_MS = 1_000
const STALL_MS = 60_000
const PARTS = 10

export async function placement(): Promise<Verdict[]> {
  const stage = await PlacementStage.open()
  try {
    await stage.sql(fleetSql())
    stage.startServers()
    await untilPlaced(stage)
    const batches = await readBatches(stage)
    await proveSound(stage)
    const parts = rateOfParts(batches)
    const slowest = Math.min(...parts)
    return [
      {
        what: `placements committed, ${SETS} sets on ${HOSTS} hosts to 90 %`,
        unit: '/s',
        value: rateOverall(batches),
        goal: { atLeast: 1_000 },
        rounds: parts,
      },
      {
        what: '  slowest tenth of the fill',
        unit: '/s',
        value: slowest,
        goal: { atLeast: 1_000 },
      },
      { what: '  slowest tenth / median tenth', unit: '×', value: slowest / median(parts) },
    ]
  } finally {
    await stage.close()
  }
}

/** Hosts, sets with their ports, and an open operation for each, as the API would have left them. */
function fleetSql(): string {
  const uuid = (kind: string, n: string): string =>
    `('${kind.padEnd(8, '0')}-0000-7000-8000-' || lpad(to_hex(${n}), 12, '0'))::uuid`
  const rack = `(n - 1) % ${ZONES * RACKS_PER_ZONE}`
  const now = `(extract(epoch from clock_timestamp()) * 1000)::bigint`
  return `
insert into project (id, account_id, name, created_at_ms)
  select ${uuid('f', '1')}, id, 'bench', 1 from account limit 1;
insert into network (id, project_id, name, cidr, vni, mtu_bytes, created_at_ms)
  select ${uuid('c', 'n')}, ${uuid('f', '1')}, 'net-' || n, '10.0.0.0/8', n + 1, 1450, 1 from generate_series(0, ${NETWORKS} - 1) n;
insert into subnet (id, project_id, network_id, name, cidr, gateway_address, gateway_mac, created_at_ms)
  select ${uuid('e', 'n')}, ${uuid('f', '1')}, ${uuid('c', 'n')}, 'net-' || n, '10.0.0.0/8', '10.0.0.1', '0a:00:00:00:00:01', 1 from generate_series(0, ${NETWORKS} - 1) n;
insert into host (id, name, region, zone, rack, roles, labels, state, since_ms, capacity, created_at_ms)
  select ${uuid('a', 'n')}, 'h' || n, 'bench', 'zone-' || (${rack}) / ${RACKS_PER_ZONE}, 'rack-' || ${rack}, '["compute"]', '{}', 'ready', 1,
    '{"cpuMillis": 8000, "memoryBytes": ${HOST_MEMORY_BYTES}, "diskBytes": 0}', 1
  from generate_series(1, ${HOSTS}) n;
insert into host_liveness (host_id, session_id, heard_at_ms) select id, id, 1 from host;
insert into set (id, project_id, name, wanted, generation, recovery, cpu_millis, memory_bytes, labels, containers, placement_rule, created_at_ms)
  select ${uuid('b', 'n')}, ${uuid('f', '1')}, 'g' || (n - 1) / ${GROUP_SETS} || '-' || (n - 1) % ${GROUP_SETS}, 'running', 1,
    case when n % 2 = 0 then 'elsewhere' else 'local' end, 100 * (1 + n % 4), 134217728 * (1 + n % 4), '{}',
    jsonb_build_array(jsonb_build_object('name', 'main', 'index', 0, 'image', jsonb_build_object('repository', 'bench/web', 'digest', 'sha256:' || repeat('0', 64)),
      'command', jsonb_build_array('httpd', '-f'), 'env', jsonb_build_object('PORT', '80', 'MODE', 'production'), 'cpuMillis', null, 'memoryBytes', null,
      'healthCheck', null, 'restart', jsonb_build_object('policy', 'always', 'backoffMaxMs', 30000), 'stopTimeoutMs', 10000,
      'imageId', ${uuid('9', '1')}, 'imageName', 'web')),
    jsonb_build_object('hostId', null, 'hostLabels', jsonb_build_object(),
      'spread', (array['host', 'rack', 'zone'])[1 + (n - 1) / ${GROUP_SETS} % 3],
      'antiAffinity', (array[null, 'host', null, 'rack'])[1 + (n - 1) / ${GROUP_SETS} % 4]), 1
  from generate_series(1, ${SETS}) n;
insert into port (id, project_id, network_id, subnet_id, name, mac, address, set_id, owned_by_set, created_at_ms)
  select ${uuid('d', 'n')}, ${uuid('f', '1')}, ${uuid('c', `n / ${GROUP_SETS} % ${NETWORKS}`)}, ${uuid('e', `n / ${GROUP_SETS} % ${NETWORKS}`)}, 'g' || (n - 1) / ${GROUP_SETS} || '-' || (n - 1) % ${GROUP_SETS} || '-eth0',
    '0a:01:' || regexp_replace(lpad(to_hex(n), 8, '0'), '(..)(..)(..)(..)', '\\1:\\2:\\3:\\4'), host('10.0.0.1'::inet + n), ${uuid('b', 'n')}, true, 1
  from generate_series(1, ${SETS}) n;
insert into operation (id, project_id, kind, resource_kind, resource_id, resource_name, state, progress, generation, may_cancel, created_at_ms, updated_at_ms, deadline_at_ms)
  select ${uuid('7', 'n')}, ${uuid('f', '1')}, 'set.create', 'set', ${uuid('b', 'n')}, 'g' || (n - 1) / ${GROUP_SETS} || '-' || (n - 1) % ${GROUP_SETS},
    'pending', 'waits to be placed', 1, true, ${now}, ${now}, ${now} + 3600000
  from generate_series(1, ${SETS}) n;
analyze;`
}

/** Until no set waits any more. Heartbeats are written meanwhile, as servers write them for agents. */
async function untilPlaced(stage: PlacementStage): Promise<void> {
  let before = -1
  let movedMs = performance.now()
  let heardMs = 0
  for (;;) {
    await sleep(POLL_MS)
    const nowMs = performance.now()
    if (nowMs - heardMs > HEARTBEAT_MS) {
      heardMs = nowMs
      await stage.sql('update host_liveness set heard_at_ms = heard_at_ms + 1')
    }
    const waiting = Number(await stage.sql('select count(*) from set where host_id is null'))
    if (waiting === 0) return
    if (waiting !== before) movedMs = nowMs
    if (nowMs - movedMs > STALL_MS)
      throw new Error(`${waiting} sets are not placed: ${stage.lastWords()}`)
    before = waiting
  }
}

/** One commit that placed sets. */
interface Batch {
  readonly revision: number
  readonly atMs: number
  readonly placed: number
}

async function readBatches(stage: PlacementStage): Promise<Batch[]> {
  const found = await stage.sql(`
    select revision, min(at_ms), count(*) from feed
    where kind = 'set' and body ->> 'host_id' is not null group by revision order by revision`)
  const batches = found.split('\n').map((line): Batch => {
    const [revision, atMs, placed] = line.split('|').map(Number)
    if (revision === undefined || atMs === undefined || placed === undefined)
      throw new Error(`not a batch: ${line}`)
    return { revision, atMs, placed }
  })
  const last = batches.at(-1)
  // Both servers have followed to the end.
  for (const index of [0, 1])
    await stage.client(index).setList({
      query: { project: 'bench', limit: 1, minRevision: last?.revision ?? 0 },
    })
  return batches
}

/** No host has more than it can hold, and no two sets that exclude each other share a host or rack. */
async function proveSound(stage: PlacementStage): Promise<void> {
  const over = await stage.sql(`
    select count(*) from (select host_id from set group by host_id having sum(memory_bytes) > ${HOST_MEMORY_BYTES}) s`)
  const together = await stage.sql(`
    select count(*) from (
      select 1 from set s join host h on h.id = s.host_id where s.placement_rule ->> 'antiAffinity' is not null
      group by split_part(s.name, '-', 1), case s.placement_rule ->> 'antiAffinity' when 'host' then h.name else h.rack end
      having count(*) > 1) s`)
  if (over !== '0' || together !== '0')
    throw new Error(`${over} hosts are overfilled, ${together} groups lie too close`)
}

/** The first batch only starts the clock: when its work began is not known. */
function rateOverall(batches: readonly Batch[]): number {
  const [first, last] = [batches[0], batches.at(-1)]
  if (first === undefined || last === undefined) return Number.NaN
  return ((SETS - first.placed) * 1_000) / (last.atMs - first.atMs)
}

/** The rate in each tenth of all sets, in the order of the fill. */
function rateOfParts(batches: readonly Batch[]): number[] {
  const rates: number[] = []
  let [first] = batches
  let placed = 0
  let placedInPart = 0
  for (const batch of batches) {
    placed += batch.placed
    if (batch !== first) placedInPart += batch.placed
    if (first === undefined || placed < (SETS / PARTS) * (rates.length + 1)) continue
    rates.push((placedInPart * 1_000) / Math.max(1, batch.atMs - first.atMs))
    first = batch
    placedInPart = 0
  }
  return rates
}
