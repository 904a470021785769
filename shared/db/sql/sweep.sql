-- name: late
-- Partitions but $2 with a batch that has waited longer than $1 seconds and may be tried now. It looks between the accounts
-- that are held, and $3: what those have waiting costs nothing, however much it is.
with gaps as materialized (
    select above, coalesce(lead(above) over (order by above), 'ffffffff-ffff-ffff-ffff-ffffffffffff') as below
    from (select '00000000-0000-0000-0000-000000000000'::uuid as above
          union all select id from accounts where held
          union all select $3::uuid where $3 is not null) as stepped_over
)
select p.id
from partitions p
where not p.paused
  and p.id <> all($2::smallint[])
  and exists (
    select
    from gaps g
    cross join lateral (  -- the order and the limit keep the planner from reading the whole index instead
        select from batches b
        where b.partition = p.id and b.account > g.above and b.account < g.below
          and b.applied_at is null and not b.blocked
          and b.accepted_at < clock_timestamp() - $1::float8 * interval '1 second'
          and (b.next_try_at is null or b.next_try_at <= clock_timestamp())
        order by b.account, b.id limit 1
    ) as late
  );

-- name: expired_requests
-- Permission requests past their time, by a second more than that: a decision accepted just before it is visible by
-- then. One with an unapplied batch of its thread from before its time waits for that batch.
select r.partition, r.thread, r.id
from permission_requests r
where r.state = 'pending'
  and r.expires_at < now() - interval '1 second'  -- not clock_timestamp(): an index can't be asked for what moves
  and not exists (  -- each half has an index of its own, and says its order
    select from (
        select from batches b
        where b.partition = r.partition and b.thread = r.thread and b.applied_at is null and not b.blocked
          and b.accepted_at < r.expires_at
        order by b.account, b.id limit 1
    ) waiting
  )
  and not exists (
    select from (
        select from batches b
        where b.partition = r.partition and b.thread >= r.thread and b.thread <= r.thread and b.applied_at is null
          and b.blocked and b.accepted_at < r.expires_at
        order by b.thread, b.id limit 1
    ) behind
  )
order by r.expires_at
limit 100;

-- name: still_expired
-- The same, asked again under the lock of the partition.
select r.thread, r.id, r.run, coalesce(a.on_expired, 'continue') as on_expired, clock_timestamp() as now
from unnest($1::uuid[], $2::uuid[]) as w (thread, id)
cross join lateral (  -- a range of one leads the order: by the primary key
    select * from permission_requests
    where partition = $3 and thread = w.thread and id >= w.id and id <= w.id and state = 'pending'
    order by id limit 1
) as r
join threads t on t.partition = r.partition and t.id = r.thread
left join agents a on a.id = t.agent
where not exists (
    select from (
        select from batches b
        where b.partition = r.partition and b.thread = r.thread and b.applied_at is null and not b.blocked
          and b.accepted_at < r.expires_at
        order by b.account, b.id limit 1
    ) waiting
)
and not exists (
    select from (
        select from batches b
        where b.partition = r.partition and b.thread >= r.thread and b.thread <= r.thread and b.applied_at is null
          and b.blocked and b.accepted_at < r.expires_at
        order by b.thread, b.id limit 1
    ) behind
);

-- name: forget_batches
-- Batches of one partition that applied more than $2 hours ago, with their keys; looks at the oldest $3 after id $4; where
-- the first of these was accepted since, at that one alone. Returns how far it looked (null then), and how many it removed.
with oldest as (
    select partition, id, applied_at from batches
    where partition = $1 and id > $4
      -- now(): clock_timestamp() would be asked for each row. A clock that was ahead for a while keeps nothing here.
      and not (select accepted_at between now() - $2::float8 * interval '1 hour' and now()
               from batches where partition = $1 and id > $4 order by id limit 1)
    order by id limit $3
),
removed as (
    delete from batches b using oldest o
    where b.partition = o.partition and b.id = o.id
      and o.applied_at < clock_timestamp() - $2::float8 * interval '1 hour'
    returning b.partition, b.id
),
keys as (
    delete from idempotency_keys k using removed r where k.partition = r.partition and k.batch = r.id
)
select (select max(id) from oldest) as seen, (select count(*) from oldest)::int as looked,
       (select count(*) from removed)::int as removed;

-- name: tombstones
-- Deleted threads whose rows are still there.
select partition, id from threads
where deleted_at < now() - interval '5 seconds' and purged_at is null
order by deleted_at limit 20;

