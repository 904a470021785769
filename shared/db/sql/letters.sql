-- name: kinds
-- Errors that dead letters have, by their kind, from one kind on, each with how many there are up to a bound, and when
-- the first and the last was parked. It goes from one kind to the next by the index. Arguments: the kind to begin behind
-- or null, limit, bound.
with recursive kinds as (
    (select error_kind as kind, 1 as n
     from batches
     where parked_at is not null and applied_at is null and error_kind > coalesce($1::text, '')
     order by error_kind, parked_at, id
     limit 1)
    union all
    select following.error_kind, k.n + 1
    from kinds k
    cross join lateral (
        select error_kind
        from batches
        where parked_at is not null and applied_at is null and error_kind > k.kind
        order by error_kind, parked_at, id
        limit 1
    ) following
    where k.n < $2
)
select k.kind, counted.letters, first.parked_at as first, last.parked_at as last,
       extract(epoch from clock_timestamp() - first.parked_at)::float8 as age
from kinds k
cross join lateral (
    select count(*) as letters
    from (select from batches
          where parked_at is not null and applied_at is null and error_kind >= k.kind and error_kind <= k.kind
          order by error_kind, parked_at, id
          limit $3) c
) counted
cross join lateral (
    select parked_at from batches
    where parked_at is not null and applied_at is null and error_kind >= k.kind and error_kind <= k.kind
    order by error_kind, parked_at, id
    limit 1
) first
cross join lateral (
    select parked_at from batches
    where parked_at is not null and applied_at is null and error_kind >= k.kind and error_kind <= k.kind
    order by error_kind desc, parked_at desc, id desc
    limit 1
) last
order by k.kind;

-- name: unsorted
-- How many dead letters have no kind yet, up to a bound: a worker gives them one. Argument: bound.
select count(*) as letters, min(parked_at) as first, max(parked_at) as last,
       extract(epoch from clock_timestamp() - min(parked_at))::float8 as age
from (select parked_at from batches
      where parked_at is not null and applied_at is null and error_kind is null
      order by parked_at, id
      limit $1) c;

-- name: to_sort
-- Dead letters without a kind. The kind leads the order: by the index that has it. Argument: limit.
select partition, id, error from batches
where parked_at is not null and applied_at is null and error_kind is null
order by error_kind, parked_at, id
limit $1;

-- name: sort
-- Gives dead letters their kinds. Arguments: partitions, ids, kinds.
update batches b set error_kind = w.kind
from unnest($1::smallint[], $2::bigint[], $3::text[]) as w (partition, id, kind)
where b.partition = w.partition and b.id = w.id and b.parked_at is not null and b.applied_at is null and b.error_kind is null;

-- name: all
-- Where dead letters are, the longest parked first, behind one of them. Arguments: parked at or null, id or null, limit.
select partition, id, parked_at
from batches
where parked_at is not null and applied_at is null
  and (parked_at, id) > (coalesce($1::timestamptz, '-infinity'), coalesce($2::bigint, 0))
order by parked_at, id
limit $3;

-- name: of_kind
-- The same of one kind of error: by a range that leads the order, or the planner takes an index of all. Arguments: as for
-- all, kind.
select partition, id, parked_at
from batches
where parked_at is not null and applied_at is null and error_kind <= $4
  and (error_kind, parked_at, id) > ($4, coalesce($1::timestamptz, '-infinity'), coalesce($2::bigint, 0))
order by error_kind, parked_at, id
limit $3;

-- name: of_account
-- The same of one account. Arguments: as for all, account.
select partition, id, parked_at
from batches
where parked_at is not null and applied_at is null and account <= $4
  and (account, parked_at, id) > ($4, coalesce($1::timestamptz, '-infinity'), coalesce($2::bigint, 0))
order by account, parked_at, id
limit $3;

-- name: of_account_and_kind
-- The same of one account and one kind of error. Arguments: as for all, account, kind.
select partition, id, parked_at
from batches
where parked_at is not null and applied_at is null and (account, error_kind) <= ($4, $5)
  and (account, error_kind, parked_at, id) > ($4, $5, coalesce($1::timestamptz, '-infinity'), coalesce($2::bigint, 0))
order by account, error_kind, parked_at, id
limit $3;

-- name: of_thread
-- The same of one thread, and of it those of an account and of a kind where they are named. Arguments: as for all, partition,
-- thread, account or null, kind or null.
select partition, id, parked_at
from batches
where parked_at is not null and applied_at is null and (partition, thread) <= ($4, $5)
  and (partition, thread, parked_at, id) > ($4, $5, coalesce($1::timestamptz, '-infinity'), coalesce($2::bigint, 0))
  and ($6::uuid is null or account = $6) and ($7::text is null or error_kind = $7)
order by partition, thread, parked_at, id
limit $3;

-- name: of_ids
-- The same of those with these ids. Arguments: as for all, ids, account or null, kind or null, thread or null.
select partition, id, parked_at
from batches
where parked_at is not null and applied_at is null and id = any($4::bigint[])
  and ($5::uuid is null or account = $5) and ($6::text is null or error_kind = $6) and ($7::uuid is null or thread = $7)
  and (parked_at, id) > (coalesce($1::timestamptz, '-infinity'), coalesce($2::bigint, 0))
order by parked_at, id
limit $3;

-- name: holding
-- How many of these were not skipped. Arguments: partitions, ids.
select count(*)
from unnest($1::smallint[], $2::bigint[]) as w (partition, id)
join batches b on b.partition = w.partition and b.id = w.id
where b.passed_at is null;

-- name: letters
-- These batches as they stand, in this order. What a big one holds is left out. Arguments: partitions, ids, bytes.
select b.partition, b.id, b.ref, b.thread, b.account, b.token, b.accepted_at, b.applied_at, b.outcome, b.attempts,
       b.next_try_at, b.blocked, b.parked_at, b.passed_at, b.error, b.error_kind, b.stack,
       case when pg_column_size(b.events) <= $3 and octet_length(b.events::text) <= $3 then b.events end as events,
       clock_timestamp() as now, coalesce(t.held, false) as held, p.paused, o.name as account_name, o.held as account_held
from unnest($1::smallint[], $2::bigint[]) with ordinality as w (partition, id, n)
join batches b on b.partition = w.partition and b.id = w.id
join partitions p on p.id = b.partition
join accounts o on o.id = b.account
left join threads t on t.partition = b.partition and t.id = b.thread
order by w.n;

-- name: behind
-- How many batches a thread's hold keeps back, up to a bound, dead letters not counted. Arguments: partition, thread, bound.
select count(*) filter (where parked_at is null) as batches
from (select parked_at from batches
      where partition = $1 and thread = $2 and applied_at is null and blocked
      order by id
      limit $3) b;
