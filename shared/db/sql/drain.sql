-- name: begin
-- Begins a drain and takes its partitions, each a statement of its own in one round trip; {partitions} are numbers with
-- commas between them.
begin;
select pg_advisory_xact_lock(1, p) from unnest(array[{partitions}]::int[]) as p order by p;

-- name: lock
-- Takes the partitions in order and waits for them. A statement of its own: what is read in the lock's own statement
-- would come from a snapshot taken before the lock.
select pg_advisory_xact_lock(1, p) from unnest($1::int[]) as p order by p;

-- name: try_lock
-- Takes those of the partitions that nobody has in hand.
select p from (select p from unnest($1::int[]) as p order by p) as sorted where pg_try_advisory_xact_lock(1, p);

-- name: read
-- The waiting batches of these partitions: of each account with work at most $2 a partition, in id order, so that every
-- thread's batches come as a prefix. Accounts are visited from $3 on, at most $4 a partition; those that are held are
-- stepped over, at a look at the index each, and do not count. `suspect`: the note of an owner that no longer holds the
-- lock names it, 1 with others or by chance as the only one, 2 because it was tried alone.
-- $6 are hot threads to look past. The batches' threads are locked with it (`free`: nobody else has it); those that
-- somebody else holds are passed over. Nobody is waited for here, so the order of these locks is of no account.
-- With $7, where an account has more than $9 (of a single account: a thread), only those are wanted that have at most $10, or
-- a quarter of that. With $8 such ones were about lately: where much is read, only they are wanted, and nothing where there
-- are none. What is not wanted is told, without its events, and not locked. `some`: only some are wanted.
-- The events of what is wanted come up to $11 bytes in all: of each account one batch, the smallest of these first, then each
-- one's second, going round its threads; those of the oldest batch in any case, so that a large one has its turn. What is
-- `cut` is told without them, and not locked. What is stored compressed is taken for eight times as long, and not looked at:
-- a text of one letter alone has up to 90 times its stored bytes.
with recursive retrying as materialized (
    select b.partition, b.thread
    from unnest($1::int[]) as wanted (id)
    cross join lateral (
        select partition, thread from batches
        where partition = wanted.id and applied_at is null and next_try_at > now() order by next_try_at offset 0
    ) as b
),
working (partition, account, first, held, visited) as (
    select p.id, f.account, f.id, o.held, case when o.held then 0 else 1 end
    from unnest($1::int[]) as wanted (id)
    join partitions p on p.id = wanted.id and not p.paused
    cross join lateral (
        select b.account, b.id from batches b
        where b.partition = p.id and b.applied_at is null and not b.blocked and b.account >= $3::uuid
        order by b.account, b.id limit 1
    ) as f
    join accounts o on o.id = f.account
    union all
    select a.partition, f.account, f.id, o.held, a.visited + case when o.held then 0 else 1 end
    from working a
    cross join lateral (
        select b.account, b.id from batches b
        where b.partition = a.partition and b.applied_at is null and not b.blocked and b.account > a.account
        order by b.account, b.id limit 1
    ) as f
    join accounts o on o.id = f.account
    where a.visited < $4::int
),
seen as materialized (
    select b.*
    from working a
    cross join lateral (
        select partition, id, ref, thread, account, token, events, reply_to, accepted_at, attempts, traceparent
        from batches w
        -- The account is a range of one, and leads the order: an equality would let the primary key serve the order as
        -- well, and that index holds every batch of the last day.
        where w.partition = a.partition and w.account >= a.account and w.account <= a.account
          and w.id >= a.first  -- what was applied and not vacuumed yet is gone past once, by the look for the account
          and w.applied_at is null and not w.blocked
          and not exists (select from retrying r where r.partition = w.partition and r.thread = w.thread)
          and w.thread <> all($6::uuid[])
        order by w.account, w.id limit $2::int
    ) as b
    where not a.held
),
sizes as (
    select s.who, s.several, count(*) as n, max(count(*)) over () as most, sum(count(*)) over () as total
    from (select case when a.several then account else thread end as who, a.several
          from seen, (select count(distinct account) > 1 as several from seen) a) s
    where $7::bool
    group by s.who, s.several
),
few as materialized (
    select who from sizes
    where n <= greatest($10::int, most / 4)
      and (most > $9::int or ($8::bool and total > $9::int and (several or most > $10::int)))
),
judged as materialized (
    select s.*,
           case when exists (select from few) then s.account in (select who from few) or s.thread in (select who from few)
                else not ($7::bool and $8::bool and (select count(*) from seen) > $9::int)
           end as wanted
    from seen s
),
sized as materialized (
    select partition, id, account, thread,
           pg_column_size(events)::bigint * case when pg_column_compression(events) is null then 1 else 8 end as bytes
    from judged where wanted
),
heavy as materialized (  -- where all of it is within the bytes, a sum is the whole cost
    select partition, id
    from (select partition, id, sum(bytes) over (order by turn, bytes, id) as so_far
          from (select *, row_number() over (partition by account order by nth, id) as turn
                from (select *, row_number() over (partition by thread order by id) as nth from sized) t) a) as b
    where so_far > $11::bigint and id > (select min(id) from sized) and (select sum(bytes) from sized) > $11::bigint
),
sorted as (
    select j.*, (j.partition, j.id) in (select partition, id from heavy) as cut
    from judged j
)
select b.partition, b.id, b.ref, b.thread, b.account, b.token, case when b.wanted and not b.cut then b.events end as events,
       b.reply_to, b.accepted_at, b.attempts,
       coalesce((select max(case when d.alone then 2 else 1 end) from drains d
                 where d.owner <> $5 and b.partition = any(d.partitions) and b.id = any(d.batches)), 0) as suspect,
       -- counted: of `not exists` the planner makes one look at all threads, for as many rows as there may be
       l.id is not null or not b.wanted or b.cut
       or (select count(*) from threads t where t.partition = b.partition and t.id = b.thread) = 0 as free,
       b.traceparent, clock_timestamp() as now, b.wanted, exists (select from few) or not b.wanted as some, b.cut
