-- name: newest
-- Messages of a thread between two numbers (exclusive), the highest number first. Arguments: partition, thread, above,
-- below, limit.
select id, num, role, parts, parent, run, metadata, request_id, created_at, status, incomplete_reason
from messages
where partition = $1 and thread = $2 and num > $3 and num < $4
order by num desc
limit $5;

-- name: oldest
-- The same, the lowest number first.
select id, num, role, parts, parent, run, metadata, request_id, created_at, status, incomplete_reason
from messages
where partition = $1 and thread = $2 and num > $3 and num < $4
order by num
limit $5;

-- name: newest_of_run
-- What a run said, between two numbers, the highest number first. Arguments as for `newest`, then the run.
select id, num, role, parts, parent, run, metadata, request_id, created_at, status, incomplete_reason
from messages
where partition = $1 and thread = $2 and run >= $6 and run <= $6 and num > $3 and num < $4 and role = 'assistant'
order by run desc, num desc
limit $5;

-- name: oldest_of_run
-- The same, the lowest number first.
select id, num, role, parts, parent, run, metadata, request_id, created_at, status, incomplete_reason
from messages
where partition = $1 and thread = $2 and run >= $6 and run <= $6 and num > $3 and num < $4 and role = 'assistant'
order by run, num
limit $5;

-- name: one
-- A message by its id, which leads the order as a range of one: by its key. Arguments: partition, thread, id.
select id, num, role, parts, parent, run, metadata, request_id, created_at, status, incomplete_reason
from messages
where partition = $1 and thread = $2 and id >= $3 and id <= $3
order by id
limit 1;

-- name: numbered
-- A message by its number. Arguments: partition, thread, number.
select id, num, role, parts, parent, run, metadata, request_id, created_at, status, incomplete_reason
from messages
where partition = $1 and thread = $2 and num = $3;
