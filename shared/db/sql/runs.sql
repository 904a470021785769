-- name: newest
-- Runs of a thread between two ids (exclusive), the highest id first. Arguments: partition, thread, above, below, limit.
select *
from runs
where partition = $1 and thread = $2 and id > $3 and id < $4
order by id desc
limit $5;

-- name: oldest
-- The same, the lowest id first.
select *
from runs
where partition = $1 and thread = $2 and id > $3 and id < $4
order by id
limit $5;

-- name: open_requests
-- Permission requests of a run that nobody has settled. The run is a range of one that leads the order: by its index.
-- Arguments: partition, thread, run, limit.
select id, title, tool_name, tool_input
from permission_requests
where partition = $1 and thread = $2 and run >= $3 and run <= $3 and state = 'pending'
order by run
limit $4;

-- name: one
-- A run by its id. Arguments: partition, thread, run.
select * from runs where partition = $1 and thread = $2 and id = $3;
