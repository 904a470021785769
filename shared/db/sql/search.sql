-- Threads as operators look for them. Each statement takes the next $n threads of an index, keeps those that match, and says
-- how far it came: `last_…` is of the last thread that it looked at, null where there are no more; a row without an id says
-- only that. So a page costs what is looked at, however few match.

-- name: newest
-- Threads of all accounts, the newest first. Arguments: the id to go on behind or null, how many to look at, most to show,
-- part of the title or null, status or null, archived or null.
with looked as materialized (
    select t.*
    from partitions p
    cross join lateral (
        select partition, id, title, status, archived_at
        from threads
        where partition = p.id and id < coalesce($1::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') and deleted_at is null
        order by id desc
        limit $2
    ) t
    order by t.id desc
    limit $2
),
found as (
    select partition, id
    from looked
    where ($4::text is null or strpos(lower(title), lower($4)) > 0)
      and ($5::text is null or status = $5)
      and ($6::boolean is null or (archived_at is not null) = $6)
    order by id desc
    limit $3
)
select t.*, l.last_id, null::timestamptz as last_at, l.looked
from (select count(*) as looked, case when count(*) >= $2 then (select id from looked order by id limit 1) end as last_id
      from looked) l
left join found f on true
left join threads t on t.partition = f.partition and t.id = f.id
order by t.id desc;

-- name: changed
-- Threads of an account, or of one of its agents, the latest changed first. Those without an agent lead the order, or the
-- index can't serve it. Arguments: account, agent or null, when the one to go on behind was changed or null, its id, how many
-- to look at, most to show, part of the title or null, status or null, archived or null.
with owners as (
    select id as agent from agents where account = $1 and ($2::uuid is null or id = $2)
    union all
    select null where $2::uuid is null
),
looked as materialized (
    select t.*
    from owners o
    cross join lateral (
        (select partition, id, title, status, archived_at, updated_at from threads
         where account = $1 and agent = o.agent and deleted_at is null
           and updated_at <= coalesce($3::timestamptz, 'infinity')
           and (updated_at < coalesce($3::timestamptz, 'infinity') or id > $4)
         order by updated_at desc, id
         limit $5)
        union all
        (select partition, id, title, status, archived_at, updated_at from threads
         where o.agent is null and account = $1 and agent is null and deleted_at is null
           and updated_at <= coalesce($3::timestamptz, 'infinity')
           and (updated_at < coalesce($3::timestamptz, 'infinity') or id > $4)
         order by agent, updated_at desc, id
         limit $5)
    ) t
    order by t.updated_at desc, t.id
    limit $5
),
found as (
    select partition, id, updated_at
    from looked
    where ($7::text is null or strpos(lower(title), lower($7)) > 0)
      and ($8::text is null or status = $8)
      and ($9::boolean is null or (archived_at is not null) = $9)
    order by updated_at desc, id
    limit $6
),
last as (
    select id, updated_at from looked order by updated_at, id desc limit 1
)
select t.*, l.looked, case when l.looked >= $5 then last.id end as last_id,
       case when l.looked >= $5 then last.updated_at end as last_at
from (select count(*) as looked from looked) l
left join last on true
left join found f on true
left join threads t on t.partition = f.partition and t.id = f.id
order by f.updated_at desc, f.id;

-- name: owners
-- How many agents an account has: as many lists are read. Argument: account.
select count(*)::int from agents where account = $1;

-- name: held
-- Threads that are held, the newest first, of an account or of all. Arguments: the id to go on behind or null, how many to
-- look at, most to show, account or null.
with looked as materialized (
    select partition, id, account
    from threads
    where held and deleted_at is null and id < coalesce($1::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    order by id desc
    limit $2
),
found as (
    select partition, id from looked where $4::uuid is null or account = $4 order by id desc limit $3
)
select t.*, l.last_id, null::timestamptz as last_at, l.looked
from (select count(*) as looked, case when count(*) >= $2 then (select id from looked order by id limit 1) end as last_id
      from looked) l
left join found f on true
left join threads t on t.partition = f.partition and t.id = f.id
order by t.id desc;

-- name: referred
-- Threads that clients call so, account by account. Arguments: the name, account to go on behind or null, id to go on behind
-- or null, how many, account or null.
select t.*, null::uuid as last_id, null::timestamptz as last_at, 0 as looked
from threads t
where client_external_ref = $1 and deleted_at is null
  and (account, id) > (coalesce($2::uuid, $5, '00000000-0000-0000-0000-000000000000'),
                       coalesce($3::uuid, '00000000-0000-0000-0000-000000000000'))
  and account <= coalesce($5::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
order by client_external_ref, account, id
limit $4;

-- name: names
-- What accounts and agents are called. Arguments: accounts, agents.
select id, name from accounts where id = any($1::uuid[])
union all
select id, name from agents where id = any($2::uuid[]);

-- name: called
-- A thread's number, and what its owner calls it. Arguments: partition, thread.
select t.name, (select num from thread_numbers where thread = t.id) as num
from threads t
where t.partition = $1 and t.id = $2;
