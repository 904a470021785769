-- name: workers
-- Workers that have told of themselves, the latest started first, and what each has in hand; those long silent are gone.
-- Arguments: seconds of silence, before this id, limit.
select w.id, w.host, w.pid, w.roles, w.version, w.started_at, w.applied, w.executing, w.memory, w.skew, w.asked, w.doing,
       extract(epoch from clock_timestamp() - w.started_at)::float8 as age,
       extract(epoch from clock_timestamp() - w.seen_at)::float8 as silent,
       w.seen_at, coalesce(cardinality(d.batches), 0) as in_hand
from workers w
left join drains d on d.owner = w.id
where w.id < $2 and w.seen_at > clock_timestamp() - make_interval(secs => $1)
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

-- name: worker
-- One worker, as `workers` shows it. Argument: id.
select w.id, w.host, w.pid, w.roles, w.version, w.started_at, w.applied, w.executing, w.memory, w.skew, w.asked, w.doing,
       extract(epoch from clock_timestamp() - w.started_at)::float8 as age,
       extract(epoch from clock_timestamp() - w.seen_at)::float8 as silent,
       w.seen_at, coalesce(cardinality(d.batches), 0) as in_hand
from workers w
left join drains d on d.owner = w.id
where w.id = $1;
