-- The whole schema, as all migrations make it. Written by `node tools/emit-schema.ts`; never edited, never run.
-- A change is a new migration; this page shows what it changed.

CREATE TABLE account (
    id uuid NOT NULL,
    name text NOT NULL,
    created_at_ms bigint NOT NULL
);

CREATE TABLE address_rest (
    subnet_id uuid NOT NULL,
    address text NOT NULL,
    until_ms bigint NOT NULL,
    host_id uuid
);

CREATE TABLE applied (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    manifest_id uuid NOT NULL,
    kind text NOT NULL,
    CONSTRAINT applied_kind CHECK ((kind = ANY (ARRAY['network'::text, 'subnet'::text, 'port'::text, 'image'::text, 'set'::text])))
);

CREATE TABLE apply (
    operation_id uuid NOT NULL,
    manifest_id uuid NOT NULL,
    token_id uuid NOT NULL,
    token_name text NOT NULL,
    account_id uuid,
    role text NOT NULL
);

CREATE TABLE apply_step (
    operation_id uuid NOT NULL,
    number integer NOT NULL,
    action text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    needs jsonb NOT NULL,
    is_prune boolean NOT NULL,
    body jsonb NOT NULL,
    state text NOT NULL,
    reason jsonb,
    waits_for uuid,
    begun_at_ms bigint,
    CONSTRAINT apply_step_action CHECK ((action = ANY (ARRAY['create'::text, 'update'::text, 'remove'::text, 'adopt'::text]))),
    CONSTRAINT apply_step_kind CHECK ((kind = ANY (ARRAY['network'::text, 'subnet'::text, 'port'::text, 'image'::text, 'set'::text]))),
    CONSTRAINT apply_step_number_check CHECK ((number >= 0)),
    CONSTRAINT apply_step_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'running'::text, 'done'::text, 'failed'::text])))
);

CREATE TABLE audit (
    id uuid NOT NULL,
    at_ms bigint NOT NULL,
    actor text NOT NULL,
    token_id uuid,
    account_id uuid,
    project_id uuid,
    request_id text,
    call text NOT NULL,
    resource_kind text NOT NULL,
    resource_id uuid,
    resource_name text,
    outcome text NOT NULL,
    code text,
    note text,
    count integer DEFAULT 1 NOT NULL,
    before_sha256 text,
    after_sha256 text,
    CONSTRAINT audit_check CHECK (((outcome = 'refused'::text) = (code IS NOT NULL))),
    CONSTRAINT audit_count_check CHECK ((count >= 1)),
    CONSTRAINT audit_outcome_check CHECK ((outcome = ANY (ARRAY['done'::text, 'refused'::text])))
);

CREATE TABLE brake (
    id uuid NOT NULL,
    only_row boolean DEFAULT true NOT NULL,
    name text NOT NULL,
    hosts jsonb NOT NULL,
    reason jsonb NOT NULL,
    since_ms bigint NOT NULL,
    CONSTRAINT brake_only_row_check CHECK (only_row)
);

CREATE TABLE feed (
    revision bigint NOT NULL,
    sequence integer NOT NULL,
    at_ms bigint NOT NULL,
    kind text NOT NULL,
    id uuid NOT NULL,
    body json
);

CREATE TABLE host (
    id uuid NOT NULL,
    name text NOT NULL,
    region text NOT NULL,
    zone text NOT NULL,
    rack text NOT NULL,
    roles jsonb NOT NULL,
    labels jsonb NOT NULL,
    state text NOT NULL,
    reason jsonb,
    since_ms bigint NOT NULL,
    cordoned boolean DEFAULT false NOT NULL,
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
    created_at_ms bigint NOT NULL,
    stops_within_ms integer,
    probe_address text,
    maintenance boolean DEFAULT false NOT NULL,
    fence jsonb,
    fence_asked jsonb,
    must_clean boolean DEFAULT false NOT NULL,
    power jsonb,
    drain jsonb,
    accelerator text,
    vms_problem text,
    CONSTRAINT host_state_check CHECK ((state = ANY (ARRAY['invited'::text, 'joining'::text, 'ready'::text, 'unreachable'::text, 'fenced'::text, 'returning'::text])))
);

