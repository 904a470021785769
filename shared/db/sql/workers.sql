-- name: list
-- The workers that have told of themselves, the latest started first; those long silent are gone (others remove their rows).
-- Arguments: seconds of silence, before this id, limit.
select id, host, pid, roles, version, started_at, applied, executing,
       extract(epoch from clock_timestamp() - seen_at)::float8 as silent
from workers
where id < $2 and seen_at > clock_timestamp() - make_interval(secs => $1)
order by id desc
limit $3;
