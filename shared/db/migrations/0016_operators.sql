-- Who looks after the service: how operators are let in, what they did, and what they asked of its processes.

-- A viewer sees what an admin sees, and changes nothing.
alter table tokens drop constraint tokens_kind_check;
alter table tokens drop constraint tokens_check;
alter table tokens add constraint tokens_kind_check check (kind in ('human_pat', 'service_token', 'admin', 'viewer'));
alter table tokens add constraint tokens_account_iff_client check ((kind in ('admin', 'viewer')) = (account is null));
alter table tokens add column expires_at timestamptz;  -- null: it ends when it is revoked

-- Logins to the console, by the SHA-256 of their cookie. They end with their token.
create table console_sessions (
    digest     bytea primary key check (octet_length(digest) = 32),
    token      uuid not null references tokens,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null
);

create index console_sessions_over on console_sessions (expires_at);

-- What operators did. Written before it is done; `result` is null as long as nothing came of it, for ever where the process
-- that did it died.
create table audit (
    id      bigint generated always as identity primary key,
    at      timestamptz not null default clock_timestamp(),
    actor   text not null,   -- as it is shown: `night shift (mst_Ab12cd)`, `anna@host`
    token   uuid,            -- of the console's session; null: the command line
    via     text not null check (via in ('console', 'cli')),
    action  text not null,   -- `batch.discard`
    target  text not null,   -- `batch 4711`
    account uuid,            -- whose thing it was, where it is one account's
    reason  text,
    touched integer,         -- how many of them it reached
    result  text             -- `done`, or the error in one line
);

create index audit_by_action on audit (action, id);
create index audit_by_target on audit (target, id);
create index audit_by_actor on audit (actor, id);

-- What each process says of itself with its heartbeat.
alter table workers add column memory bigint;  -- bytes, resident
alter table workers add column skew double precision;  -- seconds that its clock is ahead of Postgres'
alter table workers add column asked text check (asked in ('quiet', 'drain'));  -- by an operator; null: to work
alter table workers add column doing text not null default 'work' check (doing in ('work', 'quiet', 'drain'));

create table apis (
    id         uuid primary key,
    host       text not null,
    pid        integer not null,
    port       integer not null,
    version    text not null,
    started_at timestamptz not null default clock_timestamp(),
    seen_at    timestamptz not null default clock_timestamp(),
    memory     bigint,
    skew       double precision,
    streams    integer not null default 0  -- open ones
) with (fillfactor = 50);
