-- Who may do what: accounts, their tokens, their agents.

create table accounts (
    id            uuid primary key,
    name          text not null unique check (name <> ''),
    default_agent uuid,
    held          boolean not null default false,
    created_at    timestamptz not null default now()
);

create table tokens (
    id         uuid primary key,
    account    uuid references accounts,
    kind       text not null check (kind in ('human_pat', 'service_token', 'admin')),
    name       text not null default '',
    digest     bytea not null unique check (octet_length(digest) = 32),
    prefix     text not null,
    created_at timestamptz not null default now(),
    revoked_at timestamptz,
    check ((kind = 'admin') = (account is null))
);

create index tokens_account on tokens (account, created_at);

create table agents (
    id          uuid primary key,
    account     uuid not null references accounts,
    name        text not null check (name <> ''),
    runner      text not null,
    config      jsonb not null default '{}',
    busy_policy text not null default 'queue' check (busy_policy in ('queue', 'reject', 'interrupt', 'steer')),
    kind        text not null default 'cattle' check (kind in ('pet', 'cattle')),
    published   boolean not null default false,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    unique (account, name)
);
