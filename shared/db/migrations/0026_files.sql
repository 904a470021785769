-- Files: what clients upload (attachments) and what runs make (artifacts). The bytes are in a storage, under the id.
create table files (
    id         uuid primary key,
    account    uuid not null references accounts,
    agent      uuid not null references agents,
    token      uuid references tokens,  -- whose it is until it is attached; null: a run made it
    kind       text not null check (kind in ('attachment', 'artifact')),
    ready      boolean not null default false,  -- false: its bytes are being written, or will never come
    name       text not null check (length(name) between 1 and 255),
    mime_type  text not null check (length(mime_type) between 1 and 255),
    size       bigint not null default 0 check (size >= 0),  -- bytes
    sha256     bytea check (length(sha256) = 32),
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz,  -- of what belongs to no thread: it is removed then
    partition  smallint,     -- of its thread
    thread     uuid,
    ref        uuid,         -- of the batch that claimed it
    run        uuid,         -- that made it
    check (ready = (sha256 is not null)),
    check ((thread is null) = (partition is null)),
    check (thread is not null or expires_at is not null),
    check ((kind = 'artifact') = (token is null))
);

create index files_of_thread on files (partition, thread, id) where thread is not null;
create index files_of_account on files (account, id);
create index files_expiring on files (expires_at) where expires_at is not null;

-- What an account's files come to: its quota is asked of one row.
create table file_usage (
    account uuid primary key references accounts,
    files   bigint not null default 0,
    bytes   bigint not null default 0
);

-- Bytes whose row is gone: the sweep removes them, and then this.
create table file_removals (
    id          uuid primary key,
    account     uuid not null,
    since       timestamptz not null default clock_timestamp(),
    attempts    integer not null default 0,
    next_try_at timestamptz not null default clock_timestamp()
);

create index file_removals_due on file_removals (next_try_at);
