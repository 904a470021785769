-- name: write
-- What nearly every drain changes, in one statement over disjoint rows. `said` are users' messages: the message, its
-- event in the log and, with a `seq`, the run it starts, which is queued still or at work already. Returns how many batches were marked,
-- threads and runs changed: the caller rolls back where they are not all that it read.
with marked as (
    update batches b set applied_at = greatest($1, clock_timestamp()), outcome = w.outcome
    from unnest($2::smallint[], $3::bigint[], $4::text[]) as w (partition, id, outcome)
    where b.partition = w.partition and b.id = w.id and b.applied_at is null
    returning 1
),
changed as (
    update threads t
    set status = w.status, active_runs = w.active_runs, last_run_id = w.last_run_id, last_run_seq = w.last_run_seq,
        last_event_id = w.last_event_id, updated_at = w.updated_at, title = w.title, ready_at = w.ready_at
    from unnest($5::smallint[], $6::uuid[], $7::text[], $8::int[], $9::uuid[], $10::bigint[], $11::uuid[],
                $12::timestamptz[], $13::text[], $14::timestamptz[])
         as w (partition, id, status, active_runs, last_run_id, last_run_seq, last_event_id, updated_at, title,
               ready_at)
    where t.partition = w.partition and t.id = w.id
    returning 1
),
said as materialized (
    select * from unnest($15::smallint[], $16::uuid[], $17::uuid[], $18::uuid[], $19::text[], $20::timestamptz[],
                         $21::bigint[], $22::text[], $23::timestamptz[], $24::int[])
         with ordinality as w (partition, thread, id, run, text, at, seq, status, started_at, attempt, n)
),
heard as (
    insert into thread_events (partition, thread, id, run, type, content, occurred_at)
    select partition, thread, id, run, 'user.message', text, at from said
),
kept as (
    insert into messages (partition, thread, id, role, parts, run, created_at)
    select partition, thread, id, 'user', jsonb_build_array(jsonb_build_object('type', 'text', 'text', text)), run, at
    from said order by n
),
asked as (
    insert into runs (partition, thread, id, seq, status, trigger, input, created_at, started_at, updated_at, attempt)
    select partition, thread, run, seq, status, 'user_prompt', array[id], at, started_at, at, attempt
    from said where seq is not null
),
moved as (
    update runs r
    set seq = w.seq, status = w.status, started_at = w.started_at, updated_at = w.updated_at,
        completed_at = w.completed_at, error = w.error::jsonb, attempt = w.attempt
    from unnest($25::smallint[], $26::uuid[], $27::uuid[], $28::bigint[], $29::text[], $30::timestamptz[],
                $31::timestamptz[], $32::timestamptz[], $33::text[], $34::int[], $35::text[])
         as w (partition, thread, id, seq, status, started_at, updated_at, completed_at, error, attempt, expected)
    where r.partition = w.partition and r.thread = w.thread and r.id = w.id and r.status = w.expected
    returning 1
),
logged as (
    insert into thread_events (partition, thread, id, run, type, status, content, occurred_at,
                               message, tokens, duration_ms)
    select * from unnest($36::smallint[], $37::uuid[], $38::uuid[], $39::uuid[], $40::text[], $41::text[], $42::text[],
                         $43::timestamptz[], $44::uuid[], $45::int[], $46::int[])
),
cleared as (
    -- What this owner had in hand is settled with this, and no longer suspect where a dead owner's note names it. The
    -- rest of such a note stays.
    update drains
    set batches = case when owner = $47 then '{}'
                       else array(select unnest(batches) except select unnest($3::bigint[])) end,
        partitions = case when owner = $47 then '{}' else partitions end
    where owner = $47 or batches && $3::bigint[]
)
select (select count(*) from marked)::int as marked,
       (select count(*) from changed)::int as changed,
       (select count(*) from moved)::int as moved;

-- name: settle_threads
-- What changes in a thread a few times in its life.
update threads t set agent = w.agent, held = w.held, hold = case when w.held then t.hold end,
                     archived_at = w.archived_at, deleted_at = w.deleted_at
from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::bool[], $5::timestamptz[], $6::timestamptz[])
     as w (partition, id, agent, held, archived_at, deleted_at)
where t.partition = w.partition and t.id = w.id;

