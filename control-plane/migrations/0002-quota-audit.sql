-- What each project may use and what it uses. Counters change in the transaction that makes or removes a row; a leader
-- counts anew from time to time, which also makes good what a server of an older version did meanwhile.
create table quota (
  project_id uuid primary key references project on delete cascade,
  -- Resource → the most, or null for no limit. What is absent follows the region's configuration.
  limits jsonb not null default '{}',
  instances bigint not null default 0 check (instances >= 0),
  cpu_millis bigint not null default 0 check (cpu_millis >= 0),
  memory_bytes bigint not null default 0 check (memory_bytes >= 0),
  addresses bigint not null default 0 check (addresses >= 0),
  networks bigint not null default 0 check (networks >= 0),
  volumes bigint not null default 0 check (volumes >= 0)
)
-- A row that changes with every creation finds room on its page and so touches no index.
with (fillfactor = 20);

insert into quota (project_id, instances, cpu_millis, memory_bytes, addresses, networks)
select p.id,
  (select count(*) from set s where s.project_id = p.id),
  (select coalesce(sum(s.cpu_millis), 0) from set s where s.project_id = p.id),
  (select coalesce(sum(s.memory_bytes), 0) from set s where s.project_id = p.id),
  (select count(*) from port t where t.project_id = p.id),
  (select count(*) from network n where n.project_id = p.id)
from project p;

-- Which account may do what in which project.
create table member (
  id uuid primary key,
  project_id uuid not null references project,
  account_id uuid not null references account,
  role text not null check (role in ('viewer', 'member', 'owner')),
  created_at_ms bigint not null,
  constraint member_of_project unique (project_id, account_id)
);
create index member_account on member (account_id);

-- A token of an account acts where, and as long as, its account is a member; its own role is the most it may do.
alter table token add column account_id uuid references account;
alter table token drop constraint token_check;
alter table token add constraint token_scope
  check (role = 'operator' or project_id is not null or account_id is not null);

-- Who did what, or tried to. Never part of the feed; nothing refers to it and it refers to nothing, so that it outlives
-- what it tells of. Ids are in order of time.
create table audit (
  id uuid primary key,
  at_ms bigint not null,
  actor text not null,
  token_id uuid,
  account_id uuid,
  project_id uuid,
  request_id text,
  call text not null,
  resource_kind text not null,
  resource_id uuid,
  resource_name text,
  outcome text not null check (outcome in ('done', 'refused')),
  code text,
  -- Where it was placed, which program was run, why it was refused.
  note text,
  -- How many it stands for: of a flood of refusals only the first are told one by one.
  count integer not null default 1 check (count >= 1),
  before_sha256 text,
  after_sha256 text,
  check ((outcome = 'refused') = (code is not null))
);
create index audit_project on audit (project_id, id);
create index audit_resource on audit (resource_id, id);
create index audit_actor on audit (actor, id);
create index audit_refused on audit (id) where outcome = 'refused';
