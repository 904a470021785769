-- name: backlog
-- How many batches wait, and how many wait behind a hold, each up to a bound; how many are dead letters, and for how many
-- seconds the oldest has been one. (The orders are there for the planner: without them it may read the whole table.)
-- Argument: bound.
select (select count(*)
        from (select from batches
              where applied_at is null and not blocked
              order by partition, account, id
              limit $1) w) as waiting,
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

-- name: oldest
-- For how many seconds the oldest batch has waited that may be applied: neither its partition nor its account is paused.
-- Looked at are batches that somebody else took for the oldest of their partition, and the first of each account with work,
-- for at most $1 accounts a partition. `looked`: the most accounts that a partition had. Arguments: accounts, partitions and
-- ids of batches.
with first as (
    select b.partition, b.account, b.accepted_at, 0 as place
    from unnest($2::smallint[], $3::bigint[]) as w (partition, id)
    join batches b on b.partition = w.partition and b.id = w.id and b.applied_at is null and not b.blocked
    union all
    select p.id, h.account, h.accepted_at, h.place
    from partitions p
    cross join lateral (
        with recursive heads (account, accepted_at, place) as (
            (select account, accepted_at, 1
             from batches
             where partition = p.id and applied_at is null and not blocked
             order by account, id
             limit 1)
            union all
            select n.account, n.accepted_at, h.place + 1
            from heads h
            cross join lateral (
                select account, accepted_at
                from batches
                where partition = p.id and applied_at is null and not blocked and account > h.account
                order by account, id
                limit 1
            ) n
            where h.place < $1::int
        )
        select account, accepted_at, place from heads
    ) h
)
select extract(epoch from clock_timestamp() - min(f.accepted_at) filter (where not p.paused and not a.held))::float8 as age,
       coalesce(max(f.place), 0)::int as looked
from first f
join partitions p on p.id = f.partition
join accounts a on a.id = f.account;

-- name: active_runs
-- Runs that are not over, by status. Those in a worker's hands or waiting for a permission are at most one a thread and
-- have an index of their own; queued ones are what else there is. Argument: bound.
select status, count(*) as runs, seen
from (
    select status, count(*) over () as seen
    from (select status from runs
          where status in ('booting', 'running', 'waiting_input')
          order by partition, thread
          limit $1) e
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
