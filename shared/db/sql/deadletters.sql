-- name: bound
-- For this transaction: it waits at most so many ms for a lock, and a stopped process holds nobody up. Argument: ms.
select set_config('lock_timeout', $1, true), set_config('idle_in_transaction_session_timeout', '2s', true);

-- name: lock_partition
-- Keeps drains away: the first lock, as everywhere.
select pg_advisory_xact_lock(1, $1);

-- name: lock_thread
-- The second lock. Arguments: partition, thread.
select id from threads where partition = $1 and id = $2 for no key update;

-- name: parked
-- The dead letter as it stands under the locks; no row where it is none any more. Arguments: partition, id.
select events from batches where partition = $1 and id = $2 and parked_at is not null and applied_at is null for update;

-- name: thread
-- The thread as it stands under the locks. Arguments: partition, thread.
select * from threads where partition = $1 and id = $2;

-- name: replay
-- A dead letter waits again as if it had never been tried. Arguments: partition, id.
update batches
set parked_at = null, attempts = 0, next_try_at = null, error = null
where partition = $1 and id = $2 and parked_at is not null and applied_at is null;

-- name: discard
-- A dead letter counts as applied, with an outcome that says so. It keeps `parked_at` and `error`: what it was.
-- Arguments: partition, id, outcome.
update batches
set applied_at = clock_timestamp(), outcome = $3, blocked = false
where partition = $1 and id = $2 and parked_at is not null and applied_at is null;

-- name: lift
-- Lets a thread go on, unless a dead letter holds it still. Arguments: partition, thread.
update threads
set held = false
where partition = $1 and id = $2 and held
  and not exists (select
                  from batches b
                  where b.partition = $1 and b.thread = $2 and b.applied_at is null and b.blocked
                    and b.parked_at is not null);

-- name: unblock
-- The batches of a thread that is not held wait for the next drain. Arguments: partition, thread.
update batches
set blocked = false
where partition = $1 and thread = $2 and applied_at is null and blocked and parked_at is null
  and not exists (select from threads t where t.partition = $1 and t.id = $2 and t.held);
