/** SQL that fills a region as one looks that has run for long: hosts, networks, sets with what their hosts found. */

export const FILLED = { hosts: 1_000, sets: 20_000, networks: 20, images: 10, operations: 20_000 }
export const FILLED_PROJECT = 'default'

/** An id of the n-th row of a kind; `kind` is five hexadecimal digits. */
const id = (kind: string, n: string): string =>
  `('019${kind}-0000-7000-8000-' || lpad(to_hex(${n}), 12, '0'))::uuid`

const host = (n: string): string => id('a0000', n)
const network = (n: string): string => id('b0000', n)
const subnet = (n: string): string => id('c0000', n)
const image = (n: string): string => id('d0000', n)
const set = (n: string): string => id('e0000', n)
const port = (n: string): string => id('f0000', n)
const operation = (n: string): string => id('90000', n)
const project = `(select id from project where name = '${FILLED_PROJECT}')`
const digest = (n: string): string => `'sha256:' || md5((${n})::text) || md5((${n} + 1)::text)`

/** A container as recorded: an image, some variables, a check. */
const container = (name: string, index: number, imageNumber: string): string => `jsonb_build_object(
  'name', '${name}', 'index', ${index},
  'image', jsonb_build_object('repository', 'p/image-' || ${imageNumber}, 'digest', ${digest(imageNumber)}),
  'command', null,
  'env', jsonb_build_object('LISTEN', '0.0.0.0:8080', 'LOG_LEVEL', 'info', 'DATABASE', 'shop-' || n % 100,
    'REGION', 'local', 'PEERS', '10.0.0.2,10.0.0.3,10.0.0.4'),
  'cpuMillis', null, 'memoryBytes', null,
  'healthCheck', '{"command":["wget","-q","-O-","http://127.0.0.1:8080/health"],"intervalMs":10000,"timeoutMs":5000,"failuresMax":3,"startPeriodMs":0}'::jsonb,
  'restart', '{"policy":"always","backoffMaxMs":30000}'::jsonb, 'stopTimeoutMs', 10000,
  'imageId', ${image(imageNumber)}, 'imageName', 'image-' || ${imageNumber})`

const foundContainer = (name: string): string =>
  `jsonb_build_object('name', '${name}', 'state', 'running', 'reason', null, 'restarts', 0, 'exitCode', null,
    'health', 'healthy', 'startedAtMs', 1700000000000 + n)`

/** The statements, for psql. */
export function filledRows(): string {
  const { hosts, sets, networks, images, operations } = FILLED
  return `\\set ON_ERROR_STOP on
begin;
insert into host (id, name, region, zone, rack, roles, labels, state, since_ms, inventory, capacity, reserve, boot_id,
  vtep_address, underlay_mtu_bytes, certificate_serial, server_name, session_id, created_at_ms)
select ${host('n')}, 'h' || n, 'local', 'zone-' || n % 3, 'rack-' || n % 40, '["compute"]', '{"disk":"ssd"}', 'ready', 1,
  jsonb_build_object('cores', 64, 'memoryBytes', 274877906944, 'diskBytes', 4000000000000, 'kernel', '6.18.0',
    'engines', '{"docker":"20.10.24","openvswitch":"3.1.0"}'::jsonb,
    'nics', jsonb_build_array(jsonb_build_object('name', 'eth0', 'mac', '0a:00:00:00:00:01', 'mtuBytes', 1500)),
    'agentVersion', '0.1.0'),
  '{"cpuMillis":64000,"memoryBytes":274877906944,"diskBytes":4000000000000}',
  '{"cpuMillis":1000,"memoryBytes":1073741824,"diskBytes":10000000000}',
  'boot-' || n, '10.' || 100 + n / 65536 || '.' || n / 256 % 256 || '.' || n % 256, 1600, md5(n::text), 'bench', ${host('n')}, 1
from generate_series(1, ${hosts}) n;
insert into host_liveness select ${host('n')}, ${host('n')}, 1 from generate_series(1, ${hosts}) n;
insert into network select ${network('n')}, ${project}, 'net-' || n, '10.0.0.0/16', n, 1450, 1 from generate_series(1, ${networks}) n;
insert into subnet (id, project_id, network_id, name, cidr, gateway_address, gateway_mac, created_at_ms)
select ${subnet('n')}, ${project}, ${network('n')}, 'sub-' || n, '10.0.0.0/16', '10.0.0.1', '0a:00:00:00:00:01', 1
from generate_series(1, ${networks}) n;
insert into image (id, project_id, name, repository, digest, size_bytes, layers, source, command, created_at_ms)
select ${image('n')}, ${project}, 'image-' || n, 'p/image-' || n, ${digest('n')}, 5000000, 1, 'rootfs', '["sh"]', 1
from generate_series(1, ${images}) n;
insert into set (id, project_id, name, wanted, generation, recovery, cpu_millis, memory_bytes, labels, containers,
  placement_rule, host_id, epoch, placement, created_at_ms)
select ${set('n')}, ${project}, 'set-' || n, 'running', 1, case n % 2 when 0 then 'local' else 'elsewhere' end, 500, 134217728,
  jsonb_build_object('group', 'shop-' || n % 100), jsonb_build_array(${container('web', 0, `(1 + n % ${images})`)},
  ${container('proxy', 1, '1')}), '{"hostId":null,"spread":"host","hostLabels":{}}', ${host(`(1 + n % ${hosts})`)}, 1,
  jsonb_build_object('score', 0.5, 'decidedAtMs', 1700000000000 + n, 'reason', null, 'rejected',
    jsonb_build_array(jsonb_build_object('host', 'h1', 'reason', 'is cordoned'))), 1700000000000 + n
from generate_series(1, ${sets}) n;
insert into set_found (id, host_id, epoch, generation, state, progress, reason, containers, since_ms)
select ${set('n')}, ${host(`(1 + n % ${hosts})`)}, 1, 1, case when n % 400 = 0 then 'degraded' else 'running' end, '', null,
  jsonb_build_array(${foundContainer('web')}, ${foundContainer('proxy')}), 1700000000000 + n from generate_series(1, ${sets}) n;
insert into port (id, project_id, network_id, subnet_id, name, mac, address, set_id, owned_by_set, created_at_ms)
select ${port('n')}, ${project}, ${network(`(1 + n % ${networks})`)}, ${subnet(`(1 + n % ${networks})`)}, 'set-' || n,
  '0a:00:00:' || lpad(to_hex(n / 65536), 2, '0') || ':' || lpad(to_hex(n / 256 % 256), 2, '0') || ':' || lpad(to_hex(n % 256), 2, '0'),
  '10.0.' || (n / ${networks}) / 250 || '.' || 2 + (n / ${networks}) % 250, ${set('n')}, true, 1700000000000 + n
from generate_series(1, ${sets}) n;
insert into operation (id, project_id, kind, resource_kind, resource_id, resource_name, state, progress, generation, may_cancel,
  created_at_ms, updated_at_ms, ended_at_ms, deadline_at_ms)
select ${operation('n')}, ${project}, 'set.create', 'set', ${set('n')}, 'set-' || n, 'done', 'running', 1, false,
  now_ms - n, now_ms - n, now_ms, now_ms from generate_series(1, ${operations}) n,
  (select (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms) as clock;
commit;
analyze;
`
}

/** Every host is heard of again each second. */
export const HEARTBEATS = `update host_liveness set heard_at_ms = heard_at_ms + 1 \\watch 1\n`
