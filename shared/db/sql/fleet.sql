-- name: workers
-- Workers that have told of themselves, the latest started first, and what each has in hand: what is noted of the
-- partitions that its drains have locked, whose sessions are named by it. Those long silent are gone.
-- Arguments: seconds of silence, before this id, limit, the only one that is asked for or null.
with locked as materialized (
    select l.objid::int as partition,
           case when a.application_name ~ '^threadmill drain [0-9a-f-]{36}$'
                then substr(a.application_name, 18)::uuid end as worker
    from pg_locks l
    join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'advisory' and l.classid = 1 and l.objsubid = 2 and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
),
hands as materialized (
    select o.worker, sum(o.batches)::int as batches
    from (select distinct l.worker, d.owner, cardinality(d.batches) as batches
          from locked l
          join drains d on l.partition = any(d.partitions) and d.batches <> '{}') o
    group by o.worker
)
select w.id, w.host, w.pid, w.roles, w.version, w.started_at, w.applied, w.executing, w.memory, w.skew, w.asked, w.doing,
       extract(epoch from clock_timestamp() - w.started_at)::float8 as age,
       extract(epoch from clock_timestamp() - w.seen_at)::float8 as silent,
       w.seen_at, coalesce(h.batches, 0) as in_hand
from workers w
left join hands h on h.worker = w.id
where w.id < $2 and w.seen_at > clock_timestamp() - make_interval(secs => $1) and ($4::uuid is null or w.id = $4)
order by w.id desc
limit $3;

-- name: apis
-- The same of apis. Arguments: seconds of silence, before this id, limit.
select id, host, pid, port, version, started_at, memory, skew, streams,
       extract(epoch from clock_timestamp() - started_at)::float8 as age,
       extract(epoch from clock_timestamp() - seen_at)::float8 as silent,
       seen_at
from apis
where id < $2 and seen_at > clock_timestamp() - make_interval(secs => $1)
order by id desc
limit $3;

-- name: others
-- Whether other workers take batches, and runs, and will. Arguments: worker, seconds of silence.
select coalesce(bool_or(roles <> 'execute'), false) as applies, coalesce(bool_or(roles <> 'apply'), false) as executes
from workers
where id <> $1 and asked is null and doing = 'work' and seen_at > clock_timestamp() - make_interval(secs => $2);