CREATE TABLE host_liveness (
    host_id uuid NOT NULL,
    session_id uuid,
    heard_at_ms bigint NOT NULL,
    beats bigint DEFAULT 0 NOT NULL
);

CREATE TABLE image (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    name text NOT NULL,
    repository text NOT NULL,
    digest text NOT NULL,
    size_bytes bigint NOT NULL,
    layers integer NOT NULL,
    source text NOT NULL,
    command jsonb NOT NULL,
    created_at_ms bigint NOT NULL,
    upload_digest text,
    kind text DEFAULT 'container'::text NOT NULL,
    disk jsonb,
    CONSTRAINT image_kind CHECK ((kind = ANY (ARRAY['container'::text, 'disk'::text, 'kernel'::text]))),
    CONSTRAINT image_source_check CHECK ((source = ANY (ARRAY['rootfs'::text, 'docker-archive'::text, 'oci-layout'::text, 'raw'::text, 'qcow2'::text, 'vmdk'::text, 'kernel'::text])))
);

CREATE TABLE manifest (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    name text NOT NULL,
    created_at_ms bigint NOT NULL
);

CREATE TABLE member (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    account_id uuid NOT NULL,
    role text NOT NULL,
    created_at_ms bigint NOT NULL,
    CONSTRAINT member_role_check CHECK ((role = ANY (ARRAY['viewer'::text, 'member'::text, 'owner'::text])))
);

CREATE TABLE network (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    name text NOT NULL,
    cidr text NOT NULL,
    vni integer NOT NULL,
    mtu_bytes integer NOT NULL,
    created_at_ms bigint NOT NULL,
    CONSTRAINT network_vni_check CHECK (((vni >= 1) AND (vni <= 16777215)))
);

CREATE TABLE operation (
    id uuid NOT NULL,
    project_id uuid,
    kind text NOT NULL,
    resource_kind text NOT NULL,
    resource_id uuid NOT NULL,
    resource_name text NOT NULL,
    state text NOT NULL,
    progress text NOT NULL,
    reason jsonb,
    generation integer NOT NULL,
    may_cancel boolean NOT NULL,
    created_at_ms bigint NOT NULL,
    updated_at_ms bigint NOT NULL,
    ended_at_ms bigint,
    deadline_at_ms bigint NOT NULL,
    CONSTRAINT operation_check CHECK (((ended_at_ms IS NULL) = (state = ANY (ARRAY['pending'::text, 'running'::text])))),
    CONSTRAINT operation_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'running'::text, 'done'::text, 'failed'::text, 'superseded'::text, 'cancelled'::text])))
);

CREATE TABLE placement_term (
    only_row boolean DEFAULT true NOT NULL,
    value bigint NOT NULL,
    CONSTRAINT placement_term_only_row_check CHECK (only_row)
);

CREATE TABLE port (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    network_id uuid NOT NULL,
    subnet_id uuid NOT NULL,
    name text NOT NULL,
    mac text NOT NULL,
    address text NOT NULL,
    set_id uuid,
    host_id uuid,
    interface_name text,
    owned_by_set boolean DEFAULT false NOT NULL,
    created_at_ms bigint NOT NULL,
    vm_id uuid,
    CONSTRAINT port_check CHECK (((set_id IS NULL) OR ((host_id IS NULL) AND (interface_name IS NULL)))),
    CONSTRAINT port_check1 CHECK (((host_id IS NULL) = (interface_name IS NULL))),
    CONSTRAINT port_of_one CHECK (((vm_id IS NULL) OR ((set_id IS NULL) AND (host_id IS NULL))))
);

CREATE TABLE project (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    name text NOT NULL,
    created_at_ms bigint NOT NULL
);