from sorted b
left join lateral (
    select t.id from threads t
    where t.partition = b.partition and t.id = b.thread and b.wanted and not b.cut
    for no key update skip locked
) as l on true;

-- name: keep_traces
-- The spans that runs of this transaction belong to. Arguments: columns of partition, thread, run, span.
update runs r set traceparent = w.traceparent
from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[]) as w (partition, thread, id, traceparent)
where r.partition = w.partition and r.thread = w.thread and r.id = w.id;

-- name: block
-- Batches of held threads wait where no drain meets them again.
update batches b set blocked = true
from unnest($1::smallint[], $2::bigint[]) as w (partition, id)
where b.partition = w.partition and b.id = w.id and b.applied_at is null;

-- name: unblock
-- All batches of these threads that were blocked, but not parked, wait again. The caller holds the partitions' locks.
update batches b set blocked = false
from unnest($1::smallint[], $2::uuid[]) as w (partition, thread)
cross join lateral (
    select partition, id from batches
    where partition = w.partition and thread = w.thread and applied_at is null and blocked and parked_at is null offset 0
) as one  -- joined, the planner may look at all that are blocked, which are few at first
where b.partition = one.partition and b.id = one.id;

-- name: read_one
-- Whether this batch still waits, asked again under the lock; its thread is locked as in `read`.
select l.id is not null
       or (select count(*) from threads t where t.partition = b.partition and t.id = b.thread) = 0 as free,
       clock_timestamp() as now
from (select * from batches where partition = $1 and id = $2 offset 0) as b  -- by the primary key
left join lateral (
    select t.id from threads t where t.partition = b.partition and t.id = b.thread for no key update skip locked
) as l on true
where b.applied_at is null and not b.blocked;
