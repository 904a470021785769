-- name: newest
-- Messages of a thread between two numbers (exclusive), the highest number first: as many as are $6 bytes, but for the last of
-- them and at least two, of the `found` ones that the limit allows. What a lost attempt said and the next one says otherwise is
-- left out. Arguments: partition, thread, above, below, limit, bytes.
select id, num, role, parts, parent, run, metadata, request_id, created_at, status, incomplete_reason, found
from (
    select *, sum(size) over behind - size as before, row_number() over behind as n, count(*) over () as found
    from (
        select id, num, role, parts, parent, run, metadata, request_id, created_at, status, incomplete_reason, size
        from messages
        where partition = $1 and thread = $2 and num > $3 and num < $4
          and incomplete_reason is distinct from 'runner.restarted'
        order by num desc
        limit $5
    ) as page
    window behind as (order by num desc)
) as measured
where before < $6 or n <= 2
order by num desc;

-- name: oldest
-- The same, the lowest number first.
select id, num, role, parts, parent, run, metadata, request_id, created_at, status, incomplete_reason, found
from (
    select *, sum(size) over behind - size as before, row_number() over behind as n, count(*) over () as found
    from (
        select id, num, role, parts, parent, run, metadata, request_id, created_at, status, incomplete_reason, size
        from messages
        where partition = $1 and thread = $2 and num > $3 and num < $4
          and incomplete_reason is distinct from 'runner.restarted'
        order by num
        limit $5
    ) as page
    window behind as (order by num)
) as measured
where before < $6 or n <= 2
order by num;

-- name: newest_of_run
-- What a run said, between two numbers, the highest number first. Run and number are compared as one: no other index serves
-- that, and for a few numbers the planner would take the one of all the thread's messages. Arguments as for `newest`, then the
-- run.
select id, num, role, parts, parent, run, metadata, request_id, created_at, status, incomplete_reason, found
from (
    select *, sum(size) over behind - size as before, row_number() over behind as n, count(*) over () as found
    from (
        select id, num, role, parts, parent, run, metadata, request_id, created_at, status, incomplete_reason, size
        from messages
        where partition = $1 and thread = $2 and role = 'assistant'
          and (run, num) > ($7, $3) and (run, num) < ($7, $4)
          and incomplete_reason is distinct from 'runner.restarted'
        order by run desc, num desc
        limit $5
    ) as page
    window behind as (order by num desc)
) as measured
where before < $6 or n <= 2
order by num desc;

-- name: oldest_of_run
-- The same, the lowest number first.
select id, num, role, parts, parent, run, metadata, request_id, created_at, status, incomplete_reason, found
from (
    select *, sum(size) over behind - size as before, row_number() over behind as n, count(*) over () as found
    from (
        select id, num, role, parts, parent, run, metadata, request_id, created_at, status, incomplete_reason, size
        from messages
        where partition = $1 and thread = $2 and role = 'assistant'
          and (run, num) > ($7, $3) and (run, num) < ($7, $4)
          and incomplete_reason is distinct from 'runner.restarted'
        order by run, num
        limit $5
    ) as page
    window behind as (order by num)
) as measured
where before < $6 or n <= 2
order by num;

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