CREATE TABLE quota (
    project_id uuid NOT NULL,
    limits jsonb DEFAULT '{}'::jsonb NOT NULL,
    instances bigint DEFAULT 0 NOT NULL,
    cpu_millis bigint DEFAULT 0 NOT NULL,
    memory_bytes bigint DEFAULT 0 NOT NULL,
    addresses bigint DEFAULT 0 NOT NULL,
    networks bigint DEFAULT 0 NOT NULL,
    volumes bigint DEFAULT 0 NOT NULL,
    CONSTRAINT quota_addresses_check CHECK ((addresses >= 0)),
    CONSTRAINT quota_cpu_millis_check CHECK ((cpu_millis >= 0)),
    CONSTRAINT quota_instances_check CHECK ((instances >= 0)),
    CONSTRAINT quota_memory_bytes_check CHECK ((memory_bytes >= 0)),
    CONSTRAINT quota_networks_check CHECK ((networks >= 0)),
    CONSTRAINT quota_volumes_check CHECK ((volumes >= 0))
)
WITH (fillfactor='20');

CREATE TABLE revision (
    only_row boolean DEFAULT true NOT NULL,
    value bigint NOT NULL,
    CONSTRAINT revision_only_row_check CHECK (only_row)
);

CREATE TABLE secret (
    name text NOT NULL,
    sealed text NOT NULL,
    created_at_ms bigint NOT NULL
);

CREATE TABLE set (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    name text NOT NULL,
    wanted text NOT NULL,
    generation integer NOT NULL,
    restart_count integer DEFAULT 0 NOT NULL,
    recovery text NOT NULL,
    cpu_millis integer NOT NULL,
    memory_bytes bigint NOT NULL,
    labels jsonb NOT NULL,
    containers jsonb NOT NULL,
    placement_rule jsonb NOT NULL,
    host_id uuid,
    epoch integer DEFAULT 0 NOT NULL,
    placement jsonb,
    created_at_ms bigint NOT NULL,
    moved jsonb,
    priority integer DEFAULT 100 NOT NULL,
    leaving jsonb,
    local_generation integer,
    CONSTRAINT set_check CHECK (((host_id IS NULL) OR (epoch >= 1))),
    CONSTRAINT set_generation_check CHECK ((generation >= 1)),
    CONSTRAINT set_priority CHECK (((priority >= 0) AND (priority <= 1000))),
    CONSTRAINT set_recovery_check CHECK ((recovery = ANY (ARRAY['local'::text, 'elsewhere'::text]))),
    CONSTRAINT set_wanted_check CHECK ((wanted = ANY (ARRAY['running'::text, 'stopped'::text, 'removed'::text])))
);

CREATE TABLE set_found (
    id uuid NOT NULL,
    host_id uuid NOT NULL,
    epoch integer NOT NULL,
    generation integer NOT NULL,
    state text NOT NULL,
    progress text NOT NULL,
    reason jsonb,
    containers jsonb NOT NULL,
    since_ms bigint NOT NULL
);

CREATE TABLE subnet (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    network_id uuid NOT NULL,
    name text NOT NULL,
    cidr text NOT NULL,
    gateway_address text NOT NULL,
    gateway_mac text NOT NULL,
    created_at_ms bigint NOT NULL
);

CREATE TABLE token (
    id uuid NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    project_id uuid,
    secret_sha256 text NOT NULL,
    created_at_ms bigint NOT NULL,
    expires_at_ms bigint,
    revoked_at_ms bigint,
    account_id uuid,
    CONSTRAINT token_role_check CHECK ((role = ANY (ARRAY['viewer'::text, 'member'::text, 'owner'::text, 'operator'::text]))),
    CONSTRAINT token_scope CHECK (((role = 'operator'::text) OR (project_id IS NOT NULL) OR (account_id IS NOT NULL)))
);

