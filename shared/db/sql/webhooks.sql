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

-- name: list
-- Rows of the outbox: at most $3 of each state, or of the state $1 alone; of one agent ($2) or of all. Due ones by when
-- they are tried next, dead letters the longest parked first, delivered ones the latest first.
with waiting as (
    select o.* from outbox o
    where coalesce($1 = 'due', true) and o.delivered_at is null and o.parked_at is null
      and ($2::uuid is null or o.agent = $2)
    order by o.agent, o.next_try_at limit $3::int
),
dead as (
    select o.* from outbox o
    where coalesce($1 = 'dead', true) and o.parked_at is not null and ($2::uuid is null or o.agent = $2)
    order by o.parked_at limit $3::int
),
delivered as (
    select o.* from outbox o
    where coalesce($1 = 'delivered', true) and o.delivered_at is not null and ($2::uuid is null or o.agent = $2)
    order by o.delivered_at desc limit $3::int
)
select o.*, clock_timestamp() as now, a.webhook_url as url
from (select 1 as place, w.* from waiting w union all select 2, d.* from dead d union all select 3, d.* from delivered d) o
left join agents a on a.id = o.agent
order by o.place, coalesce(o.parked_at, o.next_try_at), o.id;

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
