-- The data of threads. Every table leads its key with `partition`, which follows from the thread's id; no foreign
-- key crosses tables here: an archive or a delete that races an accept is settled where the batch is applied.

create table partitions (
    id     smallint primary key,
    paused boolean not null default false
);

insert into partitions (id) select generate_series(0, 63);

create table threads (
    partition           smallint not null,
    id                  uuid not null,
    account             uuid not null,
    agent               uuid,
    kind                text not null default 'cattle' check (kind in ('pet', 'cattle')),
    title               text,
    user_id             text,
    client_external_ref text,
    attributed_user     uuid,
    origin_application  text,
    metadata            jsonb not null default '{}',
    created_by          uuid not null,
    created_by_kind     text not null check (created_by_kind in ('human_pat', 'service_token')),
    status              text not null default 'IDLE'
                        check (status in ('IDLE', 'RUNNING', 'RESCHEDULING', 'TERMINATED')),
    active_runs         integer not null default 0 check (active_runs >= 0),
    last_run_id         uuid,
    last_run_seq        bigint not null default 0,
    last_event_id       uuid,
    held                boolean not null default false,
    archived_at         timestamptz,
    deleted_at          timestamptz,
    purged_at           timestamptz,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),
    primary key (partition, id),
    check ((status = 'RUNNING') = (active_runs > 0) or status in ('RESCHEDULING', 'TERMINATED')),
    check (updated_at >= created_at)
) with (fillfactor = 80);

create index threads_by_agent on threads (account, agent, updated_at desc, id) where deleted_at is null;

create index threads_to_purge on threads (deleted_at) where deleted_at is not null and purged_at is null;

-- Integer ids of threads, for the dialect that has them. It can't lead with the partition: the number is all
-- that a request knows.
create table thread_numbers (
    num       bigint generated always as identity (start with 1000000000) primary key,
    partition smallint not null,
    thread    uuid not null unique
);

create table runs (
    partition    smallint not null,
    thread       uuid not null,
    id           uuid not null,
    seq          bigint not null,
    status       text not null check (status in ('queued', 'booting', 'running', 'waiting_input',
                                                 'completed', 'failed', 'cancelled', 'expired')),
    trigger      text not null check (trigger in ('user_prompt', 'retry', 'resume', 'system')),
    input        uuid[] not null default '{}',
    created_at   timestamptz not null,
    started_at   timestamptz,
    updated_at   timestamptz not null,
    completed_at timestamptz,
    error        jsonb,
    attempt      integer not null default 0,
    deadline     timestamptz,
    checkpoint   jsonb,
    primary key (partition, thread, id),
    constraint runs_terminal_iff_completed
        check ((status in ('completed', 'failed', 'cancelled', 'expired')) = (completed_at is not null)),
    constraint runs_started_iff_left_queued check ((status <> 'queued') = (started_at is not null)),
    constraint runs_times_in_order
        check (created_at <= coalesce(started_at, created_at)
               and coalesce(started_at, created_at) <= coalesce(completed_at, updated_at)
               and created_at <= updated_at),
    -- a cancelled run has one where nobody cancelled it by name: `session.archived`
    constraint runs_error_iff_ended_early check (error is null or status in ('failed', 'expired', 'cancelled'))
) with (fillfactor = 90);

create unique index runs_active on runs (partition, thread, seq) where completed_at is null;
create unique index runs_one_executing on runs (partition, thread)
    where status in ('booting', 'running', 'waiting_input');

create table leases (
    partition  smallint not null,
    thread     uuid not null,
    run        uuid not null,
    owner      uuid not null,
    epoch      bigint not null,
    expires_at timestamptz not null,
    primary key (partition, thread)
) with (fillfactor = 50);

create sequence message_numbers start with 1000000000 cache 1;

create table messages (
    partition  smallint not null,
    thread     uuid not null,
    id         uuid not null,
    num        bigint not null default nextval('message_numbers'),
    role       text not null check (role in ('user', 'assistant')),
    parts      jsonb not null,
    parent     bigint,
    run        uuid,
    metadata   jsonb,
    request_id text,
    created_at timestamptz not null,
    primary key (partition, thread, id)
);

create unique index messages_by_number on messages (partition, thread, num);

create table thread_events (
    partition    smallint not null,
    thread       uuid not null,
    id           uuid not null,
    run          uuid,
    type         text not null,
    status       text not null default 'available' check (status in ('available', 'error', 'unsupported')),
    content      text,
    tool_call_id text,
    tool_name    text,
    tool_input   jsonb,
    request_id   text,
    tokens       integer,
    duration_ms  integer,
    occurred_at  timestamptz not null,
    primary key (partition, thread, id)
);

create table permission_requests (
    partition  smallint not null,
    thread     uuid not null,
    id         uuid not null,
    run        uuid not null,
    state      text not null default 'pending'
               check (state in ('pending', 'allowed', 'rejected', 'expired', 'superseded')),
    title      text not null,
    tool_name  text,
    tool_input jsonb,
    note       text,
    created_at timestamptz not null,
    expires_at timestamptz,
    decided_at timestamptz,
    primary key (partition, thread, id),
    check ((state = 'pending') = (decided_at is null))
);

create index permission_requests_open on permission_requests (partition, thread, expires_at) where state = 'pending';

create table steers (
    partition smallint not null,
    thread    uuid not null,
    run       uuid not null,
    target    uuid not null,
    event     uuid not null,
    text      text not null,
    settled   boolean not null default false,
    primary key (partition, thread, run)
);

create index steers_open on steers (partition, thread) where not settled;

create table client_requests (
    partition         smallint not null,
    thread            uuid not null,
    client_request_id text not null,
    run               uuid not null,
    primary key (partition, thread, client_request_id)
);