-- name: purge_events
delete from thread_events where (partition, thread, id) in (
    select partition, thread, id from thread_events where partition = $1 and thread = $2 limit $3);

-- name: purge_messages
delete from messages where (partition, thread, id) in (
    select partition, thread, id from messages where partition = $1 and thread = $2 limit $3);

-- name: purge_runs
delete from runs where (partition, thread, id) in (
    select partition, thread, id from runs where partition = $1 and thread = $2 and completed_at is not null limit $3);

-- name: purge_rest
-- The small tables of a deleted thread.
with requests as (delete from permission_requests where partition = $1 and thread = $2),
     offers as (delete from steers where partition = $1 and thread = $2),
     seen as (delete from client_requests where partition = $1 and thread = $2)
update threads set purged_at = clock_timestamp(), metadata = '{}', user_id = null, client_external_ref = null,
                   title = null, name = null, origin_application = null
where partition = $1 and id = $2;

-- name: forget_threads
-- Tombstones that nobody can ask for any more: their batches and keys have had their time. Their numbers go with them, and
-- not before: a retry of the request that made a thread is answered with its number.
with forgotten as (
    delete from threads t where (t.partition, t.id) in (
        select partition, id from threads
        where purged_at < now() - $1::float8 * interval '1 hour' limit 1000)
      and not exists (select from batches b where b.partition = t.partition and b.thread = t.id and b.applied_at is null
                                               and b.blocked)
    returning t.id
)
delete from thread_numbers n using forgotten f where n.thread = f.id;

-- name: forget_notes
-- Notes of owners that have not worked for an hour; what such a note still names has been settled or waits for its
-- operator. A live owner writes its note anew.
delete from drains
where started_at < clock_timestamp() - interval '1 hour'
  and not exists (select from batches b
                  where b.partition = any(drains.partitions) and b.id = any(drains.batches) and b.applied_at is null
                    and not b.blocked);

-- name: gone
-- Which of these batches no longer wait.
select w.partition, w.id
from unnest($1::smallint[], $2::bigint[]) as w (partition, id)
left join batches b on b.partition = w.partition and b.id = w.id
where b.id is null or b.applied_at is not null or b.blocked;

-- name: unrung
-- Of each partition, $2 batches after (account, id) that have waited longer than $1 seconds.
select w.partition, b.account, b.id, b.accepted_ms
from unnest($3::int[], $4::uuid[], $5::bigint[]) as w (partition, account, id)
cross join lateral (
    select account, id, (extract(epoch from accepted_at) * 1000)::bigint as accepted_ms
    from batches b
    where b.partition = w.partition and b.applied_at is null and not b.blocked
      and b.accepted_at < clock_timestamp() - $1::float8 * interval '1 second'
      and (b.account, b.id) > (w.account, w.id)
    order by b.account, b.id limit $2
) b;

-- name: clock
select clock_timestamp() as now;

-- name: beat
-- Says that this worker lives, and what it does; returns how many are at work on batches, this one's place among them, and
-- how many live at all, of those that told of themselves within $12 seconds, itself among them; how many runs wait for a
-- worker, up to a bound ($8), and for how many seconds the oldest of them has; what an operator asks; and Postgres' clock.
with me as (
    insert into workers (id, host, pid, roles, version, applied, executing, memory, skew, doing)
    values ($1, $2, $3, $4, $5, $6, $7, $9, $10, $11)
    on conflict (id) do update
    set seen_at = clock_timestamp(), applied = excluded.applied, executing = excluded.executing,
        memory = excluded.memory, skew = excluded.skew, doing = excluded.doing
    returning asked
),
dead as (
    delete from workers where seen_at < clock_timestamp() - interval '1 hour'
)
select w.at_work, w.place, w.alive,
       (select count(*) from (select from threads where ready_at is not null order by ready_at limit $8) r) as ready,
       (select extract(epoch from clock_timestamp() - min(ready_at))::float8 from threads
        where ready_at is not null) as ready_age,
       (select asked from me) as asked,
       clock_timestamp() as now
from (select 1 + count(*) filter (where doing = 'work' and roles <> 'execute')::int as at_work,
             count(*) filter (where doing = 'work' and roles <> 'execute' and id < $1)::int as place,
             1 + count(*)::int as alive
      from workers where id <> $1 and seen_at > clock_timestamp() - $12::float8 * interval '1 second') w;

-- name: leave
delete from workers where id = $1;
