import { sql, type Kysely } from 'kysely'

export const SETS = 10_000
const PROJECTS = 20
const HOSTS = 50

/** 'a' and a number as a UUID, in SQL. */
const id = (letter: string, number: string): string =>
  `(lpad('', 8, '${letter}') || '-0000-7000-8000-' || lpad((${number})::text, 12, '0'))::uuid`
const project = `s % ${PROJECTS}`

/**
 * A region of 10,000 sets (about 40,000 rows) as the first release leaves it. Speaks the schema of migration 0001 alone, and so
 * never changes: every later migration finds it as a real upgrade would.
 */
export async function fillRegion<Tables>(database: Kysely<Tables>): Promise<void> {
  const statements = [
    `insert into account values (${id('a', '1')}, 'default', 1)`,
    `insert into project select ${id('b', 's')}, ${id('a', '1')}, 'project-' || s, 1
      from generate_series(0, ${PROJECTS - 1}) s`,
    `insert into token (id, name, role, project_id, secret_sha256, created_at_ms)
      select ${id('c', 's')}, 'token-' || s, 'member', ${id('b', 's')}, 'secret-' || s, 1
      from generate_series(0, ${PROJECTS - 1}) s`,
    `insert into token (id, name, role, secret_sha256, created_at_ms)
      values (${id('c', '999')}, 'operator', 'operator', 'secret', 1)`,
    `insert into host (id, name, region, zone, rack, roles, labels, state, since_ms, created_at_ms)
      select ${id('d', 's')}, 'host-' || s, 'local', 'zone-1', 'rack-' || s % 5, '["compute"]', '{}', 'ready', 1, 1
      from generate_series(0, ${HOSTS - 1}) s`,
    `insert into network select ${id('e', 's')}, ${id('b', 's')}, 'net', '10.0.0.0/8', s + 1, 1450, 1
      from generate_series(0, ${PROJECTS - 1}) s`,
    `insert into subnet select ${id('f', 's')}, ${id('b', 's')}, ${id('e', 's')}, 'net', '10.0.0.0/8', '10.0.0.1', '0a:00:00:00:00:01', 1
      from generate_series(0, ${PROJECTS - 1}) s`,
    `insert into set (id, project_id, name, wanted, generation, recovery, cpu_millis, memory_bytes, labels,
        containers, placement_rule, host_id, epoch, created_at_ms)
      select ${id('1', 's')}, ${id('b', project)}, 'set-' || s, 'running', 1,
        case when s % 2 = 0 then 'local' else 'elsewhere' end, 100, 1048576, '{"app": "web"}',
        '[{"name": "main", "imageId": "x"}]', '{"hostId": null, "spread": "host", "hostLabels": {}}',
        ${id('d', `s % ${HOSTS}`)}, 1, s from generate_series(1, ${SETS}) s`,
    `insert into set_found select ${id('1', 's')}, ${id('d', `s % ${HOSTS}`)}, 1, 1, 'running', '', null, '[]', s
      from generate_series(1, ${SETS}) s`,
    `insert into port (id, project_id, network_id, subnet_id, name, mac, address, set_id, owned_by_set, created_at_ms)
      select ${id('2', 's')}, ${id('b', project)}, ${id('e', project)}, ${id('f', project)}, 'set-' || s,
        'mac-' || s, '10.1.' || s / 250 || '.' || s % 250, ${id('1', 's')}, true, s
      from generate_series(1, ${SETS}) s`,
    `insert into operation (id, project_id, kind, resource_kind, resource_id, resource_name, state, progress,
        generation, may_cancel, created_at_ms, updated_at_ms, ended_at_ms, deadline_at_ms)
      select ${id('3', 's')}, ${id('b', project)}, 'set.create', 'set', ${id('1', 's')}, 'set-' || s, 'done', '',
        1, false, s, s, s, s + 1000 from generate_series(1, ${SETS}) s`,
  ]
  for (const statement of statements) await sql.raw(statement).execute(database)
}
