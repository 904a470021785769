-- name: page
-- Files that a thread has by now, in the order of their ids: those that are whole, and whose batch has been applied. Arguments:
-- partition, thread, behind this id, limit.
select f.id, f.name, f.size, f.mime_type, f.kind, f.created_at
from files f
where f.partition = $1 and f.thread = $2 and f.id > $3 and f.ready
  and not exists (select from batches b where b.ref = f.ref and b.applied_at is null)
order by f.id
limit $4;

-- name: found
-- Those of these files that a thread has by now. Arguments: partition, thread, ids.
select f.id, f.name, f.size, f.mime_type, f.kind, f.created_at
from files f
where f.partition = $1 and f.thread = $2 and f.id = any($3::uuid[]) and f.ready
  and not exists (select from batches b where b.ref = f.ref and b.applied_at is null);

-- name: hold
-- The bytes of a file that a run made are there. It is not ready before its run has said so, and is given up after so many
-- seconds. No row where it was given up meanwhile. Arguments: id, bytes, seconds.
with begun as (
    select id, account, size from files where id = $1 and not ready for update
),
room as (
    update file_usage u set bytes = u.bytes + $2 - b.size from begun b where u.account = b.account
)
update files f
set size = $2, expires_at = clock_timestamp() + $3::float8 * interval '1 second'
from begun b
where f.id = b.id
returning f.id;

-- name: announce
-- Files that runs made are ready, with the events that tell of them. Arguments: ids, their SHA-256.
update files f
set ready = true, sha256 = w.sha256, created_at = clock_timestamp(), expires_at = null
from unnest($1::uuid[], $2::bytea[]) as w (id, sha256)
where f.id = w.id and not f.ready
returning f.id;
