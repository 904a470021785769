-- name: thread
-- The thread that has a number, where it is the account's; deleted or not. By its whole key: joined, the planner may read
-- all threads of the account. Arguments: number, account.
select t.partition, t.id, t.agent, t.deleted_at is not null as deleted
from thread_numbers n
cross join lateral (select * from threads where partition = n.partition and id = n.thread offset 0) as t
where n.num = $1 and t.account = $2;

-- name: described
-- What its owner sees of a thread that has a number and is not deleted. Arguments: number, account.
select t.partition, t.id, n.num, t.name, t.origin_application, t.created_at, t.updated_at
from thread_numbers n
cross join lateral (select * from threads where partition = n.partition and id = n.thread offset 0) as t
where n.num = $1 and t.account = $2 and t.deleted_at is null;

-- name: listed
-- The same of an account's threads, newest updated first: the newest of each agent, and of those without an agent (for them
-- the agent leads the order, or the index can't serve it), and of all these the newest. Arguments: account, limit.
with owners as (
    select id as agent from agents where account = $1 union all select null
),
listed as materialized (
    select t.*
    from owners as o
    cross join lateral (
        (select partition, id, name, origin_application, created_at, updated_at from threads
         where account = $1 and agent = o.agent and deleted_at is null
         order by updated_at desc, id
         limit $2)
        union all
        (select partition, id, name, origin_application, created_at, updated_at from threads
         where o.agent is null and account = $1 and agent is null and deleted_at is null
         order by agent, updated_at desc, id
         limit $2)
    ) as t
    order by t.updated_at desc, t.id
    limit $2
)
select t.partition, t.id, n.num, t.name, t.origin_application, t.created_at, t.updated_at
from listed as t
left join lateral (select num from thread_numbers where thread = t.id offset 0) as n on true
order by t.updated_at desc, t.id;

-- name: listed_of
-- The same of one application. Arguments: account, limit, application.
select t.partition, t.id, n.num, t.name, t.origin_application, t.created_at, t.updated_at
from (
    select * from threads
    where account = $1 and origin_application = $3 and deleted_at is null
    order by updated_at desc, id
    limit $2
) as t
left join lateral (select num from thread_numbers where thread = t.id offset 0) as n on true
order by t.updated_at desc, t.id;

-- name: number
-- Gives numbers to threads that have none; in the order of their ids, or two that number the same threads lock each
-- other out. Arguments: partitions, threads.
insert into thread_numbers (partition, thread)
select w.partition, w.thread
from unnest($1::smallint[], $2::uuid[]) as w (partition, thread)
where not exists (select from thread_numbers n where n.thread = w.thread)
order by w.thread
on conflict (thread) do nothing;

-- name: numbers
-- The numbers of threads. Argument: threads.
select w.thread, n.num
from unnest($1::uuid[]) as w (thread)
cross join lateral (select num from thread_numbers where thread = w.thread offset 0) as n;
