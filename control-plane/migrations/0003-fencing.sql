-- Hosts that were lost: signs, fencing, return; power control; the brake; what a set left when its host was fenced.

alter table host drop constraint host_state_check;
alter table host add constraint host_state_check
  check (state in ('invited', 'joining', 'ready', 'unreachable', 'fenced', 'returning'));
alter table host
  add column stops_within_ms integer,
  add column probe_address text,
  add column maintenance boolean not null default false,
  -- Signs and step of a host that was lost; null while it is in service.
  add column fence jsonb,
  -- An operator's wish to have it fenced now; counts while its operation is open.
  add column fence_asked jsonb,
  -- It was fenced and has not yet shown that nothing of an older placement is left on it.
  add column must_clean boolean not null default false,
  -- Its management controller, without the password.
  add column power jsonb;

-- The session whose heartbeats count; none once the host was given up. `beats` changes with every recorded heartbeat,
-- whatever the clocks of servers say.
alter table host_liveness alter column session_id drop not null;
alter table host_liveness add column beats bigint not null default 0;

-- One row while so many hosts of a zone or rack are lost at once that we suspect ourselves.
create table brake (
  id uuid primary key,
  only_row boolean not null default true constraint brake_only_row unique check (only_row),
  name text not null,
  hosts jsonb not null,
  reason jsonb not null,
  since_ms bigint not null
);

-- The host that a set was on before it was fenced.
alter table set add column moved jsonb;
