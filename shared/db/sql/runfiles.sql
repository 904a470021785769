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