CREATE TABLE vm (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    name text NOT NULL,
    wanted text NOT NULL,
    generation integer NOT NULL,
    restart_count integer DEFAULT 0 NOT NULL,
    recovery text NOT NULL,
    cpu_millis integer NOT NULL,
    memory_bytes bigint NOT NULL,
    labels jsonb NOT NULL,
    image_id uuid NOT NULL,
    machine jsonb NOT NULL,
    placement_rule jsonb NOT NULL,
    priority integer DEFAULT 100 NOT NULL,
    host_id uuid,
    epoch integer DEFAULT 0 NOT NULL,
    placement jsonb,
    created_at_ms bigint NOT NULL,
    moved jsonb,
    leaving jsonb,
    local_generation integer,
    CONSTRAINT vm_check CHECK (((host_id IS NULL) OR (epoch >= 1))),
    CONSTRAINT vm_generation_check CHECK ((generation >= 1)),
    CONSTRAINT vm_priority_check CHECK (((priority >= 0) AND (priority <= 1000))),
    CONSTRAINT vm_recovery_check CHECK ((recovery = ANY (ARRAY['local'::text, 'elsewhere'::text]))),
    CONSTRAINT vm_wanted_check CHECK ((wanted = ANY (ARRAY['running'::text, 'paused'::text, 'stopped'::text, 'off'::text, 'removed'::text])))
);

CREATE TABLE vm_found (
    id uuid NOT NULL,
    host_id uuid NOT NULL,
    epoch integer NOT NULL,
    generation integer NOT NULL,
    state text NOT NULL,
    progress text NOT NULL,
    reason jsonb,
    machine jsonb,
    restarts integer NOT NULL,
    since_ms bigint NOT NULL
);

ALTER TABLE ONLY account
    ADD CONSTRAINT account_name_key UNIQUE (name);

ALTER TABLE ONLY account
    ADD CONSTRAINT account_pkey PRIMARY KEY (id);

ALTER TABLE ONLY address_rest
    ADD CONSTRAINT address_rest_pkey PRIMARY KEY (subnet_id, address);

ALTER TABLE ONLY applied
    ADD CONSTRAINT applied_pkey PRIMARY KEY (id);

ALTER TABLE ONLY apply
    ADD CONSTRAINT apply_pkey PRIMARY KEY (operation_id);

ALTER TABLE ONLY apply_step
    ADD CONSTRAINT apply_step_pkey PRIMARY KEY (operation_id, number);

ALTER TABLE ONLY audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);

ALTER TABLE ONLY brake
    ADD CONSTRAINT brake_only_row UNIQUE (only_row);

ALTER TABLE ONLY brake
    ADD CONSTRAINT brake_pkey PRIMARY KEY (id);

ALTER TABLE ONLY feed
    ADD CONSTRAINT feed_pkey PRIMARY KEY (revision, sequence);

ALTER TABLE ONLY host_liveness
    ADD CONSTRAINT host_liveness_pkey PRIMARY KEY (host_id);

ALTER TABLE ONLY host
    ADD CONSTRAINT host_name UNIQUE (name);

ALTER TABLE ONLY host
    ADD CONSTRAINT host_pkey PRIMARY KEY (id);

ALTER TABLE ONLY image
    ADD CONSTRAINT image_name UNIQUE (project_id, name);

ALTER TABLE ONLY image
    ADD CONSTRAINT image_pkey PRIMARY KEY (id);

ALTER TABLE ONLY manifest
    ADD CONSTRAINT manifest_name UNIQUE (project_id, name);

ALTER TABLE ONLY manifest
    ADD CONSTRAINT manifest_pkey PRIMARY KEY (id);

ALTER TABLE ONLY member
    ADD CONSTRAINT member_of_project UNIQUE (project_id, account_id);

ALTER TABLE ONLY member
    ADD CONSTRAINT member_pkey PRIMARY KEY (id);

ALTER TABLE ONLY network
    ADD CONSTRAINT network_name UNIQUE (project_id, name);

ALTER TABLE ONLY network
    ADD CONSTRAINT network_pkey PRIMARY KEY (id);

ALTER TABLE ONLY network
    ADD CONSTRAINT network_vni UNIQUE (vni);

ALTER TABLE ONLY operation
    ADD CONSTRAINT operation_pkey PRIMARY KEY (id);

ALTER TABLE ONLY placement_term
    ADD CONSTRAINT placement_term_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY port
    ADD CONSTRAINT port_address UNIQUE (subnet_id, address);

ALTER TABLE ONLY port
    ADD CONSTRAINT port_mac UNIQUE (network_id, mac);