-- name: insert_runs
-- Runs that were made and have moved since, or that nobody's message started; a retry answers what its first run did. A run
-- that was requested has the user's messages that had no run, but for those of this transaction ($19), which have theirs: they
-- are its own from now on. It answers those behind the last message of an assistant that somebody added; the others are
-- history. $17 and $18 are runs with the messages of this transaction that they answer, in their order.
with asked as materialized (
    select * from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::timestamptz[],
                         $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::int[], $13::uuid[],
                         $14::bool[], $15::bool[], $16::text[])
         as w (partition, thread, id, seq, status, trigger, created_at, started_at, updated_at, completed_at, error,
               attempt, retries, collects, overtaken, metadata)
),
collected as materialized (
    select w.partition, w.thread, w.id as run, waiting.id, waiting.num,
           not w.overtaken and waiting.num > coalesce(aside.num, 0) as new
    from asked w
    left join lateral (
        select num from messages
        where partition = w.partition and thread >= w.thread and thread <= w.thread and run is null
          and role = 'assistant' and id <> all($19::uuid[])
        order by thread desc, num desc limit 1
    ) as aside on true
    cross join lateral (
        select id, num from messages
        where partition = w.partition and thread >= w.thread and thread <= w.thread and run is null and role = 'user'
          and id <> all($19::uuid[])
        order by thread, num limit 10001
    ) as waiting
    where w.collects
),
taken as (
    update messages m set run = c.run
    from collected c
    where m.partition = c.partition and m.thread = c.thread and m.id = c.id and m.num = c.num
)
insert into runs (partition, thread, id, seq, status, trigger, input, created_at, started_at, updated_at,
                  completed_at, error, attempt, metadata)
select w.partition, w.thread, w.id, w.seq, w.status, w.trigger,
       coalesce(f.input, coalesce(c.input, '{}') || array(select own.id
                                                          from unnest($17::uuid[], $18::uuid[]) as own (run, id)
                                                          where own.run = w.id)),
       w.created_at, w.started_at, w.updated_at, w.completed_at, w.error::jsonb, w.attempt, w.metadata::jsonb
from asked w
left join lateral (
    select input from runs where partition = w.partition and thread = w.thread and id = w.retries offset 0
) as f on true
left join lateral (
    select array_agg(id order by num) filter (where new) as input from collected where run = w.id
) as c on w.collects;

-- name: amend_thread
-- Another name and other metadata of a thread, where they are given. Arguments: partition, thread, name or null, metadata or
-- null.
update threads set name = coalesce($3, name), metadata = coalesce($4::text::jsonb, metadata)
where partition = $1 and id = $2;

-- name: log_in_full
-- Events of tools and permissions.
insert into thread_events (partition, thread, id, run, type, status, content, occurred_at, message, tokens,
                           duration_ms, tool_call_id, tool_name, tool_input, request_id)
select partition, thread, id, run, type, status, content, occurred_at, message, tokens, duration_ms, tool_call_id,
       tool_name, tool_input::jsonb, request_id
from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[],
            $8::timestamptz[], $9::uuid[], $10::int[], $11::int[], $12::text[], $13::text[], $14::text[], $15::text[])
     as w (partition, thread, id, run, type, status, content, occurred_at, message, tokens, duration_ms, tool_call_id,
           tool_name, tool_input, request_id);

-- name: keep_deadline
-- What is left of a run's time goes with it to the next worker. One that is over keeps its own: asked by a condition, the
-- planner may read all runs that are not over.
update runs r set deadline = case when r.completed_at is null then l.deadline else r.deadline end
from unnest($1::smallint[], $2::uuid[], $3::bigint[]) as w (partition, thread, epoch)
join leases l on l.partition = w.partition and l.thread = w.thread and l.epoch = w.epoch
where r.partition = w.partition and r.thread = w.thread and r.id = l.run;

-- name: insert_requests
-- Permission requests that a run opened.
insert into permission_requests (partition, thread, id, run, title, tool_name, tool_input, created_at, expires_at, key)
select partition, thread, id, run, title, tool_name, tool_input::jsonb, created_at, expires_at, key
from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[],
            $8::timestamptz[], $9::timestamptz[], $10::text[])
     as w (partition, thread, id, run, title, tool_name, tool_input, created_at, expires_at, key);

-- name: settle_requests
-- Permission requests that left `pending`: asked so that no index of those that are open serves, which are few at first.
update permission_requests p set state = w.state, note = w.note, decided_at = w.decided_at
from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::timestamptz[])
     as w (partition, thread, id, state, note, decided_at)
where p.partition = w.partition and p.thread = w.thread and p.id = w.id and (p.state = 'pending') is not false;

-- name: keep_steers
-- Offers made, and what became of them.
insert into steers (partition, thread, run, target, event, text, settled)
select * from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::bool[])
on conflict (partition, thread, run) do update set settled = excluded.settled;

-- name: keep_client_requests
-- Client request ids, with the first run of each.
insert into client_requests (partition, thread, client_request_id, run)
select * from unnest($1::smallint[], $2::uuid[], $3::text[], $4::uuid[]);
