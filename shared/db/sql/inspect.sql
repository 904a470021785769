-- name: bound
-- For the session: no read of an operator may take long, it ends after these milliseconds; and it goes by the indexes,
-- and in their order, whatever the planner believes of a table that it has not looked at since it grew. Argument: ms.
select set_config('statement_timeout', $1, false),
       set_config('enable_seqscan', 'off', false),
       set_config('enable_hashjoin', 'off', false),
       set_config('enable_mergejoin', 'off', false),
       set_config('enable_sort', 'off', false),
       set_config('enable_incremental_sort', 'off', false),
       set_config('jit', 'off', false);

-- name: depths
-- What each partition holds, counted up to a bound and never further: a backlog of millions is not scanned. What accounts
-- that are held have waiting is counted apart, between them and in them. (The order is there for the planner: without one
-- it may choose to read the whole table.) Argument: bound.
with gaps as materialized (
    select above, coalesce(lead(above) over (order by above), 'ffffffff-ffff-ffff-ffff-ffffffffffff') as below
    from (select '00000000-0000-0000-0000-000000000000'::uuid as above union all select id from accounts where held) held
)
select p.id as partition, p.paused, w.waiting, h.held, b.blocked
from partitions p
cross join lateral (
    select count(*) as waiting
    from (select
          from gaps g
          cross join lateral (select from batches
                              where partition = p.id and account > g.above and account < g.below
                                and applied_at is null and not blocked
                              order by account, id
                              limit $1) one
          limit $1) w
) w
cross join lateral (
    select count(*) as held
    from (select
          from accounts o
          cross join lateral (select from batches
                              where partition = p.id and account >= o.id and account <= o.id
                                and applied_at is null and not blocked
                              order by account, id
                              limit $1) one
          where o.held
          limit $1) h
) h
cross join lateral (
    select count(*) as blocked
    from (select from batches
          where partition = p.id and applied_at is null and blocked
          order by thread, id
          limit $1) b
) b
order by p.id;

-- name: oldest
-- How long the oldest waiting batch of each partition has waited, seconds of Postgres' clock; apart from it that of accounts
-- which are held. The index is by account: its first batch of each account is looked up, for at most $1 accounts a partition.
select p.id as partition,
       extract(epoch from clock_timestamp() - min(o.accepted_at) filter (where not a.held))::float8 as age,
       extract(epoch from clock_timestamp() - min(o.accepted_at) filter (where a.held))::float8 as held_age
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
    select account, accepted_at from heads limit $1
) o
join accounts a on a.id = o.account
group by p.id;

-- name: dead
-- How many dead letters there are, up to a bound, and for how many seconds the oldest has been one. Argument: bound.
select count(*) as dead, extract(epoch from clock_timestamp() - min(parked_at))::float8 as age
from (select parked_at from batches where parked_at is not null and applied_at is null order by parked_at limit $1) d;

-- name: ready_runs
-- How many threads have a run that waits for a worker, up to a bound, and for how many seconds the oldest has. Argument:
-- bound.
select count(*) as runs, extract(epoch from clock_timestamp() - min(ready_at))::float8 as age
from (select ready_at from threads where ready_at is not null order by ready_at limit $1) r;

-- name: executing
-- How many leases there are, up to a bound, how many of them ran out, and since how many seconds the run that was leased
-- first is in its worker's hands. Epochs only grow, and a run that executes moves only when it is taken. Argument: bound.
with held as materialized (
    select partition, thread, run, epoch, expires_at from leases order by partition, thread limit $1
)
select count(*) as runs, count(*) filter (where expires_at < clock_timestamp()) as lost,
       (select extract(epoch from clock_timestamp() - r.updated_at)::float8
        from held h
        join runs r on r.partition = h.partition and r.thread = h.thread and r.id = h.run
        where h.epoch = (select min(epoch) from held)) as age
from held;

-- name: asking
-- How many permission requests are open, up to a bound, and for how many seconds the oldest of those has been: they are
-- looked at by when they expire. Argument: bound.
select count(*) as requests, extract(epoch from clock_timestamp() - min(created_at))::float8 as age
from (select created_at from permission_requests where state = 'pending' order by expires_at limit $1) r;

