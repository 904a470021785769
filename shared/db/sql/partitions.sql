-- name: oldest
-- For how many seconds the oldest batch of each partition has waited whose account is not paused. Looked at are batches
-- that somebody else took for the oldest of their partition, and the first of each account with work, for at most $1
-- accounts a partition. `looked`: at how many accounts. Arguments: accounts, partitions and ids of batches.
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
select p.id as partition, p.paused,
       extract(epoch from clock_timestamp() - min(f.accepted_at) filter (where not a.held))::float8 as age,
       max(f.place) as looked
from first f
join partitions p on p.id = f.partition
join accounts a on a.id = f.account
group by p.id;

-- name: in_hand
-- Which partitions somebody has in hand: those that are locked; by whom, as a drain's session is named by its worker; and what
-- the notes say of what it works on. A lock without a note is of a drain that reads, or of something short; a note without a
-- lock is of an owner that died, and so is all but the latest note of a partition.
with l as materialized (
    select l.objid::int as partition,
           case when a.application_name ~ '^threadmill drain [0-9a-f-]{36}$'
                then substr(a.application_name, 18)::uuid end as worker
    from pg_locks l
    left join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'advisory' and l.classid = 1 and l.objsubid = 2 and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
)
select l.partition, l.worker as owner, d.batches, d.age, w.host, w.pid
from l
left join (
    select distinct on (partition) n.partition, cardinality(d.batches) as batches,
           extract(epoch from clock_timestamp() - d.started_at)::float8 as age
    from drains d
    cross join lateral (select p::int from unnest(d.partitions) p) as n (partition)
    where d.batches <> '{}'
    order by partition, d.started_at desc
) d using (partition)
left join workers w on w.id = l.worker
order by l.partition, l.worker;

-- name: accounts
-- Accounts that have batches waiting, in the order of their ids, with how many (up to a bound) and for how many seconds the
-- oldest of each has waited: one look at the index a partition for each of them, twice. Arguments: beyond this id, limit,
-- bound.
with recursive working (account) as (
    (select f.account
     from partitions p
     cross join lateral (
         select account from batches
         where partition = p.id and applied_at is null and not blocked and account > $1
         order by account, id
         limit 1
     ) f
     order by f.account
     limit 1)
    union all
    select n.account
    from working w
    cross join lateral (
        select f.account
        from partitions p
        cross join lateral (
            select account from batches
            where partition = p.id and applied_at is null and not blocked and account > w.account
            order by account, id
            limit 1
        ) f
        order by f.account
        limit 1
    ) n
)
select a.id, a.name, a.held, c.waiting, extract(epoch from clock_timestamp() - o.oldest)::float8 as age
from (select account from working limit $2) w
join accounts a on a.id = w.account
cross join lateral (
    select count(*) as waiting
    from (select
          from partitions p
          cross join lateral (
              select from batches
              where partition = p.id and account = w.account and applied_at is null and not blocked
              order by id
              limit $3
          ) b
          limit $3) c
) c
cross join lateral (
    select min(b.accepted_at) as oldest
    from partitions p
    cross join lateral (
        select accepted_at from batches
        where partition = p.id and account = w.account and applied_at is null and not blocked
        order by id
        limit 1
    ) b
) o
order by a.id;

-- name: paused_accounts
-- Accounts that are paused, as `accounts` shows those with work. Arguments: beyond this id, limit, bound.
select a.id, a.name, a.held, c.waiting, extract(epoch from clock_timestamp() - o.oldest)::float8 as age
from (select id, name, held from accounts where held and id > $1 order by id limit $2) a
cross join lateral (
    select count(*) as waiting
    from (select
          from partitions p
          cross join lateral (
              select from batches
              where partition = p.id and account = a.id and applied_at is null and not blocked
              order by id
              limit $3
          ) b
          limit $3) c
) c
cross join lateral (
    select min(b.accepted_at) as oldest
    from partitions p
    cross join lateral (
        select accepted_at from batches
        where partition = p.id and account = a.id and applied_at is null and not blocked
        order by id
        limit 1
    ) b
) o
order by a.id;

-- name: account
-- One account, and how many batches wait of it, up to a bound. Arguments: id, bound.
select a.id, a.name, a.held,
       (select count(*)
        from (select
              from partitions p
              cross join lateral (
                  select from batches
                  where partition = p.id and account = a.id and applied_at is null and not blocked
                  order by id
                  limit $2
              ) b
              limit $2) c) as waiting
from accounts a
where a.id = $1;
