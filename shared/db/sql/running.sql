-- Runs of all threads as operators look for them: keys first, by an index each, then what is shown of them.

-- name: active
-- Runs that are not over, thread by thread; of one status where that is named. Arguments: partition, thread and seq to go on
-- behind or nulls, limit, status or null.
select partition, thread, id, seq, status
from runs
where completed_at is null and ($5::text is null or status = $5)
  and (partition, thread, seq) > (coalesce($1::smallint, -1), coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'),
                                  coalesce($3::bigint, -9223372036854775808))
order by partition, thread, seq
limit $4;

-- name: executing
-- The same of those that have left the queue: one a thread at most. Arguments: as above.
select partition, thread, id, seq, status
from runs
where status in ('booting', 'running', 'waiting_input') and ($5::text is null or status = $5)
  and (partition, thread, seq) > (coalesce($1::smallint, -1), coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'),
                                  coalesce($3::bigint, -9223372036854775808))
  and (partition, thread) >= (coalesce($1::smallint, -1), coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'))
order by partition, thread
limit $4;

-- name: asking
-- Open permission requests, the longest waiting first. Arguments: asked at and id to go on behind or nulls, limit.
select r.partition, r.thread, r.run as id, r.id as request, r.title, r.tool_name, left(r.tool_input::text, 2000) as tool_input, r.created_at,
       r.expires_at,
       extract(epoch from clock_timestamp() - r.created_at)::float8 as age,
       extract(epoch from r.expires_at - clock_timestamp())::float8 as expires_in
from permission_requests r
where r.decided_at is null
  and (r.created_at, r.id) > (coalesce($1::timestamptz, '-infinity'),
                              coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'))
order by r.created_at, r.id
limit $3;

-- name: unanswered
-- Runs with an open request that was asked more than $4 seconds ago and never expires, once each: with the oldest such, the
-- longest waiting first. `offset 0` keeps the look at a run's other requests by its index. Arguments: asked at and id to go
-- on behind or nulls, limit, seconds.
select r.partition, r.thread, r.run as id, r.id as request, r.title, r.tool_name, left(r.tool_input::text, 2000) as tool_input, r.created_at,
       r.expires_at,
       extract(epoch from clock_timestamp() - r.created_at)::float8 as age,
       null::float8 as expires_in
from permission_requests r
where r.decided_at is null and r.expires_at is null and r.created_at < now() - make_interval(secs => $4)
  and (r.created_at, r.id) > (coalesce($1::timestamptz, '-infinity'),
                              coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'))
  and not exists (
      select 1 from permission_requests o
      where o.partition = r.partition and o.thread = r.thread and o.run = r.run
        and o.decided_at is null and o.expires_at is null and (o.created_at, o.id) < (r.created_at, r.id)
      offset 0
  )
order by r.created_at, r.id
limit $3;

-- name: ready
-- Threads whose current run has waited for a worker for more than $4 seconds, the longest first, and that run. Those whose last
-- run is still being stopped are among them. Arguments: since when and thread to go on behind or nulls, limit, seconds.
select t.partition, t.id as thread, r.id, t.ready_at
from threads t
cross join lateral (
    select id from runs
    where partition = t.partition and thread = t.id and completed_at is null
    order by seq
    limit 1
) r
where t.ready_at <= now() - make_interval(secs => $4)
  and t.ready_at >= coalesce($1::timestamptz, '-infinity')
  and (t.ready_at > coalesce($1::timestamptz, '-infinity')
       or t.id > coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'))
order by t.ready_at
limit $3;

-- name: leased
-- Leases that ran out or are of runs past their deadline, and of runs that logged nothing for long, among the next $3
-- leases; `last` says of each row where the look ended, null where there are no more. Arguments: partition and thread to go
-- on behind or nulls, how many to look at, most to show, seconds of a lost lease, seconds past a deadline, the first id that
-- an event of now minus the silence would have, seconds of silence.
with looked as materialized (
    select partition, thread, run, taken_at, expires_at, deadline
    from leases
    where (partition, thread) > (coalesce($1::smallint, -1), coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'))
    order by partition, thread
    limit $3
),
judged as (
    select l.partition, l.thread, l.run as id,
           case when l.expires_at < clock_timestamp() - make_interval(secs => $5) then 'lost'
                when l.deadline < clock_timestamp() - make_interval(secs => $6) then 'overdue'
                when t.last_event_id < $7 and l.taken_at < clock_timestamp() - make_interval(secs => $8) then 'silent'
           end as reason
    from looked l
    cross join lateral (
        select last_event_id from threads where partition = l.partition and id = l.thread offset 0
    ) t
),
stuck as (
    select partition, thread, id, reason from judged where reason is not null order by partition, thread limit $4
),
last as (
    select partition, thread from looked order by partition desc, thread desc limit 1
)
select s.*, case when c.looked >= $3 then last.partition end as last_partition,
       case when c.looked >= $3 then last.thread end as last_thread
from (select count(*) as looked from looked) c
left join last on true
left join stuck s on true
order by s.partition, s.thread;

-- name: failed
-- Runs that failed or expired, the latest first. Arguments: ended at and id to go on behind or nulls, limit.
select partition, thread, id, completed_at
from runs
where status in ('failed', 'expired')
  and (completed_at, id) < (coalesce($1::timestamptz, 'infinity'), coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
order by completed_at desc, id desc
limit $3;

-- name: of_thread
-- Runs of a thread, the latest first. Arguments: partition, thread, id to go on behind or null, limit.
select partition, thread, id
from runs
where partition = $1 and thread = $2 and id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
order by partition desc, thread desc, id desc
limit $4;

-- name: of_status
-- Those of one status, each beside how many were looked at and how far down. Arguments: partition, thread, id to go on behind
-- or null, limit, status, how many are looked at.
with looked as materialized (
    select partition, thread, id, status
    from runs
    where partition = $1 and thread = $2 and id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    order by partition desc, thread desc, id desc
    limit $6
)
select s.looked, s.reached, l.*
from (select count(*) as looked, (select id from looked order by id limit 1) as reached from looked) s
left join lateral (
    select partition, thread, id from looked where status = $5 order by id desc limit $4
) l on true
order by l.id desc;

-- name: shown
-- What is shown of runs in a list, in its order: by whole keys, in subqueries that the planner must not take apart.
-- Arguments: partitions, threads, runs.
select r.*, t.title, t.account, o.name as account_name, g.name as agent_name, t.ready_at, l.owner, l.expires_at,
       extract(epoch from clock_timestamp() - r.created_at)::float8 as age,
       extract(epoch from clock_timestamp() - r.updated_at)::float8 as since,
       extract(epoch from clock_timestamp() - t.ready_at)::float8 as ready_since,
       extract(epoch from r.completed_at - r.started_at)::float8 as took
from unnest($1::smallint[], $2::uuid[], $3::uuid[]) with ordinality as w (partition, thread, id, n)
cross join lateral (
    select * from runs where partition = w.partition and thread = w.thread and id = w.id offset 0
) r
cross join lateral (
    select title, account, agent, case when r.completed_at is null then ready_at end as ready_at
    from threads where partition = w.partition and id = w.thread offset 0
) t
join accounts o on o.id = t.account
left join agents g on g.id = t.agent
left join leases l on l.partition = w.partition and l.thread = w.thread and l.run = w.id
order by w.n;
