-- name: lock_free
-- Locks those of the threads that nobody else has, in the order of their ids.
select t.id, clock_timestamp() as now
from unnest($1::smallint[], $2::uuid[]) as w (partition, id)
join threads t on t.partition = w.partition and t.id = w.id
order by t.id
for no key update of t skip locked;

-- name: lease
-- Gives these runs to a worker, where nobody has a lease of their threads that still holds. The caller has locked the
-- threads. Arguments: partitions, threads, runs, owner, life of a lease (s), time that a run has where its agent says
-- nothing (s). A run that was lost keeps the deadline it had, one that waited has the time
-- it had left; one that was made in this transaction is not there yet.
insert into leases (partition, thread, run, owner, taken_at, expires_at, deadline)
select w.partition, w.thread, w.run, $4, clock_timestamp(), clock_timestamp() + make_interval(secs => $5),
       case when r.status = 'booting' and r.deadline is not null then r.deadline
            when r.status = 'waiting_input' and r.deadline is not null
            then clock_timestamp() + (r.deadline - r.updated_at)  -- since when it waits
            else clock_timestamp() + make_interval(secs => coalesce(a.run_timeout, $6)) end
from unnest($1::smallint[], $2::uuid[], $3::uuid[]) as w (partition, thread, run)
join threads t on t.partition = w.partition and t.id = w.thread
left join lateral (
    select status, deadline, updated_at from runs where partition = w.partition and thread = w.thread and id = w.run
    offset 0  -- by the whole key: joined, the planner may read all runs of the thread
) as r on true
left join agents a on a.id = t.agent
on conflict (partition, thread) do update
set run = excluded.run, owner = excluded.owner, epoch = excluded.epoch, taken_at = excluded.taken_at,
    expires_at = excluded.expires_at, deadline = excluded.deadline
where leases.expires_at <= clock_timestamp()
returning partition, thread, run, epoch, deadline, taken_at, clock_timestamp() as now;

-- name: let_go
-- Ends leases whose runs have ended before; returns the threads whose next run may begin.
with released as (
    delete from leases l
    using unnest($1::smallint[], $2::uuid[], $3::bigint[]) as w (partition, thread, epoch)
    where l.partition = w.partition and l.thread = w.thread and l.epoch = w.epoch
    returning l.partition, l.thread
)
select t.partition, t.id
from released r
cross join lateral (
    select partition, id, ready_at from threads where partition = r.partition and id = r.thread offset 0
) as t
where t.ready_at is not null;

-- name: beat
-- Makes these leases last for another $4 seconds, but for those whose runs are over: they have as long as is left. Says of
-- each whether it is still there, how its run is, whether messages were offered to it, and whether it was passed over because
-- somebody else has its row locked: nobody waits for one here, the others would run out meanwhile.
with mine as materialized (
    select l.partition, l.thread, l.run, l.epoch, r.over
    from unnest($1::smallint[], $2::uuid[], $3::bigint[]) as w (partition, thread, epoch)
    join leases l on l.partition = w.partition and l.thread = w.thread and l.epoch = w.epoch
    cross join lateral (
        select completed_at is not null as over from runs
        where partition = w.partition and thread = w.thread and id = l.run offset 0
    ) as r
),
free as materialized (
    select l.partition, l.thread, l.epoch
    from mine m
    join leases l on l.partition = m.partition and l.thread = m.thread and l.epoch = m.epoch
    where not m.over
    for no key update of l skip locked
),
beaten as (
    update leases l set expires_at = clock_timestamp() + make_interval(secs => $4)
    from free f
    where l.partition = f.partition and l.thread = f.thread and l.epoch = f.epoch
)
select w.thread, w.epoch, m.run is not null as held, coalesce(m.over, false) as over,
       exists (select from steers s
               where s.partition = w.partition and s.thread = w.thread and not s.settled and s.target = m.run
               offset 0) as steered,
       m.run is not null and not m.over and f.thread is null as passed
