-- name: backlog
-- How many batches wait, how many of those are of accounts that are paused, and how many wait behind a hold, each up to a
-- bound; how many are dead letters, and for how many seconds the oldest has been one. (The orders are there for the planner:
-- without them it may read the whole table.) Argument: bound.
select (select count(*)
        from (select from batches
              where applied_at is null and not blocked
              order by partition, account, id
              limit $1) w) as waiting,
       (select count(*)
        from (select
              from accounts a
              cross join partitions p
              cross join lateral (
                  select from batches
                  where partition = p.id and account >= a.id and account <= a.id and applied_at is null and not blocked
                  order by account, id
                  limit $1) one
              where a.held
              limit $1) h) as held,
       (select count(*)
        from (select from batches
              where applied_at is null and blocked
              order by partition, thread, id
              limit $1) b) as blocked,
       d.dead, d.dead_age
from (
    select count(*) as dead, extract(epoch from clock_timestamp() - min(parked_at))::float8 as dead_age
    from (select parked_at from batches where parked_at is not null and applied_at is null order by parked_at limit $1) p
) d;

-- name: active_runs
-- Runs that are not over, by status. Those in a worker's hands or waiting for a permission are at most one a thread and
-- have an index of their own; queued ones are what else there is. Arguments: bound of the queued ones, of the others.
select status, count(*) as runs, seen
from (
    select status, count(*) over () as seen
    from (select status from runs
          where status in ('booting', 'running', 'waiting_input')
          order by partition, thread
          limit $2) e
    union all
    select status, seen
    from (select status, count(*) over () as seen
          from (select status from runs
                where completed_at is null
                order by partition, thread, seq
                limit $1) a) q
    where status = 'queued'
) r
group by status, seen;

-- name: processes
-- How many workers and apis live, and how many of them fell silent without a goodbye. $1: seconds of silence after which
-- one is gone, $2: after which it is no longer spoken of.
select kind, count(*) filter (where seen_at > clock_timestamp() - make_interval(secs => $1)) as alive,
       count(*) filter (where seen_at <= clock_timestamp() - make_interval(secs => $1)) as silent
from (select 'worker' as kind, seen_at from workers union all select 'api', seen_at from apis) p
where seen_at > clock_timestamp() - make_interval(secs => $2)
group by kind;
