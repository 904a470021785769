-- The inbox: batches of events that were accepted, and what came of them.

-- cache 1: batches that did not overlap in time get ids in their order.
create sequence batch_ids cache 1;

create table batches (
    partition   smallint not null,
    id          bigint not null,
    ref         uuid not null,
    thread      uuid not null,
    account     uuid not null,
    token       uuid not null,
    events      json not null,
    reply_to    text,
    accepted_at timestamptz not null default clock_timestamp(),
    applied_at  timestamptz,
    outcome     text,
    attempts    smallint not null default 0,
    next_try_at timestamptz,
    blocked     boolean not null default false,
    parked_at   timestamptz,
    error       text,
    primary key (partition, id),
    check ((applied_at is null) = (outcome is null)),
    check (parked_at is null or blocked or applied_at is not null)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

create unique index batches_by_ref on batches (ref);
create index batches_waiting on batches (partition, account, id) where applied_at is null and not blocked;
create index batches_blocked on batches (partition, thread, id) where applied_at is null and blocked;

-- Keyed by what a request knows before its thread is looked at.
create table idempotency_keys (
    token      uuid not null,
    key        text not null,
    route      text not null,
    hash       bytea not null,
    partition  smallint not null,
    batch      bigint not null,
    created_at timestamptz not null default now(),
    primary key (token, key)
);

create index idempotency_keys_by_batch on idempotency_keys (partition, batch);

-- What each worker has in hand: written before a drain does its work, cleared in the drain's own transaction. A note
-- that outlives its owner says which batches were being applied when it died.
create table drains (
    owner      uuid primary key,
    partitions smallint[] not null,
    batches    bigint[] not null,
    started_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);

create table workers (
    id         uuid primary key,
    host       text not null,
    pid        integer not null,
    roles      text not null,
    version    text not null,
    started_at timestamptz not null default clock_timestamp(),
    seen_at    timestamptz not null default clock_timestamp(),
    applied    bigint not null default 0
) with (fillfactor = 50);