from unnest($1::smallint[], $2::uuid[], $3::bigint[]) as w (partition, thread, epoch)
left join mine m on m.partition = w.partition and m.thread = w.thread and m.epoch = w.epoch
left join free f on f.partition = w.partition and f.thread = w.thread and f.epoch = w.epoch;

-- name: own
-- The leases of runs at work that a worker has, with those that it may not know of: of a commit whose answer was lost.
-- Arguments: owner, and how old they are at least (s).
select l.partition, l.thread, l.run, l.epoch, l.deadline, l.taken_at, clock_timestamp() as now
from leases l
cross join lateral (
    select status from runs where partition = l.partition and thread = l.thread and id = l.run offset 0
) as r
where l.owner = $1 and l.expires_at > clock_timestamp() and l.taken_at < clock_timestamp() - make_interval(secs => $2)
  and r.status = 'running';

-- name: count_losses
-- Counts a lost worker for each of these runs; returns how many each has lost in all.
update runs r set losses = r.losses + 1
from unnest($1::smallint[], $2::uuid[], $3::uuid[]) as w (partition, thread, id)
where r.partition = w.partition and r.thread = w.thread and r.id = w.id
returning r.thread, r.losses;

-- name: run_out
-- Leases that ran out, and runs whose time is up: both are few among the few that execute.
select partition, thread, run, expires_at < clock_timestamp() as lost
from leases
where expires_at < clock_timestamp() or deadline < clock_timestamp() - interval '1 second'
limit 200;

-- name: still_out
-- The same of these threads, asked again under their locks.
select l.partition, l.thread, l.run, l.epoch, l.expires_at < clock_timestamp() as lost, clock_timestamp() as now
from unnest($1::smallint[], $2::uuid[]) as w (partition, thread)
join leases l on l.partition = w.partition and l.thread = w.thread
where l.expires_at < clock_timestamp() or l.deadline < clock_timestamp();

-- name: ready
-- Threads whose current run has waited for a worker longer than $1 seconds: of each account the $2 that have waited longest, the
-- longest first; accounts behind $3, at most $4, each of them at least with a row of nulls. Those whose last run is still
-- being stopped are left out.
with recursive waiting (account, visited) as (
    (select account, 1 from threads where ready_at is not null and account > $3::uuid order by account limit 1)
    union all
    select n.account, w.visited + 1
    from waiting w
    cross join lateral (
        select account from threads where ready_at is not null and account > w.account order by account limit 1
    ) as n
    where w.visited < $4::int
)
select w.account, t.partition, t.id
from waiting w
left join lateral (
    -- The account is a range of one that leads the order: by the index of those that wait.
    select t.partition, t.id from threads t
    where t.account >= w.account and t.account <= w.account and t.ready_at < now() - make_interval(secs => $1)
      and not exists (select from leases l
                      where l.partition = t.partition and l.thread = t.id and l.expires_at > clock_timestamp())
    order by t.account, t.ready_at limit $2::int
) as t on true;

-- name: caps
-- Accounts with a cap of their own on the runs that one worker executes.
select id, concurrency from accounts where concurrency is not null order by id;

-- name: waiting
-- Those of these threads whose current run waits for a worker still, and whose they are. Arguments: partitions, threads.
select w.id, t.account
from unnest($1::smallint[], $2::uuid[]) as w (partition, id)
cross join lateral (
    select account, ready_at from threads where partition = w.partition and id = w.id offset 0
) as t
where t.ready_at is not null
  and not exists (select from leases l
                  where l.partition = w.partition and l.thread = w.id and l.expires_at > clock_timestamp());

-- name: logged
-- Which of these events are in the log, of these runs and types.
select e.thread, e.id
from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[]) as w (partition, thread, id, run, type)
join thread_events e
    on e.partition = w.partition and e.thread = w.thread and e.id = w.id and e.run = w.run and e.type = w.type;
