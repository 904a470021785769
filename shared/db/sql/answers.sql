-- name: run
-- A run as it is, and the number of the last message that it answers. Arguments: partition, thread, run.
select r.status, r.error, r.usage, said.num as question
from (select * from runs where partition = $1 and thread = $2 and id = $3 offset 0) as r
left join lateral (
    select num from messages
    where partition = $1 and thread = $2 and id >= r.input[array_upper(r.input, 1)]
      and id <= r.input[array_upper(r.input, 1)]
    order by id limit 1
) as said on true;

-- name: said
-- The newest $5 messages that a run said from a moment on, newest first; without what a lost attempt said and the next
-- one says otherwise. Arguments: partition, thread, run, moment, limit.
select id, num, parts
from messages
where partition = $1 and thread = $2 and run >= $3 and run <= $3 and role = 'assistant' and created_at >= $4
  and incomplete_reason is distinct from 'runner.restarted'
order by run desc, num desc
limit $5;

-- name: requests_of
-- The request ids of the messages that runs answer. Arguments: partition, thread, runs.
select w.run, said.request_id
from unnest($3::uuid[]) as w (run)
cross join lateral (select input from runs where partition = $1 and thread = $2 and id = w.run offset 0) as r
cross join lateral (
    select request_id from messages
    where partition = $1 and thread = $2 and id >= r.input[array_upper(r.input, 1)]
      and id <= r.input[array_upper(r.input, 1)]
    order by id limit 1
) as said
where said.request_id is not null;
