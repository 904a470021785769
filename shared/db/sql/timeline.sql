-- What happened to one thread, the newest first, source by source; each is read behind a key of its own.

-- name: batches
-- What it was sent: applied, blocked, or waiting; of the latter among the newest $5 of its account that wait in its partition.
-- What a big one holds is left out, and what it was answered. Arguments: partition, thread, account, id to go on behind or
-- null, how many to look at, limit, bytes.
with found as (
    (select partition, id from batches
     where partition = $1 and thread = $2 and outcome is not null and id < coalesce($4::bigint, 9223372036854775807)
     order by partition desc, thread desc, id desc
     limit $6)
    union all
    (select partition, id from batches
     where partition = $1 and thread = $2 and applied_at is null and blocked
       and id < coalesce($4::bigint, 9223372036854775807)
     order by partition desc, thread desc, id desc
     limit $6)
    union all
    (select partition, id
     from (select partition, id, thread from batches
           where partition = $1 and account = $3 and applied_at is null and not blocked
             and id < coalesce($4::bigint, 9223372036854775807)
           order by partition desc, account desc, id desc
           limit $5) w
     where thread = $2
     order by id desc
     limit $6)
    order by id desc
    limit $6
)
select b.partition, b.id, b.ref, b.thread, b.account, b.token, b.accepted_at, b.applied_at, null::text as outcome, b.attempts,
       b.next_try_at, b.blocked, b.parked_at, b.passed_at, b.error, b.error_kind, null::text as stack,
       case when pg_column_size(b.events) <= $7 and octet_length(b.events::text) <= $7 then b.events end as events,
       clock_timestamp() as now, coalesce(t.held, false) as held, p.paused, o.name as account_name, o.held as account_held
from found f
join batches b on b.partition = f.partition and b.id = f.id
join partitions p on p.id = b.partition
join accounts o on o.id = b.account
left join threads t on t.partition = b.partition and t.id = b.thread
order by b.id desc;

-- name: runs
-- Its runs. Arguments: partition, thread, id to go on behind or null, limit.
select r.*, l.owner,
       extract(epoch from coalesce(r.started_at, clock_timestamp()) - r.created_at)::float8 as waited,
       extract(epoch from coalesce(r.completed_at, clock_timestamp()) - r.started_at)::float8 as took
from (select * from runs
      where partition = $1 and thread = $2 and id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      order by partition desc, thread desc, id desc
      limit $4) r
left join leases l on l.partition = r.partition and l.thread = r.thread and l.run = r.id
order by r.id desc;

-- name: requests
-- Its permission requests. Arguments: as for its runs.
select id, run, state, title, tool_name, left(tool_input::text, 2000) as tool_input, note, created_at, expires_at, decided_at,
       extract(epoch from coalesce(decided_at, clock_timestamp()) - created_at)::float8 as waited,
       extract(epoch from expires_at - clock_timestamp())::float8 as expires_in
from permission_requests
where partition = $1 and thread = $2 and id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
order by partition desc, thread desc, id desc
limit $4;

-- name: events
-- Its log, each with the beginning of what it says. Arguments: partition, thread, id to go on behind or null, limit,
-- characters.
select id, run, type, status, left(content, $5) as content, length(content) as size, tool_call_id, tool_name,
       left(tool_input::text, $5) as tool_input, request_id, tokens, duration_ms, occurred_at, message
from thread_events
where partition = $1 and thread = $2 and id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
order by partition desc, thread desc, id desc
limit $4;

-- name: said
-- The end of what a run logged, among the last $6 events between two ids, the newest first. Arguments: partition, thread, run,
-- first id, last id, how many to look at, characters of each.
select id, run, type, status, right(content, $7) as content, length(content) as size, tool_call_id, tool_name,
       left(tool_input::text, $7) as tool_input, request_id, tokens, duration_ms, occurred_at, message
from (select * from thread_events
      where partition = $1 and thread = $2 and id >= $4 and id <= $5
      order by partition desc, thread desc, id desc
      limit $6) e
where run = $3
order by id desc;

-- name: said_before
-- Whether a run logged more than what it was sent, among the last $6 events before one of them. Arguments: partition, thread,
-- run, first id, the id, how many to look at.
select exists (
    select
    from (select run, type from thread_events
          where partition = $1 and thread = $2 and id >= $4 and id < $5
          order by partition desc, thread desc, id desc
          limit $6) e
    where run = $3 and type <> 'user.message');
