-- name: run
-- A run as it is, and the number of the last message that it answers; none of a thread that is deleted. Arguments: partition,
-- thread, run.
select r.status, r.error, r.usage, said.num as question
from (select * from runs where partition = $1 and thread = $2 and id = $3 offset 0) as r
left join lateral (
    select num from messages
    where partition = $1 and thread = $2 and id >= r.input[array_upper(r.input, 1)]
      and id <= r.input[array_upper(r.input, 1)]
    order by id limit 1
) as said on true
cross join lateral (select deleted_at from threads where partition = $1 and id = $2 offset 0) as t
where t.deleted_at is null;

-- name: said
-- The newest messages that a run said from a moment on, newest first: at most $5, and of more than one no more than $6
-- bytes. Without what a lost attempt said and the next one says otherwise. One after the other, so that the texts of those
-- that are left out are not even measured. Arguments: partition, thread, run, moment, limit, bytes.
with recursive newest as (
    (select id, num, parts, 1 as place, octet_length(parts::text)::bigint as size
     from messages
     where partition = $1 and thread = $2 and run >= $3 and run <= $3 and role = 'assistant' and created_at >= $4
       and incomplete_reason is distinct from 'runner.restarted'
     order by run desc, num desc
     limit 1)
    union all
    select m.id, m.num, m.parts, n.place + 1, n.size + octet_length(m.parts::text)
    from newest as n
    cross join lateral (
        select id, num, parts
        from messages
        where partition = $1 and thread = $2 and run >= $3 and run <= $3 and role = 'assistant' and created_at >= $4
          and incomplete_reason is distinct from 'runner.restarted' and num < n.num
        order by run desc, num desc
        limit 1
    ) as m
    where n.place < $5 and n.size < $6
)
select id, num, parts
from newest
where place = 1 or size <= $6
order by num desc;

-- name: runs_of
-- The runs that asked for these permissions. Each is a range of one that leads the order: by its key.
-- Arguments: partition, thread, requests.
select distinct asked.run
from unnest($3::uuid[]) as w (id)
cross join lateral (
    select run from permission_requests
    where partition = $1 and thread = $2 and id >= w.id and id <= w.id
    order by id limit 1
) as asked;

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
