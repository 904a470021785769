-- name: lock_threads
-- Locks the threads, in the order of their ids.
with locked as (
    select 1
    from unnest($1::smallint[], $2::uuid[]) as w (partition, id)
    join threads t on t.partition = w.partition and t.id = w.id
    order by t.id
    for no key update of t
)
select count(*) from locked;

-- name: threads
-- The threads, their agents' policy for a busy one and whether they have a webhook (where there is no agent: those of the
-- account's default one, `fallback`), who has a lease, whether messages are offered to its run, and the first runs of each
-- queue: as many as its events may reach, all of them ($4) where any message may interrupt. A row a run, one with nulls for a
-- thread that is idle.
select t.partition, t.id, t.account, t.agent, t.kind, t.title, t.user_id, t.client_external_ref, t.attributed_user,
       t.created_by, t.created_by_kind, t.status, t.active_runs, t.last_run_id, t.last_run_seq, t.last_event_id,
       t.held, t.archived_at, t.deleted_at, t.created_at, t.updated_at, t.ready_at,
       coalesce(a.busy_policy, 'queue') as busy_policy, a.webhook_url is not null as hooked,
       a.id as fallback, l.epoch,
       t.active_runs > 0 and exists (select from steers s
                                     where s.partition = t.partition and s.thread = t.id and not s.settled) as steered,
       r.id as run_id, r.seq as run_seq, r.status as run_status, r.trigger as run_trigger,
       r.created_at as run_created_at, r.started_at as run_started_at, r.updated_at as run_updated_at,
       r.error as run_error, r.attempt as run_attempt
from unnest($1::smallint[], $2::uuid[], $3::int[]) as w (partition, id, need)
join threads t on t.partition = w.partition and t.id = w.id
left join agents a on a.id = coalesce(t.agent, (
    select g.id from accounts o
    cross join lateral (
        select id, published from agents where account = o.id
        order by id = o.default_agent desc nulls last, created_at, id limit 1
    ) as g
    where o.id = t.account and g.published
))
left join leases l on t.active_runs > 0 and l.partition = t.partition and l.thread = t.id
left join lateral (
    select * from runs r
    where t.active_runs > 0 and r.partition = t.partition and r.thread = t.id and r.completed_at is null
    order by r.seq limit case when a.busy_policy = 'interrupt' then $4::int else w.need end
) as r on true;

-- name: named_runs
-- Runs that events name, whatever their state.
select r.thread, r.id, r.seq, r.status, r.trigger, r.created_at, r.started_at, r.updated_at, r.completed_at, r.error,
       r.attempt
from unnest($1::smallint[], $2::uuid[], $3::uuid[]) as w (partition, thread, id)
join runs r on r.partition = w.partition and r.thread = w.thread and r.id = w.id;

-- name: client_requests
-- The first runs of client request ids that were seen before.
select c.thread, c.client_request_id, c.run
from unnest($1::smallint[], $2::uuid[], $3::text[]) as w (partition, thread, client_request_id)
cross join lateral (
    select * from client_requests
    where partition = w.partition and thread = w.thread and client_request_id = w.client_request_id offset 0
) as c;

-- name: message_notes
-- What is kept with messages that are about to be edited or removed, and whose they are: a run's that answers them now,
-- else their own. A range of one leads the order: by the key.
select w.thread, m.id, m.metadata::text as metadata,
       coalesce((select r.id from runs r
                 where r.partition = w.partition and r.thread = w.thread
                   and r.status in ('booting', 'running', 'waiting_input') and m.id = any(r.input)), m.run) as run,
       case when m.role = 'user' and m.run is null then m.size else 0 end as waits
from unnest($1::smallint[], $2::uuid[], $3::uuid[]) as w (partition, thread, id)
cross join lateral (
    select id, metadata, role, run, size from messages
    where partition = w.partition and thread = w.thread and id >= w.id and id <= w.id
    order by id limit 1
) as m;

-- name: waiting_messages
-- How many of users' messages wait for a run in each thread, and how large they are: there is a limit to both.
select w.id, count(m.size)::int as messages, coalesce(sum(m.size), 0)::bigint as size
from unnest($1::smallint[], $2::uuid[]) as w (partition, id)
left join lateral (
    select size from messages
    where partition = w.partition and thread >= w.id and thread <= w.id and run is null and role = 'user'
    order by thread, num limit 10001
) as m on true
group by w.id;

-- name: thread_notes
-- What is kept with threads that are about to be edited.
select t.id, t.metadata::text as metadata
from unnest($1::smallint[], $2::uuid[]) as w (partition, id)
join threads t on t.partition = w.partition and t.id = w.id;

-- name: permission_requests
-- Open permission requests of these threads, and those that decisions name. Ranges of one lead the orders, so that each half
-- goes by its own index.
select p.thread, p.id, p.run, p.state, p.expires_at, p.note
from unnest($1::smallint[], $2::uuid[]) as w (partition, thread)
cross join lateral (
    select * from permission_requests
    where partition = w.partition and thread >= w.thread and thread <= w.thread and state = 'pending'
    order by thread, expires_at limit 100000
) as p
union
select p.thread, p.id, p.run, p.state, p.expires_at, p.note
from unnest($3::smallint[], $4::uuid[], $5::uuid[]) as w (partition, thread, id)
cross join lateral (
    select * from permission_requests
    where partition = w.partition and thread = w.thread and id >= w.id and id <= w.id
    order by id limit 1
) as p;

-- name: steers
-- Offers that no runner has acknowledged yet.
select s.thread, s.run, s.target, s.event, s.text, s.settled
from unnest($1::smallint[], $2::uuid[]) as w (partition, thread)
cross join lateral (
    select * from steers where partition = w.partition and thread = w.thread and not settled offset 0
) as s;
