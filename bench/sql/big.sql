-- A database as it looks after a busy year and a bad hour, set-based: what the operator's reads are measured against.
-- What a thread has follows from the number of its row, so that a fill is the same each time.

-- name: accounts
-- Accounts, each with an agent. $1 how many
with made as (
    insert into accounts (id, name)
    select gen_random_uuid(), 'account ' || n from generate_series(1, $1::int) n
    returning id
)
insert into agents (id, account, name, runner, published) select gen_random_uuid(), id, 'agent', 'echo', true from made;

-- name: stage
-- Where the numbered threads are put first.
create unlogged table bench_threads (n bigint, partition smallint, id uuid);

-- name: threads
-- The staged threads get owners: the first accounts have most of them. One in 20 has a run that waits for a worker, one in
-- 1,000 one that executes, one in 1,000 one that waits for a permission. $1 accounts
with owners as materialized (
    select row_number() over (order by created_at, id) - 1 as place, id, account from agents
)
insert into threads (partition, id, account, agent, title, created_by, created_by_kind, status, active_runs, last_run_id,
                     last_run_seq, last_event_id, ready_at, created_at, updated_at)
select s.partition, s.id, o.account, o.id, 'Thread ' || s.n, o.account, 'human_pat',
       case when a.active then 'RUNNING' else 'IDLE' end, a.active::int, s.id, 1, s.id,
       case when s.n % 20 = 0 then now() - interval '10 minutes' end,
       now() - interval '1 year', now() - s.n * interval '1 second'
from bench_threads s
cross join lateral (select s.n % 20 = 0 or s.n % 1000 in (1, 2) as active) a
join owners o on o.place = floor($1::int * power((s.n * 7919 % 100003) / 100003.0::float8, 3))::bigint;

-- name: runs
-- One run a thread: over for most, 1 in 50 of them as failed.
insert into runs (partition, thread, id, seq, status, trigger, input, created_at, started_at, updated_at, completed_at, error)
select s.partition, s.id, s.id, 1, w.status, 'user_prompt', array[s.id], t.at,
       case when w.status <> 'queued' then t.at end, t.at,
       case when w.status in ('completed', 'failed') then t.at + interval '2 seconds' end,
       case when w.status = 'failed' then '{"code": "runner_failed", "message": "The model was away."}'::jsonb end
from bench_threads s
cross join lateral (select now() - s.n * interval '10 seconds' as at) t
cross join lateral (
    select case when s.n % 20 = 0 then 'queued' when s.n % 1000 = 1 then 'running'
                when s.n % 1000 = 2 then 'waiting_input' when s.n % 50 = 7 then 'failed' else 'completed' end as status
) w;

-- name: leases
-- Of the runs that execute.
insert into leases (partition, thread, run, owner, expires_at, deadline)
select partition, id, id, gen_random_uuid(), now() + interval '1 day', now() + interval '1 day'
from bench_threads where n % 1000 = 1;

-- name: requests
-- Of the runs that wait for a permission.
insert into permission_requests (partition, thread, id, run, title, tool_name, created_at, expires_at)
select partition, id, gen_random_uuid(), id, 'May I?', 'shell', now() - interval '5 minutes', now() + interval '1 day'
from bench_threads where n % 1000 = 2;

-- name: messages
-- One a thread.
insert into messages (partition, thread, id, role, parts, run, created_at)
select partition, id, id, 'user', '[{"type": "text", "text": "A message."}]', id, now() - n * interval '10 seconds'
from bench_threads;

-- name: events
-- $1 of each thread, their ids in the order of the log.
insert into thread_events (partition, thread, id, run, type, content, occurred_at)
select s.partition, s.id, (substr(s.id::text, 1, 24) || lpad(to_hex(e), 12, '0'))::uuid, s.id,
       case when e = 1 then 'user.message' else 'agent.message.delta' end, 'A word of ' || e,
       now() - s.n * interval '10 seconds'
from bench_threads s cross join generate_series(1, $1::int) e;

-- name: applied
-- Batches that were applied, over the last day. $1 how many
insert into batches (partition, id, ref, thread, account, token, events, accepted_at, applied_at, outcome)
select t.partition, nextval('batch_ids'), gen_random_uuid(), t.id, t.account, t.account,
       json_build_array(json_build_object('type', 'user_message', 'run', '01BACK' || lpad(place::text, 20, '0'),
                                          'text', 'Message ' || place || ' of the day.')),
       a.at, a.at + interval '5 milliseconds', '{"events": [], "warnings": []}'
from generate_series(1, $1::bigint) as place
cross join lateral (select now() - interval '1 day' * (1 - place / ($1 + 1.0)) as at) a
join bench_threads s on s.n = 1 + (place * 7) % (select count(*) from bench_threads)
join threads t on t.partition = s.partition and t.id = s.id
order by place;

-- name: waiting
-- Batches of the last hour that were not applied: one in 100 behind a hold, one in 5,000 a dead letter. $1 how many
insert into batches (partition, id, ref, thread, account, token, events, accepted_at, blocked, parked_at, attempts, error)
select t.partition, nextval('batch_ids'), gen_random_uuid(), t.id, t.account, t.account,
       json_build_array(json_build_object('type', 'user_message', 'run', '01BACK' || lpad(place::text, 20, '0'),
                                          'text', 'Message ' || place || ' of the backlog.')),
       now() - interval '1 hour' * (1 - place / ($1 + 1.0)), place % 100 = 0,
       case when place % 5000 = 0 then now() end, case when place % 5000 = 0 then 5 else 0 end,
       case when place % 5000 = 0 then 'ValueError: batch ' || place end
from generate_series(1, $1::bigint) as place
join bench_threads s on s.n = 1 + (place * 11) % (select count(*) from bench_threads)
join threads t on t.partition = s.partition and t.id = s.id
order by place;

-- name: in_redis
-- What the waiting set of a partition holds. $1 partition
select id, extract(epoch from accepted_at)::bigint * 1000 as ms
from batches where partition = $1 and applied_at is null and not blocked;

-- name: outbox
-- What webhooks are still to be told. $1 how many
insert into outbox (partition, id, thread, run, agent, type, body, next_try_at)
select t.partition, gen_random_uuid(), t.id, t.id, t.agent, 'run.completed', '{}', now() + interval '1 hour'
from bench_threads s join threads t on t.partition = s.partition and t.id = s.id
where s.n <= $1;

-- name: keys
-- What keyed requests left. $1 how many
insert into idempotency_keys (token, key, route, hash, partition, batch)
select token, id::text, '', '', partition, id from batches order by batches.partition, batches.id limit $1;

-- name: tidy
-- Nothing is left but what a service would have.
drop table bench_threads;
