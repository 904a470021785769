-- name: insert
-- What is to be told of runs that moved. Arguments: columns of partition, thread, id, run, agent, type, body.
insert into outbox (partition, thread, id, run, agent, type, body)
select * from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[]);

-- name: agents
-- Agents with rows that are neither delivered nor parked, at most $2 from $1 on, and whether one of them is due.
with recursive waiting (agent, next_try_at, visited) as (
    (select agent, next_try_at, 1 from outbox
     where delivered_at is null and parked_at is null and agent >= $1::uuid
     order by agent, next_try_at limit 1)
    union all
    select n.agent, n.next_try_at, w.visited + 1
    from waiting w
    cross join lateral (
        select agent, next_try_at from outbox
        where delivered_at is null and parked_at is null and agent > w.agent
        order by agent, next_try_at limit 1
    ) n
    where w.visited < $2::int
)
select agent, next_try_at <= now() as due from waiting;

-- name: claim
-- Takes at most $1 due rows, for $2 seconds: that long nobody else does. Of each of the agents $3 as many as $4 says.
-- With each row: its agent's URL and secret (null where it has none any more), and the time of the signature.
with due as materialized (
    select d.partition, d.id
    from unnest($3::uuid[], $4::int[]) as w (agent, places)
    cross join lateral (
        select partition, id from outbox o
        -- A range of one, which leads the order; and now(): an index can't be asked for what moves.
        where o.agent >= w.agent and o.agent <= w.agent and o.delivered_at is null and o.parked_at is null
          and o.next_try_at <= now()
        order by o.agent, o.next_try_at limit w.places
        for no key update skip locked
    ) d
    limit $1::int
),
taken as (
    update outbox o set attempts = o.attempts + 1, next_try_at = clock_timestamp() + make_interval(secs => $2::float8)
    from due d
    where o.partition = d.partition and o.id = d.id
    returning o.partition, o.id, o.run, o.agent, o.type, o.body, o.attempts
)
select t.*, a.webhook_url as url, a.webhook_secret as secret, clock_timestamp() as now
from taken t
left join agents a on a.id = t.agent
order by t.agent, t.id;

-- name: traces
-- The spans that the runs of these rows belong to; those without are left out. Arguments: columns of partition, id.
select o.id, r.traceparent
from unnest($1::smallint[], $2::uuid[]) as w (partition, id)
join outbox o on o.partition = w.partition and o.id = w.id
cross join lateral (
    select traceparent from runs where partition = o.partition and thread = o.thread and id = o.run offset 0
) as r
where r.traceparent is not null;

-- name: settle
-- What became of tries: delivered; else to be tried again after `delay` seconds, or parked, where `delay` is null or the
-- row is older than $8 seconds. A failure counts only while nobody has begun another try. Returns the rows that changed.
-- Arguments: columns of partition, id, attempts, status, error, delay, delivered.
update outbox o
set delivered_at = case when w.delivered then clock_timestamp() end,
    parked_at = case when not w.delivered
                      and (w.delay is null or o.created_at < clock_timestamp() - make_interval(secs => $8::float8))
                     then clock_timestamp() end,
    next_try_at = clock_timestamp() + make_interval(secs => coalesce(w.delay, 0)),
    status = w.status, error = w.error
from unnest($1::smallint[], $2::uuid[], $3::int[], $4::int[], $5::text[], $6::float8[], $7::bool[])
     as w (partition, id, attempts, status, error, delay, delivered)
where o.partition = w.partition and o.id = w.id and (w.delivered or o.attempts = w.attempts)
  and coalesce(o.delivered_at, o.parked_at) is null  -- in the words of `outbox_due` it may be looked up there, row by row
returning o.id, o.agent, o.parked_at is not null as parked;

-- name: forget
-- Removes at most $3 rows of each kind: delivered more than $1 hours ago, or parked more than $2 days ago.
with delivered as (
    select partition, id from outbox
    where delivered_at is not null and delivered_at < now() - make_interval(secs => $1::float8 * 3600)
    order by delivered_at limit $3::int
),
parked as (
    select partition, id from outbox
    where parked_at is not null and parked_at < now() - make_interval(days => $2::int)
    order by parked_at limit $3::int
)
delete from outbox o using (select * from delivered union all select * from parked) as w
where o.partition = w.partition and o.id = w.id;
