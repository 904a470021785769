-- name: api
-- Says that this api lives, and what it is; returns Postgres' clock, and how many workers have told of themselves within $9
-- seconds.
insert into apis (id, host, pid, port, version, memory, skew, streams) values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (id) do update
set seen_at = clock_timestamp(), port = excluded.port, memory = excluded.memory, skew = excluded.skew,
    streams = excluded.streams
returning seen_at as now,
          (select count(*)::int from workers where workers.seen_at > now() - $9::float8 * interval '1 second') as workers;

-- name: leave
delete from apis where id = $1;

-- name: forget
-- Apis that have said nothing for an hour.
delete from apis where seen_at < now() - interval '1 hour';

-- name: clock
select clock_timestamp();

-- name: oldest_age
-- For how many seconds the oldest waiting batch has waited: of the first $1 accounts with work in each partition, whose
-- first batches the index gives; null where none waits. What somebody paused does not count.
select extract(epoch from clock_timestamp() - min(o.accepted_at))::float8
from partitions p
cross join lateral (
    with recursive heads as (
        (select account, accepted_at
         from batches
         where partition = p.id and applied_at is null and not blocked
         order by account, id
         limit 1)
        union all
        select n.account, n.accepted_at
        from heads h
        cross join lateral (
            select account, accepted_at
            from batches
            where partition = p.id and applied_at is null and not blocked and account > h.account
            order by account, id
            limit 1
        ) n
    )
    select h.accepted_at
    from (select * from heads limit $1) h
    join accounts a on a.id = h.account and not a.held
) o
where not p.paused;
