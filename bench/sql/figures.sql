-- What is read after a run. The same statements for both: the columns have the same names in both databases.

-- name: tally
-- Batches, how long they took from accepted to applied (ms), and the seconds from the first to the last: of these
-- threads, or of all ($1 null); accepted at $2 or later, or whenever ($2 null).
select count(*) as rows, count(applied_at) as applied,
       extract(epoch from max(applied_at) - min(accepted_at))::float8 as seconds,
       (percentile_cont(0.5) within group (order by extract(epoch from applied_at - accepted_at)) * 1e3)::float8
           as p50_ms,
       (percentile_cont(0.99) within group (order by extract(epoch from applied_at - accepted_at)) * 1e3)::float8
           as p99_ms,
       extract(epoch from max(applied_at - accepted_at))::float8 * 1e3 as max_ms
from batches
where ($1::uuid[] is null or thread = any($1::uuid[])) and accepted_at >= coalesce($2::timestamptz, '-infinity');

-- name: consistency
-- Both sides of what must be equal: what the batches say that they did, and what stands in the tables.
with said as (
    select events -> 0 ->> 'type' as type, outcome::json -> 'events' -> 0 -> 'run' ->> 'id' as run,
           outcome::json -> 'events' -> 0 -> 'run' ->> 'status' as status,
           outcome::json -> 'warnings' -> 0 ->> 'code' as warning
    from batches where outcome is not null
)
select
    (select count(*) from said where type = 'user_message' and run is not null) as messages_that_started_runs,
    (select count(*) from said where type = 'user_message' and warning = 'queue_full') as messages_refused,
    (select count(*) from said where type = 'user_message') as messages_sent,
    (select count(*) from said where type = 'user_interrupt' and status = 'cancelled') as interrupts_that_hit,
    (select count(*) from said where type = 'permission_decision' and warning = 'permission_not_found')
        as decisions_on_nothing,
    (select count(*) from said where type = 'permission_decision') as decisions_sent,
    (select count(*) from runs) as runs,
    (select count(*) from runs where status = 'cancelled') as runs_cancelled,
    (select count(*) from runs where completed_at is null) as runs_open,
    (select count(*) from messages) as messages,
    (select count(*) from thread_events where type = 'user.message') as message_events,
    (select count(*) from thread_events where type = 'run.completed') as completed_events,
    (select coalesce(sum(active_runs), 0)::bigint from threads) as threads_active_runs,
    (select coalesce(sum(last_run_seq), 0)::bigint from threads) as threads_run_seqs,
    (select count(*) from threads where (status = 'RUNNING') <> (active_runs > 0)) as threads_wrong_status;
