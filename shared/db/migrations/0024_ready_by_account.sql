-- Whose runs wait for a worker, account by account: each gets its turn. And the accounts with a cap of their own on runs.
create index threads_ready_by_account on threads (account, ready_at) where ready_at is not null;
create index accounts_concurrency on accounts (id) where concurrency is not null;
