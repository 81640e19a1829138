-- Virtual machines beside sets. Servers of the release before never look at them; what they could spoil (a port that is a
-- VM's, the image that it starts from) is kept by constraints.

create table vm (
  id uuid primary key,
  project_id uuid not null references project,
  name text not null,
  wanted text not null check (wanted in ('running', 'paused', 'stopped', 'off', 'removed')),
  generation integer not null check (generation >= 1),
  restart_count integer not null default 0,
  recovery text not null check (recovery in ('local', 'elsewhere')),
  -- What it takes of a host.
  cpu_millis integer not null,
  memory_bytes bigint not null,
  labels jsonb not null,
  image_id uuid not null references image,
  -- What QEMU is given: processors, disk, how it boots.
  machine jsonb not null,
  placement_rule jsonb not null,
  priority integer not null default 100 check (priority between 0 and 1000),
  host_id uuid references host,
  epoch integer not null default 0,
  placement jsonb,
  created_at_ms bigint not null,
  moved jsonb,
  leaving jsonb,
  local_generation integer,
  constraint vm_name unique (project_id, name),
  check (host_id is null or epoch >= 1)
);
create index vm_host on vm (host_id);
create index vm_image on vm (image_id);

-- What the host of a VM last said.
create table vm_found (
  id uuid primary key references vm on delete cascade,
  host_id uuid not null references host,
  epoch integer not null,
  generation integer not null,
  state text not null,
  progress text not null,
  reason jsonb,
  machine jsonb,
  restarts integer not null,
  since_ms bigint not null
);

-- Of the new column alone: a server that does not know it cannot bind a VM's port a second time.
alter table port add column vm_id uuid references vm
  constraint port_of_one check (vm_id is null or (set_id is null and host_id is null));
create index port_vm on port (vm_id);

-- What the host runs VMs with; null: it runs none, and why.
alter table host add column accelerator text, add column vms_problem text;

-- A disk image has no containers' layers but a disk, or a kernel with its initial file system.
alter table image add column kind text not null default 'container' constraint image_kind check (kind in ('container', 'disk', 'kernel'));
alter table image add column disk jsonb;
alter table image drop constraint image_source_check;
alter table image add constraint image_source_check
  check (source in ('rootfs', 'docker-archive', 'oci-layout', 'raw', 'qcow2', 'vmdk', 'kernel'));
