-- What the bench does to the service's tables, set-based: threads to work on, a backlog, a long history.

-- name: add_threads
-- Idle threads of one agent. $1 partitions, $2 ids, $3 account, $4 agent, $5 token
insert into threads (partition, id, account, agent, created_by, created_by_kind)
select t.partition, t.id, $3, $4, $5, 'human_pat' from unnest($1::smallint[], $2::uuid[]) as t (partition, id);

-- name: partitions
-- How many partitions this database has.
select count(*) from partitions;

-- name: empty_tables
-- Everything that batches left behind.
truncate batches, idempotency_keys, client_requests, runs, messages, thread_events, permission_requests, steers,
         leases;

-- name: reset_threads
-- The threads as they were made.
update threads set title = null, status = 'IDLE', active_runs = 0, last_run_id = null, last_run_seq = 0,
                   last_event_id = null, held = false, ready_at = null
where last_event_id is not null or last_run_seq > 0 or held or ready_at is not null;

-- name: waiting
-- Whether a batch is left that was not applied.
select exists (select from batches where applied_at is null and not blocked)
    or exists (select from batches where applied_at is null and blocked);

-- name: waiting_free
-- Whether a batch is left that may be applied.
select exists (select from batches where applied_at is null and not blocked);

-- name: executing
-- Whether a run is left that is not over.
select exists (select from runs where completed_at is null) or exists (select from leases);

-- name: ends
-- How many runs there are, by status.
select status, count(*) as runs from runs group by status;

-- name: left
-- What may not be applied: batches that wait behind a hold, and dead letters.
select count(*) filter (where parked_at is null) as held, count(parked_at) as parked
from batches where applied_at is null and blocked;

-- name: hold
-- The thread waits for its operator.
update threads set held = true where id = $1;

-- name: add_batches
-- $6 batches of the events $5. $1 partition, $2 thread, $3 account, $4 token
insert into batches (partition, id, ref, thread, account, token, events)
select $1, nextval('batch_ids'), gen_random_uuid(), $2, $3, $4, $5::text::json from generate_series(1, $6::bigint);

-- name: stored
-- Rows that a request can leave behind before anything is applied.
select (select count(*) from batches) + (select count(*) from threads) + (select count(*) from idempotency_keys);

-- name: add_backlog
-- $3 batches of one user message each, over all threads of the account in turn; ids of runs are made of the number.
-- $1 account, $2 token
with numbered as (
    select partition, id, row_number() over (order by id) - 1 as place from threads where account = $1
), numbers as materialized (
    select n, n % (select count(*) from threads where account = $1) as place
    from generate_series(0, $3::bigint - 1) as n
)
insert into batches (partition, id, ref, thread, account, token, events)
select t.partition, nextval('batch_ids'),
       (lpad(to_hex(n / 5), 12, '0') || substr(md5(n::text), 1, 20))::uuid,  -- in their order, as an accept's: 5 a millisecond
       t.id, $1, $2,
       json_build_array(json_build_object('type', 'user_message', 'run', '01BACK' || lpad(n::text, 20, '0'),
                                          'text', 'Message ' || n || ' of the backlog.'))
from numbers join numbered as t using (place)
order by n;

-- name: backlog_drained
-- Whether $2 batches of this account ($1) are applied.
select count(*) >= $2 from (select from batches where account = $1 and applied_at is not null limit $2) as b;

-- name: backlog_progress
-- How many of this account's ($1) are applied, how many of them from $2 to $3, and the seconds of all.
select count(applied_at) as applied, count(parked_at) as parked,
       count(*) filter (where applied_at between $2 and $3) as within,
       extract(epoch from max(applied_at) - min(applied_at))::float8 as seconds
from batches where account = $1;

-- name: add_history_runs
-- Runs that ended long ago. $1 partition, $2 thread, $3 how many
insert into runs (partition, thread, id, seq, status, trigger, created_at, started_at, updated_at, completed_at)
select $1, $2, gen_random_uuid(), n, 'completed', 'user_prompt', t.at, t.at, t.at, t.at
from generate_series(1, $3::bigint) as n,
     lateral (select now() - interval '1 day' + n * interval '1 millisecond' as at) as t;

-- name: add_history_messages
-- The messages of that time. $1 partition, $2 thread, $3 how many
insert into messages (partition, thread, id, role, parts, created_at)
select $1, $2, gen_random_uuid(), 'user', '[{"type": "text", "text": "A message of long ago."}]',
       now() - interval '1 day' + n * interval '1 millisecond'
from generate_series(1, $3::bigint) as n;

-- name: add_history_events
-- The log of that time, its ids in the order of the log and older than now.
-- $1 partition, $2 thread, $3 how many, $4 the newest id
insert into thread_events (partition, thread, id, type, content, occurred_at)
select $1, $2, (lpad(to_hex(n), 12, '0') || substr(replace($4::uuid::text, '-', ''), 13))::uuid, 'user.message',
       'A message of long ago.', now() - interval '1 day' + n * interval '1 millisecond'
from generate_series(1, $3::bigint) as n;

-- name: set_history
-- The thread after all that.
update threads set title = 'A long history', last_run_seq = $3,
                   last_event_id = (select max(id::text)::uuid from thread_events where partition = $1 and thread = $2)
where partition = $1 and id = $2;
