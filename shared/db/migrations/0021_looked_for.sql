-- What operators look for: dead letters by their errors, the batches of a thread, threads by what their clients call them,
-- runs that ended badly. All of it costs what is in it: a batch that is applied as it should adds one entry to one index.

alter table batches add column error_kind text;  -- what its error has in common with like ones; set where it is parked
alter table batches add column stack text;  -- where its error was raised

-- An error's dead letters, an account's, both, a thread's, and some by their ids: each in the order of the pages.
create index batches_parked_by_kind on batches (error_kind, parked_at, id) where parked_at is not null and applied_at is null;
create index batches_parked_of_account on batches (account, parked_at, id) where parked_at is not null and applied_at is null;
create index batches_parked_of_account_by_kind on batches (account, error_kind, parked_at, id)
    where parked_at is not null and applied_at is null;
create index batches_parked_of_thread on batches (partition, thread, parked_at, id)
    where parked_at is not null and applied_at is null;
create index batches_parked_by_id on batches (id) where parked_at is not null and applied_at is null;

-- What a thread was sent, for its timeline. It says `outcome` and `decided_at` below where others say `applied_at` and
-- `state`, which is the same by a check: a statement that looks for one row by its key must not think of these.
create index batches_applied on batches (partition, thread, id) where outcome is not null;

-- Threads by what their clients call them: those that have no such name cost nothing.
create index threads_by_external_ref on threads (client_external_ref, account, id)
    where client_external_ref is not null and deleted_at is null;
create index threads_held on threads (id) where held and deleted_at is null;

-- Runs that ended badly, by when they did, and permission requests by how long they wait.
create index runs_failed on runs (completed_at, id) where status in ('failed', 'expired');
create index permission_requests_waiting on permission_requests (created_at, id) where decided_at is null;
