-- name: set
-- An agent's webhook; the secret that it has stays. Returns whether the given one was taken. Arguments: agent, URL, secret.
update agents
set webhook_url = $2, webhook_secret = coalesce(webhook_secret, $3), updated_at = now()
where id = $1
returning webhook_secret = $3 as fresh;

-- name: rotate
-- Another secret for a webhook; no row where the agent has none. Arguments: agent, secret.
update agents
set webhook_secret = $2, updated_at = now()
where id = $1 and webhook_url is not null
returning id;

-- name: remove
-- The agent has no webhook any more; what waits for it becomes a dead letter when its turn comes.
update agents
set webhook_url = null, webhook_secret = null, updated_at = now()
where id = $1;

-- name: due
-- Rows that are to be told, agent by agent, by when they are tried next. Arguments: beyond this agent, time and id; up to
-- this agent; limit.
select o.*, clock_timestamp() as now, a.webhook_url as url
from (select * from outbox
      where delivered_at is null and parked_at is null
        and (agent, next_try_at, id) > ($1::uuid, $2::timestamptz, $3::uuid) and agent <= $4::uuid
      order by agent, next_try_at, id
      limit $5) o
left join agents a on a.id = o.agent
order by o.agent, o.next_try_at, o.id;

-- name: dead
-- Dead letters, the longest parked first. Arguments: beyond this time and id, limit.
select o.*, clock_timestamp() as now, a.webhook_url as url
from (select * from outbox
      where parked_at is not null and (parked_at, id) > ($1::timestamptz, $2::uuid)
      order by parked_at, id
      limit $3) o
left join agents a on a.id = o.agent
order by o.parked_at, o.id;

-- name: dead_of
-- The same of one agent. Arguments: beyond this time and id, limit, agent.
select o.*, clock_timestamp() as now, a.webhook_url as url
from (select * from outbox
      where parked_at is not null and (agent, parked_at, id) > ($4::uuid, $1::timestamptz, $2::uuid) and agent <= $4
      order by agent, parked_at, id
      limit $3) o
left join agents a on a.id = o.agent
order by o.parked_at, o.id;

-- name: count_dead_of
-- How many dead letters an agent has, up to a bound. Arguments: agent, bound.
select count(*)
from (select from outbox where parked_at is not null and agent >= $1 and agent <= $1 order by agent, parked_at limit $2::int) d;

-- name: delivered
-- Delivered rows, the latest first. Arguments: before this time and id, limit.
select o.*, clock_timestamp() as now, a.webhook_url as url
from (select * from outbox
      where delivered_at is not null and (delivered_at, id) < ($1::timestamptz, $2::uuid)
      order by delivered_at desc, id desc
      limit $3) o
left join agents a on a.id = o.agent
order by o.delivered_at desc, o.id desc;

-- name: delivered_of
-- The same of one agent. Arguments: before this time and id, limit, agent.
select o.*, clock_timestamp() as now, a.webhook_url as url
from (select * from outbox
      where delivered_at is not null and (agent, delivered_at, id) < ($4::uuid, $1::timestamptz, $2::uuid) and agent >= $4
      order by agent desc, delivered_at desc, id desc
      limit $3) o
left join agents a on a.id = o.agent
order by o.delivered_at desc, o.id desc;

-- name: find
-- One row by its id: the partitions are tried one after the other.
select o.*, clock_timestamp() as now, a.webhook_url as url
from partitions p
cross join lateral (select * from outbox where partition = p.id and id = $1::uuid offset 0) o
left join agents a on a.id = o.agent;

-- name: replay
-- Rows wait to be told as if they had never been, for another day. Returns their ids.
update outbox o
set delivered_at = null, parked_at = null, attempts = 0, status = null, error = null,
    created_at = clock_timestamp(), next_try_at = clock_timestamp()
from partitions p
where o.partition = p.id and o.id = any($1::uuid[])
returning o.id;

-- name: replay_dead
-- The same for the $2 longest parked dead letters, of one agent ($1) or of all, that were parked before $3.
with chosen as (
    select partition, id from outbox
    where parked_at is not null and parked_at < $3 and ($1::uuid is null or agent = $1)
    order by parked_at limit $2::int
    for no key update skip locked
)
update outbox o
set parked_at = null, attempts = 0, status = null, error = null,
    created_at = clock_timestamp(), next_try_at = clock_timestamp()
from chosen c
where o.partition = c.partition and o.id = c.id;

-- name: summary
-- How many rows are late and how many are dead letters, each up to a bound, and by how many seconds the latest is late.
-- Argument: bound. Agents with rows are looked at up to the same bound.
with recursive waiting (agent, next_try_at, visited) as (
    (select agent, next_try_at, 1 from outbox
     where delivered_at is null and parked_at is null
     order by agent, next_try_at limit 1)
    union all
    select n.agent, n.next_try_at, w.visited + 1
    from waiting w
    cross join lateral (
        select agent, next_try_at from outbox
        where delivered_at is null and parked_at is null and agent > w.agent
        order by agent, next_try_at limit 1
    ) n
    where w.visited < $1::int
)
select (select count(*) from (select from outbox where delivered_at is null and parked_at is null
                              order by agent, next_try_at limit $1::int) s) as waiting,
       (select extract(epoch from clock_timestamp() - min(next_try_at))::float8 from waiting
        where next_try_at <= now()) as late,
       (select count(*) from (select from outbox where parked_at is not null order by parked_at limit $1::int) s) as dead,
       (select extract(epoch from clock_timestamp() - min(parked_at))::float8 from outbox
        where parked_at is not null) as dead_age;
