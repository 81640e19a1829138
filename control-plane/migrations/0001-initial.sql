-- The record of intent. Times are milliseconds since the Unix epoch and always come from the program's clock.
-- Every table that the world reads has an `id`; changes reach the feed in the same transaction.

create table revision (
  only_row boolean primary key default true check (only_row),
  value bigint not null
);
insert into revision (value) values (0);

create table feed (
  revision bigint not null,
  sequence integer not null,
  at_ms bigint not null,
  kind text not null,
  id uuid not null,
  body jsonb,
  primary key (revision, sequence)
);
create index feed_at_ms on feed (at_ms);

-- CA and signing keys, sealed under the key file of the servers.
create table secret (
  name text primary key,
  sealed text not null,
  created_at_ms bigint not null
);

create table account (
  id uuid primary key,
  name text not null unique,
  created_at_ms bigint not null
);

create table project (
  id uuid primary key,
  account_id uuid not null references account,
  name text not null constraint project_name unique,
  created_at_ms bigint not null
);

create table token (
  id uuid primary key,
  name text not null,
  role text not null check (role in ('viewer', 'member', 'owner', 'operator')),
  project_id uuid references project,
  secret_sha256 text not null unique,
  created_at_ms bigint not null,
  expires_at_ms bigint,
  revoked_at_ms bigint,
  check (role = 'operator' or project_id is not null)
);

create table host (
  id uuid primary key,
  name text not null constraint host_name unique,
  region text not null,
  zone text not null,
  rack text not null,
  roles jsonb not null,
  labels jsonb not null,
  state text not null check (state in ('invited', 'joining', 'ready', 'unreachable')),
  reason jsonb,
  since_ms bigint not null,
  cordoned boolean not null default false,
  inventory jsonb,
  capacity jsonb,
  reserve jsonb,
  boot_id text,
  vtep_address text,
  underlay_mtu_bytes integer,
  invite_sha256 text,
  invite_expires_at_ms bigint,
  certificate_serial text,
  server_name text,
  session_id uuid,
  created_at_ms bigint not null
);

-- Last heartbeat; written in batches and never part of the feed.
create table host_liveness (
  host_id uuid primary key references host on delete cascade,
  session_id uuid not null,
  heard_at_ms bigint not null
);

create table network (
  id uuid primary key,
  project_id uuid not null references project,
  name text not null,
  cidr text not null,
  vni integer not null constraint network_vni unique check (vni between 1 and 16777215),
  mtu_bytes integer not null,
  created_at_ms bigint not null,
  constraint network_name unique (project_id, name)
);

create table subnet (
  id uuid primary key,
  project_id uuid not null references project,
  network_id uuid not null references network,
  name text not null,
  cidr text not null,
  gateway_address text not null,
  gateway_mac text not null,
  created_at_ms bigint not null,
  constraint subnet_name unique (network_id, name)
);

create table image (
  id uuid primary key,
  project_id uuid not null references project,
  name text not null,
  repository text not null,
  digest text not null,
  size_bytes bigint not null,
  layers integer not null,
  source text not null check (source in ('rootfs', 'docker-archive', 'oci-layout')),
  command jsonb not null,
  created_at_ms bigint not null,
  constraint image_name unique (project_id, name)
);

create table set (
  id uuid primary key,
  project_id uuid not null references project,
  name text not null,
  wanted text not null check (wanted in ('running', 'stopped', 'removed')),
  generation integer not null check (generation >= 1),
  restart_count integer not null default 0,
  recovery text not null check (recovery in ('local', 'elsewhere')),
  cpu_millis integer not null,
  memory_bytes bigint not null,
  labels jsonb not null,
  -- Containers with images resolved to repository and digest, in start order.
  containers jsonb not null,
  placement_rule jsonb not null,
  host_id uuid references host,
  epoch integer not null default 0,
  -- Why this host, why no other; or why none yet.
  placement jsonb,
  created_at_ms bigint not null,
  constraint set_name unique (project_id, name),
  check (host_id is null or epoch >= 1)
);
create index set_host on set (host_id);

-- What the host of a set last said. Separate, so that found state never waits for wanted state.
create table set_found (
  id uuid primary key references set on delete cascade,
  host_id uuid not null references host,
  epoch integer not null,
  generation integer not null,
  state text not null,
  progress text not null,
  reason jsonb,
  containers jsonb not null,
  since_ms bigint not null
);

create table port (
  id uuid primary key,
  project_id uuid not null references project,
  network_id uuid not null references network,
  subnet_id uuid not null references subnet,
  name text not null,
  mac text not null,
  address text not null,
  -- Attached to a set, or to an interface of a host, or to nothing yet.
  set_id uuid references set,
  host_id uuid references host,
  interface_name text,
  -- Made together with its set, so it goes with it.
  owned_by_set boolean not null default false,
  created_at_ms bigint not null,
  constraint port_name unique (project_id, name),
  constraint port_address unique (subnet_id, address),
  constraint port_mac unique (network_id, mac),
  check (set_id is null or (host_id is null and interface_name is null)),
  check ((host_id is null) = (interface_name is null))
);
create index port_set on port (set_id);

-- Freed addresses rest, so that no peer talks to a newcomer by mistake.
create table address_rest (
  subnet_id uuid not null references subnet on delete cascade,
  address text not null,
  until_ms bigint not null,
  primary key (subnet_id, address)
);

create table operation (
  id uuid primary key,
  project_id uuid references project on delete cascade,
  kind text not null,
  resource_kind text not null,
  resource_id uuid not null,
  resource_name text not null,
  state text not null check (state in ('pending', 'running', 'done', 'failed', 'superseded', 'cancelled')),
  progress text not null,
  reason jsonb,
  generation integer not null,
  may_cancel boolean not null,
  created_at_ms bigint not null,
  updated_at_ms bigint not null,
  ended_at_ms bigint,
  deadline_at_ms bigint not null,
  check ((ended_at_ms is null) = (state in ('pending', 'running')))
);
create index operation_resource on operation (resource_id);
create index operation_open on operation (deadline_at_ms) where ended_at_ms is null;
create index operation_ended on operation (ended_at_ms) where ended_at_ms is not null;
