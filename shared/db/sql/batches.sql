-- name: lanes
-- The accounts that have waiting batches, in each partition or in one, at most so many of each. Arguments: partition or
-- null, accounts.
select p.id as partition, a.account
from partitions p
cross join lateral (
    with recursive accounts_with_work as (
        (select account
         from batches
         where partition = p.id and applied_at is null and not blocked
         order by account
         limit 1)
        union all
        select n.account
        from accounts_with_work a
        cross join lateral (
            select account
            from batches
            where partition = p.id and applied_at is null and not blocked and account > a.account
            order by account
            limit 1
        ) n
    )
    select account from accounts_with_work limit $2
) a
where $1::smallint is null or p.id = $1;

-- name: partitions
-- All of them, or one. Argument: partition or null.
select id from partitions where $1::smallint is null or id = $1;

-- name: oldest
-- The oldest waiting batches of some accounts, each in one partition, in id order: the first batch of each is looked up,
-- then the first ones of those that come first. Both by ranges of the index: by equality of the account, the primary key
-- would have the order, too, with all that was applied. What a big one holds is left out, here and below. Arguments: partitions,
-- accounts, beyond this id, limit, bytes.
with heads as materialized (
    select l.partition, l.account, h.id
    from unnest($1::smallint[], $2::uuid[]) l (partition, account)
    cross join lateral (
        select id
        from batches
        where partition = l.partition and (account, id) > (l.account, $3::bigint) and account <= l.account
          and applied_at is null and not blocked
        order by account, id
        limit 1
    ) h
    order by h.id
    limit $4::int
),
farthest as materialized (
    select case when count(*) = $4 then max(id) else 9223372036854775807 end as id from heads
),
candidates as (
    select b.partition, b.id
    from heads h
    cross join farthest f
    cross join lateral (
        select partition, id
        from batches
        where partition = h.partition and (account, id) >= (h.account, h.id) and (account, id) <= (h.account, f.id)
          and applied_at is null and not blocked
        order by account, id
        limit $4
    ) b
    order by b.id
    limit $4
)
select b.partition, b.id, b.ref, b.thread, b.account, b.token, b.accepted_at, b.applied_at, b.outcome, b.attempts,
       b.next_try_at, b.blocked, b.parked_at, b.passed_at, b.error, b.error_kind, b.stack,
       case when pg_column_size(b.events) <= $5 and octet_length(b.events::text) <= $5 then b.events end as events,
       clock_timestamp() as now, coalesce(t.held, false) as held, p.paused, o.name as account_name, o.held as account_held
from candidates c
cross join lateral (select * from batches where partition = c.partition and id = c.id offset 0) b
join partitions p on p.id = b.partition
join accounts o on o.id = b.account
left join threads t on t.partition = b.partition and t.id = b.thread
order by b.id;

-- name: by_account
-- Waiting batches partition by partition, account by account, each one's oldest first. Arguments: beyond this partition,
-- account and id; up to this partition; limit; bytes.
select b.partition, b.id, b.ref, b.thread, b.account, b.token, b.accepted_at, b.applied_at, b.outcome, b.attempts,
       b.next_try_at, b.blocked, b.parked_at, b.passed_at, b.error, b.error_kind, b.stack,
       case when pg_column_size(b.events) <= $6 and octet_length(b.events::text) <= $6 then b.events end as events,
       clock_timestamp() as now, coalesce(t.held, false) as held, p.paused, o.name as account_name, o.held as account_held
from (select *
      from batches
      where applied_at is null and not blocked
        and (partition, account, id) > ($1::smallint, $2::uuid, $3::bigint) and partition <= $4::smallint
      order by partition, account, id
      limit $5) b
join partitions p on p.id = b.partition
join accounts o on o.id = b.account
left join threads t on t.partition = b.partition and t.id = b.thread
order by b.partition, b.account, b.id;

-- name: blocked
-- Batches that wait behind a hold, dead letters among them, partition by partition, thread by thread. Arguments: beyond
-- this partition, thread and id; up to this partition; limit; bytes.
select b.partition, b.id, b.ref, b.thread, b.account, b.token, b.accepted_at, b.applied_at, b.outcome, b.attempts,
       b.next_try_at, b.blocked, b.parked_at, b.passed_at, b.error, b.error_kind, b.stack,
       case when pg_column_size(b.events) <= $6 and octet_length(b.events::text) <= $6 then b.events end as events,
       clock_timestamp() as now, coalesce(t.held, false) as held, p.paused, o.name as account_name, o.held as account_held
from (select *
      from batches
      where applied_at is null and blocked
        and (partition, thread, id) > ($1::smallint, $2::uuid, $3::bigint) and partition <= $4::smallint
      order by partition, thread, id
      limit $5) b
join partitions p on p.id = b.partition
join accounts o on o.id = b.account
left join threads t on t.partition = b.partition and t.id = b.thread
order by b.partition, b.thread, b.id;

-- name: of_thread
-- The batches of one thread that are not applied, in their order. No index leads to those that wait by their thread: so
-- many of its account's are looked at, and `edge` is the last of them where there may be more. There is always a row; one
-- without an id is no batch. Arguments: partition, thread, beyond this id, limit, looked at, bytes.
with looked as materialized (
    select b.id, b.thread
    from threads t
    cross join lateral (
        select id, thread
        from batches
        where partition = t.partition and (account, id) > (t.account, $3::bigint) and account <= t.account
          and applied_at is null and not blocked
        order by account, id
        limit $5::int
    ) b
    where t.partition = $1 and t.id = $2
),
behind as materialized (
    select id
    from batches
    where partition = $1 and (thread, id) > ($2::uuid, $3::bigint) and thread <= $2 and applied_at is null and blocked
    order by thread, id
    limit $4
),
edge as (
    select case when count(*) = $5 then max(id) end as edge from looked
)
select e.edge, b.partition, b.id, b.ref, b.thread, b.account, b.token, b.accepted_at, b.applied_at, b.outcome, b.attempts,
       b.next_try_at, b.blocked, b.parked_at, b.passed_at, b.error, b.error_kind, b.stack,
       case when pg_column_size(b.events) <= $6 and octet_length(b.events::text) <= $6 then b.events end as events,
       clock_timestamp() as now, coalesce(t.held, false) as held, p.paused, o.name as account_name, o.held as account_held
from edge e
left join lateral (
    select id
    from (select id from looked where thread = $2 union all select id from behind) f
    where e.edge is null or id <= e.edge
    order by id
    limit $4
) f on true
left join lateral (select * from batches where partition = $1 and id = f.id offset 0) b on true
left join partitions p on p.id = b.partition
left join accounts o on o.id = b.account
left join threads t on t.partition = b.partition and t.id = b.thread
order by b.id;
