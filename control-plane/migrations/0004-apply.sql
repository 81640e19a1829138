-- What applied a manifest, and how far it has come.

-- A manifest is its name in a project; it goes when nothing belongs to it and its last operation is forgotten.
create table manifest (
  id uuid primary key,
  project_id uuid not null references project,
  name text not null,
  created_at_ms bigint not null,
  constraint manifest_name unique (project_id, name)
);

-- Which manifest a thing belongs to; the id is the thing's own. A row may outlive the thing for a moment: ids are never
-- given again, so it then means nothing, and it is swept.
create table applied (
  id uuid primary key,
  project_id uuid not null references project,
  manifest_id uuid not null references manifest,
  kind text not null constraint applied_kind check (kind in ('network', 'subnet', 'port', 'image', 'set'))
);
create index applied_manifest on applied (manifest_id);

-- Who asked for an operation of the kind 'apply'; each step is done in that name.
create table apply (
  operation_id uuid primary key references operation on delete cascade,
  manifest_id uuid not null references manifest,
  token_id uuid not null,
  token_name text not null,
  account_id uuid,
  role text not null
);

-- The steps of an operation of the kind 'apply'. Only whoever carries them out reads them, so they are in no world.
create table apply_step (
  operation_id uuid not null references apply on delete cascade,
  number integer not null check (number >= 0),
  action text not null constraint apply_step_action check (action in ('create', 'update', 'remove', 'adopt')),
  kind text not null constraint apply_step_kind check (kind in ('network', 'subnet', 'port', 'image', 'set')),
  name text not null,
  -- Numbers of the steps that must be done before.
  needs jsonb not null,
  -- Removals of what the manifest no longer names wait until everything else is done.
  is_prune boolean not null,
  -- What is asked for, and of what it was seen before.
  body jsonb not null,
  state text not null check (state in ('pending', 'running', 'done', 'failed')),
  reason jsonb,
  -- The operation of the thing that is waited for.
  waits_for uuid,
  begun_at_ms bigint,
  primary key (operation_id, number)
);
create index apply_step_open on apply_step (operation_id) where state in ('pending', 'running');

-- Of the file that was imported, so that it can be told whether another file is the same.
alter table image add column upload_digest text;