ALTER TABLE ONLY port
    ADD CONSTRAINT port_name UNIQUE (project_id, name);

ALTER TABLE ONLY port
    ADD CONSTRAINT port_pkey PRIMARY KEY (id);

ALTER TABLE ONLY project
    ADD CONSTRAINT project_name UNIQUE (name);

ALTER TABLE ONLY project
    ADD CONSTRAINT project_pkey PRIMARY KEY (id);

ALTER TABLE ONLY quota
    ADD CONSTRAINT quota_pkey PRIMARY KEY (project_id);

ALTER TABLE ONLY revision
    ADD CONSTRAINT revision_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY secret
    ADD CONSTRAINT secret_pkey PRIMARY KEY (name);

ALTER TABLE ONLY set_found
    ADD CONSTRAINT set_found_pkey PRIMARY KEY (id);

ALTER TABLE ONLY set
    ADD CONSTRAINT set_name UNIQUE (project_id, name);

ALTER TABLE ONLY set
    ADD CONSTRAINT set_pkey PRIMARY KEY (id);

ALTER TABLE ONLY subnet
    ADD CONSTRAINT subnet_name UNIQUE (network_id, name);

ALTER TABLE ONLY subnet
    ADD CONSTRAINT subnet_pkey PRIMARY KEY (id);

ALTER TABLE ONLY token
    ADD CONSTRAINT token_pkey PRIMARY KEY (id);

ALTER TABLE ONLY token
    ADD CONSTRAINT token_secret_sha256_key UNIQUE (secret_sha256);

ALTER TABLE ONLY vm_found
    ADD CONSTRAINT vm_found_pkey PRIMARY KEY (id);

ALTER TABLE ONLY vm
    ADD CONSTRAINT vm_name UNIQUE (project_id, name);

ALTER TABLE ONLY vm
    ADD CONSTRAINT vm_pkey PRIMARY KEY (id);

CREATE INDEX applied_manifest ON applied USING btree (manifest_id);

CREATE INDEX apply_step_open ON apply_step USING btree (operation_id) WHERE (state = ANY (ARRAY['pending'::text, 'running'::text]));

CREATE INDEX audit_actor ON audit USING btree (actor, id);

CREATE INDEX audit_project ON audit USING btree (project_id, id);

CREATE INDEX audit_refused ON audit USING btree (id) WHERE (outcome = 'refused'::text);

CREATE INDEX audit_resource ON audit USING btree (resource_id, id);

CREATE INDEX feed_at_ms ON feed USING btree (at_ms);

CREATE INDEX member_account ON member USING btree (account_id);

CREATE INDEX operation_ended ON operation USING btree (ended_at_ms) WHERE (ended_at_ms IS NOT NULL);

CREATE INDEX operation_open ON operation USING btree (deadline_at_ms) WHERE (ended_at_ms IS NULL);

CREATE INDEX operation_resource ON operation USING btree (resource_id);

CREATE INDEX port_set ON port USING btree (set_id);

CREATE INDEX port_vm ON port USING btree (vm_id);

CREATE INDEX set_host ON set USING btree (host_id);

CREATE INDEX vm_host ON vm USING btree (host_id);

CREATE INDEX vm_image ON vm USING btree (image_id);

ALTER TABLE ONLY address_rest
    ADD CONSTRAINT address_rest_host_id_fkey FOREIGN KEY (host_id) REFERENCES host(id) ON DELETE SET NULL;

ALTER TABLE ONLY address_rest
    ADD CONSTRAINT address_rest_subnet_id_fkey FOREIGN KEY (subnet_id) REFERENCES subnet(id) ON DELETE CASCADE;

ALTER TABLE ONLY applied
    ADD CONSTRAINT applied_manifest_id_fkey FOREIGN KEY (manifest_id) REFERENCES manifest(id);

ALTER TABLE ONLY applied
    ADD CONSTRAINT applied_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

ALTER TABLE ONLY apply
    ADD CONSTRAINT apply_manifest_id_fkey FOREIGN KEY (manifest_id) REFERENCES manifest(id);

