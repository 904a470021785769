-- The baseline's tables: the same kind of rows as the service's, keyed by thread.

create table threads (
    id            uuid primary key,
    agent         uuid,
    kind          text not null default 'cattle',
    title         text,
    user_id       text,
    client_external_ref text,
    created_by    uuid not null,
    status        text not null default 'IDLE',
    active_runs   integer not null default 0,
    last_run_id   uuid,
    last_run_seq  bigint not null default 0,
    archived_at   timestamptz,
    deleted_at    timestamptz,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now()
) with (fillfactor = 80);

create table runs (
    thread       uuid not null,
    id           uuid not null,
    seq          bigint not null,
    status       text not null,
    trigger      text not null,
    input        uuid[] not null default '{}',
    created_at   timestamptz not null,
    started_at   timestamptz,
    updated_at   timestamptz not null,
    completed_at timestamptz,
    error        jsonb,
    primary key (thread, id)
) with (fillfactor = 90);

create unique index runs_active on runs (thread, seq) where completed_at is null;

create table messages (
    thread     uuid not null,
    id         uuid not null,
    role       text not null,
    parts      jsonb not null,
    run        uuid,
    created_at timestamptz not null,
    primary key (thread, id)
);

create table thread_events (
    thread      uuid not null,
    id          uuid not null,
    run         uuid,
    type        text not null,
    status      text not null default 'available',
    content     text,
    request_id  text,
    occurred_at timestamptz not null,
    primary key (thread, id)
);

create table permission_requests (
    thread     uuid not null,
    id         uuid not null,
    run        uuid not null,
    state      text not null default 'pending',
    title      text not null,
    created_at timestamptz not null,
    decided_at timestamptz,
    primary key (thread, id)
);

create table batches (
    id          uuid primary key,
    thread      uuid not null,
    events      json not null,
    accepted_at timestamptz not null,
    applied_at  timestamptz not null default clock_timestamp(),
    outcome     text not null
);
