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
-- What a run said, between two numbers, the highest number first. Run and number are compared as one: no other index serves
-- that, and for a few numbers the planner would take the one of all the thread's messages. Arguments as for `newest`, then the
-- run.
select id, num, role, parts, parent, run, metadata, request_id, created_at, status, incomplete_reason
from messages
where partition = $1 and thread = $2 and role = 'assistant'
  and (run, num) > ($6, $3) and (run, num) < ($6, $4)
order by run desc, num desc
limit $5;

-- name: oldest_of_run
-- The same, the lowest number first.
select id, num, role, parts, parent, run, metadata, request_id, created_at, status, incomplete_reason
from messages
where partition = $1 and thread = $2 and role = 'assistant'
  and (run, num) > ($6, $3) and (run, num) < ($6, $4)
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
