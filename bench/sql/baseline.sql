-- Statements of the baseline's transaction, one batch at a time. What an event writes goes out in one round trip.

-- name: lock_thread
-- The thread row, locked: batches of one thread are applied one after the other.
select id, agent, kind, title, user_id, client_external_ref, created_by, status, active_runs, last_run_id,
       last_run_seq, created_at, updated_at, clock_timestamp() as now
from threads where id = $1 for no key update;

-- name: current_run
-- The first run in the thread's order that has not ended; read after the lock, in a statement of its own.
select id, seq, status, trigger, created_at, started_at, updated_at, completed_at
from runs where thread = $1 and completed_at is null order by seq limit 1;

-- name: run_by_id
-- The run that an interrupt or a permission request names.
select id, seq, status, trigger, created_at, started_at, updated_at, completed_at
from runs where thread = $1 and id = $2;

-- name: start_run
-- A message and its queued run, the log's entry, and the thread that now runs.
-- $1 thread, $2 run, $3 message, $4 event, $5 seq, $6 text, $7 parts, $8 title, $9 active runs, $10 now,
-- $11 the event that says that the thread is busy, for the first of its runs
with message as (
    insert into messages (thread, id, role, parts, run, created_at) values ($1, $3, 'user', $7, $2, $10)
), run as (
    insert into runs (thread, id, seq, status, trigger, input, created_at, updated_at)
    values ($1, $2, $5, 'queued', 'user_prompt', array[$3], $10, $10)
), event as (
    insert into thread_events (thread, id, run, type, content, occurred_at)
    select $1, $4, $2, 'user.message', $6, $10
    union all select $1, $11::uuid, null, 'session.status', 'RUNNING', $10 where $9 = 1
)
update threads set title = $8, status = 'RUNNING', active_runs = $9, last_run_id = $2, last_run_seq = $5,
                   updated_at = $10
where id = $1;

-- name: cancel_run
-- A run ends as cancelled, the log says so, the thread is idle where it was the last one.
-- $1 thread, $2 run, $3 event, $4 content, $5 active runs, $6 now, $7 the event that says so
with run as (
    update runs set status = 'cancelled', started_at = coalesce(started_at, $6), updated_at = $6, completed_at = $6
    where thread = $1 and id = $2 and completed_at is null
), event as (
    insert into thread_events (thread, id, run, type, content, occurred_at)
    select $1, $3, $2, 'run.completed', $4, $6
    union all select $1, $7::uuid, null, 'session.status', 'IDLE', $6 where $5 = 0
)
update threads set status = case when $5 > 0 then 'RUNNING' else 'IDLE' end, active_runs = $5, updated_at = $6
where id = $1;

-- name: permission
-- The permission request that a decision names, locked.
select id, run, state from permission_requests where thread = $1 and id = $2 for no key update;

-- name: decide_permission
-- A pending request is decided.
update permission_requests set state = $3, decided_at = $4 where thread = $1 and id = $2 and state = 'pending';

-- name: record_batch
-- The batch is applied: a job that arq runs again stops at the primary key and rolls back.
insert into batches (id, thread, events, accepted_at, outcome) values ($1, $2, $3, $4, $5);

-- name: add_threads
-- Idle threads. $1 ids, $2 token
insert into threads (id, created_by) select id, $2 from unnest($1::uuid[]) as id;

-- name: empty_tables
-- Everything that batches left behind.
truncate batches, runs, messages, thread_events, permission_requests;

-- name: reset_threads
-- The threads as they were made.
update threads set title = null, status = 'IDLE', active_runs = 0, last_run_id = null, last_run_seq = 0
where last_run_seq > 0;
