-- name: parked
-- The dead letter as it stands under the locks; no row where it is none any more. Arguments: partition, id.
select events, passed_at from batches
where partition = $1 and id = $2 and parked_at is not null and applied_at is null
for update;

-- name: thread
-- The thread as it stands under the locks. Arguments: partition, thread.
select * from threads where partition = $1 and id = $2;

-- name: replay
-- A dead letter waits again as if it had never been tried. Arguments: partition, id.
update batches
set parked_at = null, passed_at = null, attempts = 0, next_try_at = null, error = null, error_kind = null, stack = null
where partition = $1 and id = $2 and parked_at is not null and applied_at is null;

-- name: discard
-- A dead letter counts as applied, with an outcome that says so. It keeps `parked_at` and `error`: what it was.
-- Arguments: partition, id, outcome.
update batches
set applied_at = clock_timestamp(), outcome = $3, blocked = false
where partition = $1 and id = $2 and parked_at is not null and applied_at is null;

-- name: pass
-- A dead letter stays one, and its thread goes on without it. Arguments: partition, id.
update batches
set passed_at = clock_timestamp()
where partition = $1 and id = $2 and parked_at is not null and applied_at is null and passed_at is null;