ALTER TABLE ONLY apply
    ADD CONSTRAINT apply_operation_id_fkey FOREIGN KEY (operation_id) REFERENCES operation(id) ON DELETE CASCADE;

ALTER TABLE ONLY apply_step
    ADD CONSTRAINT apply_step_operation_id_fkey FOREIGN KEY (operation_id) REFERENCES apply(operation_id) ON DELETE CASCADE;

ALTER TABLE ONLY host_liveness
    ADD CONSTRAINT host_liveness_host_id_fkey FOREIGN KEY (host_id) REFERENCES host(id) ON DELETE CASCADE;

ALTER TABLE ONLY image
    ADD CONSTRAINT image_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

ALTER TABLE ONLY manifest
    ADD CONSTRAINT manifest_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

ALTER TABLE ONLY member
    ADD CONSTRAINT member_account_id_fkey FOREIGN KEY (account_id) REFERENCES account(id);

ALTER TABLE ONLY member
    ADD CONSTRAINT member_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

ALTER TABLE ONLY network
    ADD CONSTRAINT network_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

ALTER TABLE ONLY operation
    ADD CONSTRAINT operation_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id) ON DELETE CASCADE;

ALTER TABLE ONLY port
    ADD CONSTRAINT port_host_id_fkey FOREIGN KEY (host_id) REFERENCES host(id);

ALTER TABLE ONLY port
    ADD CONSTRAINT port_network_id_fkey FOREIGN KEY (network_id) REFERENCES network(id);

ALTER TABLE ONLY port
    ADD CONSTRAINT port_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

ALTER TABLE ONLY port
    ADD CONSTRAINT port_set_id_fkey FOREIGN KEY (set_id) REFERENCES set(id);

ALTER TABLE ONLY port
    ADD CONSTRAINT port_subnet_id_fkey FOREIGN KEY (subnet_id) REFERENCES subnet(id);

ALTER TABLE ONLY port
    ADD CONSTRAINT port_vm_id_fkey FOREIGN KEY (vm_id) REFERENCES vm(id);

ALTER TABLE ONLY project
    ADD CONSTRAINT project_account_id_fkey FOREIGN KEY (account_id) REFERENCES account(id);

ALTER TABLE ONLY quota
    ADD CONSTRAINT quota_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id) ON DELETE CASCADE;

ALTER TABLE ONLY set_found
    ADD CONSTRAINT set_found_host_id_fkey FOREIGN KEY (host_id) REFERENCES host(id);

ALTER TABLE ONLY set_found
    ADD CONSTRAINT set_found_id_fkey FOREIGN KEY (id) REFERENCES set(id) ON DELETE CASCADE;

ALTER TABLE ONLY set
    ADD CONSTRAINT set_host_id_fkey FOREIGN KEY (host_id) REFERENCES host(id);

ALTER TABLE ONLY set
    ADD CONSTRAINT set_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

ALTER TABLE ONLY subnet
    ADD CONSTRAINT subnet_network_id_fkey FOREIGN KEY (network_id) REFERENCES network(id);

ALTER TABLE ONLY subnet
    ADD CONSTRAINT subnet_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

ALTER TABLE ONLY token
    ADD CONSTRAINT token_account_id_fkey FOREIGN KEY (account_id) REFERENCES account(id);

ALTER TABLE ONLY token
    ADD CONSTRAINT token_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);

ALTER TABLE ONLY vm_found
    ADD CONSTRAINT vm_found_host_id_fkey FOREIGN KEY (host_id) REFERENCES host(id);

ALTER TABLE ONLY vm_found
    ADD CONSTRAINT vm_found_id_fkey FOREIGN KEY (id) REFERENCES vm(id) ON DELETE CASCADE;

ALTER TABLE ONLY vm
    ADD CONSTRAINT vm_host_id_fkey FOREIGN KEY (host_id) REFERENCES host(id);

ALTER TABLE ONLY vm
    ADD CONSTRAINT vm_image_id_fkey FOREIGN KEY (image_id) REFERENCES image(id);

ALTER TABLE ONLY vm
    ADD CONSTRAINT vm_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id);