-- name: batch
-- One batch by its id or its ref. Arguments: id or null, ref or null.
select b.*, clock_timestamp() as now, coalesce(t.held, false) as held, p.paused,
       o.name as account_name, o.held as account_held, k.key as idempotency_key
from partitions p
cross join lateral (
    select * from batches where partition = p.id and id = $1
    union all
    select * from batches where partition = p.id and ref = $2
) b
join accounts o on o.id = b.account
left join threads t on t.partition = b.partition and t.id = b.thread
left join idempotency_keys k on k.partition = b.partition and k.batch = b.id
limit 1;

-- name: thread
-- One thread, deleted or not. Arguments: partition, id.
select * from threads where partition = $1 and id = $2;

-- name: numbered
-- The thread of a number. Argument: number.
select thread from thread_numbers where num = $1;

-- name: runs
-- The latest runs of one thread, the latest first, and who has them. Arguments: partition, thread, limit.
select r.*, l.owner
from (select * from runs
      where partition = $1 and thread = $2
      order by id desc
      limit $3) r
left join leases l on l.partition = r.partition and l.thread = r.thread and l.run = r.id
order by r.id desc;

-- name: run
-- One run. Arguments: id, partition or null, thread or null. Without its thread the whole index is read.
select *
from runs
where id = $1 and ($2::smallint is null or partition = $2) and ($3::uuid is null or thread = $3)
limit 1;

-- name: run_detail
-- What a run's own row does not say: its place in the queue, since when it waits for a worker, who has its thread, the
-- beginning of what it answers. Arguments: partition, thread, run, characters of the input.
select case when r.completed_at is null
            then (select count(*) from runs e
                  where e.partition = $1 and e.thread = $2 and e.completed_at is null and e.seq < r.seq)
       end as place,
       t.ready_at,
       case when l.run = r.id then l.deadline when r.status = 'booting' then r.deadline end as deadline,
       extract(epoch from case when l.run = r.id then l.deadline when r.status = 'booting' then r.deadline end
                          - clock_timestamp())::float8 as deadline_in,
       octet_length(r.checkpoint::text) as checkpoint_bytes,
       r.usage, r.losses,
       said.input,
       l.run as lease_run, l.owner, l.epoch, l.expires_at,
       extract(epoch from l.expires_at - clock_timestamp())::float8 as expires_in,
       w.host, w.pid
from runs r
join threads t on t.partition = r.partition and t.id = r.thread
left join leases l on l.partition = r.partition and l.thread = r.thread and r.completed_at is null
left join workers w on w.id = l.owner
cross join lateral (
    select left(string_agg(left(part.value ->> 'text', $4), E'\n' order by i.n, part.n), $4) as input
    from unnest(r.input) with ordinality as i (id, n)
    cross join lateral (
        select m.parts from messages m  -- by its key: the id is a range of one that leads the order
        where m.partition = r.partition and m.thread = r.thread and m.id >= i.id and m.id <= i.id
        order by m.id limit 1
    ) as message
    cross join lateral jsonb_array_elements(message.parts) with ordinality as part (value, n)
) as said
where r.partition = $1 and r.thread = $2 and r.id = $3;

-- name: run_requests
-- The permission requests of a run that are open. Arguments: partition, thread, run.
select id, key, title, tool_name, created_at, expires_at,
       extract(epoch from clock_timestamp() - created_at)::float8 as age,
       extract(epoch from expires_at - clock_timestamp())::float8 as expires_in
from permission_requests
where partition = $1 and thread = $2 and state = 'pending' and run = $3
order by id;

-- name: requests
-- The permission requests of a thread that are open. Arguments: partition, thread.
select id, run, title, tool_name, created_at, expires_at
from permission_requests
where partition = $1 and thread = $2 and state = 'pending'
order by id;

-- name: partitions
-- How many partitions this database was created with.
select count(*)::int from partitions;
