-- name: schema
-- The newest migration that this database has, and the one that every program must know.
select coalesce(max(m.version), 0) as newest,
       coalesce(max(coalesce((to_jsonb(m) ->> 'works_with')::integer, m.version)), 0) as needed
from schema_migrations m;

-- name: processes
-- Apis and workers that told of themselves within the last $1 seconds.
select 'worker' as kind, host, pid, version, skew, roles, doing from workers
where seen_at > now() - $1::float8 * interval '1 second'
union all
select 'api', host, pid, version, skew, '', 'work' from apis
where seen_at > now() - $1::float8 * interval '1 second'
order by kind, host, pid;

-- name: partitions
-- Each partition with the batch that has waited longest there, of the first $1 accounts with work, and for how many
-- seconds; what waits for an account that is held does not count.
select p.id as partition, p.paused, o.batch, o.age
from partitions p
left join lateral (
    with recursive heads as (
        (select account, id, accepted_at
         from batches
         where partition = p.id and applied_at is null and not blocked
         order by account, id
         limit 1)
        union all
        select n.account, n.id, n.accepted_at
        from heads h
        cross join lateral (
            select account, id, accepted_at
            from batches
            where partition = p.id and applied_at is null and not blocked and account > h.account
            order by account, id
            limit 1
        ) n
    )
    select h.id as batch, extract(epoch from clock_timestamp() - h.accepted_at)::float8 as age
    from (select * from heads limit $1) h
    join accounts a on a.id = h.account and not a.held
    order by h.accepted_at
    limit 1
) o on true
order by p.id;

-- name: waiting_on
-- What waits for somebody: dead letters, held threads, runs, leases and permission requests, each counted up to a bound ($1),
-- leases up to another one ($2); ages in seconds. Requests count that have waited longer than $3 hours: those without an end
-- are looked at first.
select (select count(*)::int from (select from batches where parked_at is not null and applied_at is null
                                   order by parked_at limit $1) d) as dead,
       (select extract(epoch from clock_timestamp() - parked_at)::float8 from batches
        where parked_at is not null and applied_at is null order by parked_at, id limit 1) as dead_age,
       (select count(*)::int from (select from threads where held and deleted_at is null
                                   order by id limit $1) h) as held,
       (select count(*)::int from (select from threads where ready_at is not null order by ready_at limit $1) r) as ready,
       (select extract(epoch from clock_timestamp() - ready_at)::float8 from threads
        where ready_at is not null order by ready_at limit 1) as ready_age,
       l.lost, l.lost_age, l.overdue, l.overdue_age, q.requests, q.request_age
from (select count(*) filter (where expires_at < now())::int as lost,
             extract(epoch from now() - min(expires_at))::float8 as lost_age,
             count(*) filter (where deadline < now())::int as overdue,
             extract(epoch from now() - min(deadline))::float8 as overdue_age
      from (select expires_at, deadline from leases order by partition, thread limit $2) l) l
cross join (select count(*)::int as requests,
                   extract(epoch from clock_timestamp() - min(created_at))::float8 as request_age
            from (select created_at from permission_requests where state = 'pending'
                  order by expires_at desc limit $1) r
            where created_at < now() - $3::float8 * interval '1 hour') q;

-- name: longest_held
-- The thread that has been held longest, of the first $1 that are held by hand or are the first ones behind a dead letter,
-- the longest parked of them: what holds it, for how many seconds.
select thread, who, letter, extract(epoch from clock_timestamp() - since)::float8 as age
from (
    (select id as thread, hold ->> 'by' as who, null::bigint as letter, (hold ->> 'at')::timestamptz as since
     from (select id, hold from threads where held and deleted_at is null order by id limit $1) h
     where hold is not null
     order by since
     limit 1)
    union all
    (select t.id, null, d.id, d.parked_at
     from (select partition, thread, id, parked_at, passed_at from batches
           where parked_at is not null and applied_at is null
           order by parked_at, id
           limit $1) d
     join threads t on t.partition = d.partition and t.id = d.thread and t.held and t.deleted_at is null
     where d.passed_at is null
     order by d.parked_at, d.id
     limit 1)
) held
order by since
limit 1;

-- name: lock_holders
-- Who has the locks of these partitions, and for how many seconds its transaction has lasted.
select l.objid::int as partition, a.pid, a.application_name as name, a.state,
       extract(epoch from clock_timestamp() - a.xact_start)::float8 as age
from pg_locks l
join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.classid = 1 and l.granted and l.objid::int = any($1::int[])
  and l.database = (select oid from pg_database where datname = current_database())
order by a.xact_start
limit 20;

-- name: paused_accounts
-- Accounts that are held, up to $1.
select id, name from accounts where held order by id limit $1;

-- name: deeds
-- The newest entries of the audit log about an action that came to something. Arguments: action, limit.
select id, action, actor, target, extract(epoch from clock_timestamp() - at)::float8 as age
from audit
where action = $1 and result = 'done'
order by id desc
limit $2;
