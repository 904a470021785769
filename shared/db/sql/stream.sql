-- name: behind
-- What followed threads have behind their cursors, oldest first; nothing of a thread that has nothing new. A thread gives
-- at most so many rows and about so many bytes, where what is folded (deltas) counts by its text alone; `newest` says
-- whether there is more. Arguments: partitions, threads, cursors, rows, bytes.
select f.thread, t.last_event_id as newest, t.deleted_at is not null as deleted,
       e.id, e.run, e.type, e.status, e.content, e.tool_call_id, e.tool_name, e.tool_input, e.request_id, e.tokens,
       e.duration_ms, e.occurred_at, e.message
from unnest($1::smallint[], $2::uuid[], $3::uuid[]) with ordinality as f (partition, thread, cursor, n)
join threads t on t.partition = f.partition and t.id = f.thread
left join lateral (
    select *
    from (
        select *, sum(octet_length(tool_input::text)) over (order by id rows between unbounded preceding and 1 preceding)
                  as unpacked
        from (
            select *, sum(size) over (order by id rows between unbounded preceding and current row) - size as before
            from (
                select *,
                       coalesce(octet_length(content), 0) + coalesce(pg_column_size(tool_input), 0)
                       + case when type like 'agent.%.delta' then 0 else 300 end as size
                from thread_events
                where partition = f.partition and thread = f.thread and id > f.cursor
                order by id
                limit $4
            ) as sized
        ) as summed
        where before < $5  -- as they are stored, compressed: what is unpacked for the next sum is bounded by that
    ) as unpacked
    where coalesce(unpacked, 0) < $5
) e on true
where t.last_event_id > f.cursor or t.deleted_at is not null
order by f.n, e.id;

-- name: outlines
-- Events of a thread before a cursor, newest first, without what they say. Arguments: partition, thread, cursor, limit.
select id, run, type, message
from thread_events
where partition = $1 and thread = $2 and id < $3
order by id desc
limit $4;

-- name: current_run
-- The first run of a thread that is not over. Arguments: partition, thread.
select id
from runs
where partition = $1 and thread = $2 and completed_at is null
order by seq
limit 1;

-- name: revoked
-- Those of these tokens that were revoked, or whose time is over. Argument: ids.
select asked.id
from unnest($1::uuid[]) as asked (id)
where not exists (select from live_tokens where live_tokens.id = asked.id);
