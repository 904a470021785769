-- name: begin
-- Begins a drain and takes its partitions, each a statement of its own in one round trip; {partitions} are numbers with
-- commas between them.
begin;
select pg_advisory_xact_lock(1, p) from unnest(array[{partitions}]::int[]) as p order by p;

-- name: lock
-- Takes the partitions in order and waits for them. A statement of its own: what is read in the lock's own statement
-- would come from a snapshot taken before the lock.
select pg_advisory_xact_lock(1, p) from unnest($1::int[]) as p order by p;

-- name: try_lock
-- Takes those of the partitions that nobody has in hand.
select p from (select p from unnest($1::int[]) as p order by p) as sorted where pg_try_advisory_xact_lock(1, p);

-- name: read
-- The waiting batches of these partitions: of each account with work at most $2 a partition, in id order, so that every
-- thread's batches come as a prefix. Accounts are visited from $3 on, at most $4 a partition; those that are held are
-- stepped over, at a look at the index each, and do not count. `suspect`: the note of an owner that no longer holds the
-- lock names it, 1 with others or by chance as the only one, 2 because it was tried alone.
-- $6 are hot threads to look past. The batches' threads are locked with it (`free`: nobody else has it); those that
-- somebody else holds are passed over. Nobody is waited for here, so the order of these locks is of no account.
with recursive retrying as materialized (
    select partition, thread from batches
    where partition = any($1::int[]) and applied_at is null and next_try_at > now()
),
working (partition, account, held, visited) as (
    select p.id, f.account, o.held, case when o.held then 0 else 1 end
    from unnest($1::int[]) as wanted (id)
    join partitions p on p.id = wanted.id and not p.paused
    cross join lateral (
        select b.account from batches b
        where b.partition = p.id and b.applied_at is null and not b.blocked and b.account >= $3::uuid
        order by b.account limit 1
    ) as f
    join accounts o on o.id = f.account
    union all
    select a.partition, f.account, o.held, a.visited + case when o.held then 0 else 1 end
    from working a
    cross join lateral (
        select b.account from batches b
        where b.partition = a.partition and b.applied_at is null and not b.blocked and b.account > a.account
        order by b.account limit 1
    ) as f
    join accounts o on o.id = f.account
    where a.visited < $4::int
)
select b.partition, b.id, b.ref, b.thread, b.account, b.token, b.events, b.reply_to, b.accepted_at, b.attempts,
       coalesce((select max(case when d.alone then 2 else 1 end) from drains d
                 where d.owner <> $5 and b.partition = any(d.partitions) and b.id = any(d.batches)), 0) as suspect,
       l.id is not null
       or not exists (select from threads t where t.partition = b.partition and t.id = b.thread) as free,
       b.traceparent, clock_timestamp() as now
from working a
cross join lateral (
    select * from batches w
    -- The account is a range of one, and leads the order: an equality would let the primary key serve the order as
    -- well, and that index holds every batch of the last day.
    where w.partition = a.partition and w.account >= a.account and w.account <= a.account
      and w.applied_at is null and not w.blocked
      and not exists (select from retrying r where r.partition = w.partition and r.thread = w.thread)
      and w.thread <> all($6::uuid[])
    order by w.account, w.id limit $2::int
) as b
left join lateral (
    select t.id from threads t where t.partition = b.partition and t.id = b.thread for no key update skip locked
) as l on true
where not a.held;

-- name: lock_threads
-- Locks the threads, in the order of their ids.
with locked as (
    select 1
    from unnest($1::smallint[], $2::uuid[]) as w (partition, id)
    join threads t on t.partition = w.partition and t.id = w.id
    order by t.id
    for no key update of t
)
select count(*) from locked;

-- name: threads
-- The threads, their agents' policy for a busy one and whether they have a webhook (where there is no agent: those of the
-- account's default one, `fallback`), who has a lease, whether messages are offered to its run, and the first runs of each
-- queue: as many as its events may reach, all of them ($4) where any message may interrupt. A row a run, one with nulls for a
-- thread that is idle.
select t.partition, t.id, t.account, t.agent, t.kind, t.title, t.user_id, t.client_external_ref, t.attributed_user,
       t.created_by, t.created_by_kind, t.status, t.active_runs, t.last_run_id, t.last_run_seq, t.last_event_id,
       t.held, t.archived_at, t.deleted_at, t.created_at, t.updated_at, t.ready_at,
       coalesce(a.busy_policy, 'queue') as busy_policy, a.webhook_url is not null as hooked,
       a.id as fallback, l.epoch,
       t.active_runs > 0 and exists (select from steers s
                                     where s.partition = t.partition and s.thread = t.id and not s.settled) as steered,
       r.id as run_id, r.seq as run_seq, r.status as run_status, r.trigger as run_trigger,
       r.created_at as run_created_at, r.started_at as run_started_at, r.updated_at as run_updated_at,
       r.error as run_error, r.attempt as run_attempt
from unnest($1::smallint[], $2::uuid[], $3::int[]) as w (partition, id, need)
join threads t on t.partition = w.partition and t.id = w.id
left join agents a on a.id = coalesce(t.agent, (
    select g.id from accounts o
    cross join lateral (
        select id, published from agents where account = o.id
        order by id = o.default_agent desc nulls last, created_at, id limit 1
    ) as g
    where o.id = t.account and g.published
))
left join leases l on t.active_runs > 0 and l.partition = t.partition and l.thread = t.id
left join lateral (
    select * from runs r
    where t.active_runs > 0 and r.partition = t.partition and r.thread = t.id and r.completed_at is null
    order by r.seq limit case when a.busy_policy = 'interrupt' then $4::int else w.need end
) as r on true;

-- name: named_runs
-- Runs that events name, whatever their state.
select r.thread, r.id, r.seq, r.status, r.trigger, r.created_at, r.started_at, r.updated_at, r.completed_at, r.error,
       r.attempt
from unnest($1::smallint[], $2::uuid[], $3::uuid[]) as w (partition, thread, id)
join runs r on r.partition = w.partition and r.thread = w.thread and r.id = w.id;

-- name: client_requests
-- The first runs of client request ids that were seen before.
select c.thread, c.client_request_id, c.run
from unnest($1::smallint[], $2::uuid[], $3::text[]) as w (partition, thread, client_request_id)
join client_requests c
    on c.partition = w.partition and c.thread = w.thread and c.client_request_id = w.client_request_id;

-- name: message_notes
-- What is kept with messages that are about to be edited or removed, and whose they are: a run's that answers them now,
-- else their own. A range of one leads the order: by the key.
select w.thread, m.id, m.metadata::text as metadata,
       coalesce((select r.id from runs r
                 where r.partition = w.partition and r.thread = w.thread
                   and r.status in ('booting', 'running', 'waiting_input') and m.id = any(r.input)), m.run) as run,
       case when m.role = 'user' and m.run is null then m.size else 0 end as waits
from unnest($1::smallint[], $2::uuid[], $3::uuid[]) as w (partition, thread, id)
cross join lateral (
    select id, metadata, role, run, size from messages
    where partition = w.partition and thread = w.thread and id >= w.id and id <= w.id
    order by id limit 1
) as m;

-- name: waiting_messages
-- How many of users' messages wait for a run in each thread, and how large they are: there is a limit to both.
select w.id, count(m.size)::int as messages, coalesce(sum(m.size), 0)::bigint as size
from unnest($1::smallint[], $2::uuid[]) as w (partition, id)
left join lateral (
    select size from messages
    where partition = w.partition and thread >= w.id and thread <= w.id and run is null and role = 'user'
    order by thread, num limit 10001
) as m on true
group by w.id;

-- name: thread_notes
-- What is kept with threads that are about to be edited.
select t.id, t.metadata::text as metadata
from unnest($1::smallint[], $2::uuid[]) as w (partition, id)
join threads t on t.partition = w.partition and t.id = w.id;

-- name: permission_requests
-- Open permission requests of these threads, and those that decisions name. Ranges of one lead the orders, so that each half
-- goes by its own index.
select p.thread, p.id, p.run, p.state, p.expires_at, p.note
from unnest($1::smallint[], $2::uuid[]) as w (partition, thread)
cross join lateral (
    select * from permission_requests
    where partition = w.partition and thread >= w.thread and thread <= w.thread and state = 'pending'
    order by thread, expires_at limit 100000
) as p
union
select p.thread, p.id, p.run, p.state, p.expires_at, p.note
from unnest($3::smallint[], $4::uuid[], $5::uuid[]) as w (partition, thread, id)
cross join lateral (
    select * from permission_requests
    where partition = w.partition and thread = w.thread and id >= w.id and id <= w.id
    order by id limit 1
) as p;

-- name: steers
-- Offers that no runner has acknowledged yet.
select s.thread, s.run, s.target, s.event, s.text, s.settled
from unnest($1::smallint[], $2::uuid[]) as w (partition, thread)
join steers s on s.partition = w.partition and s.thread = w.thread and not s.settled;

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

-- name: amend_message
-- Other metadata of one message. Arguments: partition, thread, message, metadata. Found as in `edit_messages`.
with found as materialized (
    select partition, thread, id, num from messages
    where partition = $1 and thread = $2 and id >= $3 and id <= $3 order by id limit 1
)
update messages m set metadata = $4::text::jsonb
from found f
where m.partition = f.partition and m.thread = f.thread and m.id = f.id and m.num = f.num;

-- name: amend_thread
-- Another name and other metadata of a thread, where they are given. Arguments: partition, thread, name or null, metadata or
-- null.
update threads set name = coalesce($3, name), metadata = coalesce($4::text::jsonb, metadata)
where partition = $1 and id = $2;

-- name: remove_message
-- One message, and what the log holds of it: that lies about its own time or, of what a run said, between those of its run. Ids begin with their
-- time in milliseconds. What followed it by name follows what it followed. Arguments: partition, thread, message. Found as in
-- `edit_messages`.
with found as materialized (
    select partition, thread, id, num from messages
    where partition = $1 and thread = $2 and id >= $3 and id <= $3 order by id limit 1
),
removed as (
    delete from messages m using found f
    where m.partition = f.partition and m.thread = f.thread and m.id = f.id and m.num = f.num
    returning m.id, m.num, m.parent, m.role, m.run, m.created_at
),
followers as materialized (
    select f.partition, f.thread, f.id, f.num, coalesce(m.parent, (
        select num from messages where partition = $1 and thread = $2 and num < m.num order by num desc limit 1
    ), 0) as parent
    from removed m
    cross join lateral (
        select partition, thread, id, num from messages
        where partition = $1 and thread = $2 and parent >= m.num and parent <= m.num
        order by parent
    ) as f
),
handed as (
    update messages m set parent = f.parent
    from followers f
    where m.partition = f.partition and m.thread = f.thread and m.id = f.id and m.num = f.num
),
span as (
    select m.id, least(r.started_at, m.created_at) - interval '1 second' as since,
           coalesce(r.completed_at, case when r.id is null then m.created_at else now() end) + interval '1 second' as until
    from removed m
    left join lateral (
        select id, started_at, completed_at from runs where partition = $1 and thread = $2 and id = m.run offset 0
    ) as r on m.role = 'assistant' and m.run is not null
),
doomed as materialized (
    select e.partition, e.thread, e.id
    from span s
    cross join lateral (
        select partition, thread, id from thread_events
        where partition = $1 and thread = $2
          and id >= rpad(lpad(to_hex((extract(epoch from s.since) * 1000)::bigint), 12, '0'), 32, '0')::uuid
          and id <= rpad(lpad(to_hex((extract(epoch from s.until) * 1000)::bigint), 12, '0'), 32, 'f')::uuid
          and (id = s.id or message = s.id)
        offset 0
    ) as e
)
delete from thread_events e
using doomed d
where e.partition = d.partition and e.thread = d.thread and e.id = d.id;

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

-- name: keep_cut_messages
-- What a run had said of a message when it ended in the middle of it: kept, and marked; it follows what `say` says. $4 is
-- an event id before the run's first one, $5 why it ended, $6 when.
insert into messages (partition, thread, id, role, parts, run, created_at, status, incomplete_reason, parent)
select w.partition, w.thread, cut.message, 'assistant',
       jsonb_build_array(jsonb_build_object('type', 'text', 'text', cut.text)), w.run, w.at, 'incomplete', w.reason,
       coalesce(
           (select num from messages
            where partition = w.partition and thread = w.thread and run >= w.run and run <= w.run and role = 'assistant'
            order by run desc, num desc limit 1),
           question.num
       )
from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::timestamptz[])
     as w (partition, thread, run, since, reason, at)
cross join lateral (
    select e.message, string_agg(e.content, '' order by e.id) as text
    from thread_events e
    where e.partition = w.partition and e.thread = w.thread and e.id >= w.since and e.run = w.run
      and e.type = 'agent.message.delta' and e.message is not null
      and not exists (select from messages m
                      where m.partition = e.partition and m.thread = e.thread and m.id = e.message)
    group by e.message
    order by e.message
) as cut
left join lateral (
    select q.num
    from (select input from runs where partition = w.partition and thread = w.thread and id = w.run offset 0) as r
    cross join lateral (
        select num from messages
        where partition = w.partition and thread = w.thread
          and id >= r.input[cardinality(r.input)] and id <= r.input[cardinality(r.input)]
        order by id limit 1
    ) as q
) as question on true;

-- name: say
-- What runners leave: messages that are more than a user's text, in the order of their numbers; checkpoints, the event that
-- each was made behind, and what was used (from a checkpoint on attempts count anew, but for the one that made it); and
-- leases that end with it. What a run says follows what it said before, and its first message the last one that it answers.
with numbered as materialized (
    select w.*, nextval('message_numbers') as num
    from (
        select *
        from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::text[], $8::text[],
                    $9::timestamptz[], $10::text[], $11::bigint[])
             with ordinality as u (partition, thread, id, role, parts, run, metadata, request_id, created_at,
                                   incomplete, parent, n)
        order by n
    ) as w
),
said as (
    insert into messages (partition, thread, id, num, role, parts, run, metadata, request_id, created_at, status,
                          incomplete_reason, parent)
    select w.partition, w.thread, w.id, w.num, w.role, w.parts::jsonb, w.run, w.metadata::jsonb, w.request_id,
           w.created_at, case when w.incomplete is null then 'completed' else 'incomplete' end, w.incomplete,
           case when w.role = 'user' or w.run is null then w.parent else coalesce(
               (select max(b.num) from numbered b where b.run = w.run and b.role = 'assistant' and b.num < w.num),
               (select num from messages
                where partition = w.partition and thread = w.thread and run >= w.run and run <= w.run
                  and role = 'assistant'
                order by run desc, num desc limit 1),
               question.num
           ) end
    from numbered w
    left join lateral (
        select q.num
        from (select input from runs where partition = w.partition and thread = w.thread and id = w.run offset 0) as r
        cross join lateral (
            select num from messages
            where partition = w.partition and thread = w.thread
              and id >= r.input[cardinality(r.input)] and id <= r.input[cardinality(r.input)]
            order by id limit 1
        ) as q
    ) as question on w.role = 'assistant'
    order by w.n
    on conflict (partition, thread, id) do nothing  -- written before, by an append whose answer was lost
),
kept as (
    update runs r
    set checkpoint = coalesce(w.checkpoint::jsonb, r.checkpoint), resume_after = coalesce(w.place, r.resume_after),
        attempt = case when w.checkpoint is null or w.checkpoint::jsonb is not distinct from r.checkpoint then r.attempt
                       else least(r.attempt, 1) end,
        usage = coalesce(w.usage::jsonb, r.usage)
    from unnest($12::smallint[], $13::uuid[], $14::uuid[], $15::text[], $16::uuid[], $17::text[])
         as w (partition, thread, id, checkpoint, place, usage)
    where r.partition = w.partition and r.thread = w.thread and r.id = w.id
)
delete from leases l
using unnest($18::smallint[], $19::uuid[], $20::bigint[]) as w (partition, thread, epoch)
where l.partition = w.partition and l.thread = w.thread and l.epoch = w.epoch;

-- name: keep_deadline
-- What is left of a run's time goes with it to the next worker.
update runs r set deadline = l.deadline
from unnest($1::smallint[], $2::uuid[], $3::bigint[]) as w (partition, thread, epoch)
join leases l on l.partition = w.partition and l.thread = w.thread and l.epoch = w.epoch
where r.partition = w.partition and r.thread = w.thread and r.id = l.run and r.completed_at is null;

-- name: edit_messages
-- Other texts for what queued runs answer: the last message, and its event in the log, which has the same id or, where the
-- message came by another dialect, names it, and is of the same moment.
-- The planner may take an index of the thread's messages in another order, and read them all: so the id is a range of
-- one that leads the order, and then id and number are asked for, of which either index finds one row.
with found as materialized (
    select r.partition, r.thread, said.id, said.num, w.text
    from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[]) as w (partition, thread, run, text)
    join runs r on r.partition = w.partition and r.thread = w.thread and r.id = w.run
    cross join lateral (
        select m.id, m.num from messages m
        where m.partition = r.partition and m.thread = r.thread
          and m.id >= r.input[cardinality(r.input)] and m.id <= r.input[cardinality(r.input)]
        order by m.id limit 1
    ) as said
),
edited as (
    update messages m set parts = jsonb_build_array(jsonb_build_object('type', 'text', 'text', f.text))
    from found f
    where m.partition = f.partition and m.thread = f.thread and m.id = f.id and m.num = f.num
    returning m.partition, m.thread, m.id, m.created_at, f.text
),
logged as materialized (
    select w.partition, w.thread, e.id, w.text
    from edited w
    cross join lateral (
        (select id from thread_events
         where partition = w.partition and thread = w.thread and id >= w.id and id <= w.id and type = 'user.message'
         order by id)
        union all
        (select id from thread_events
         where partition = w.partition and thread = w.thread
           and id >= rpad(lpad(to_hex((extract(epoch from w.created_at) * 1000)::bigint - 1000), 12, '0'), 32, '0')::uuid
           and id <= rpad(lpad(to_hex((extract(epoch from w.created_at) * 1000)::bigint + 1000), 12, '0'), 32, 'f')::uuid
           and message = w.id and type = 'user.message'
         order by id)
    ) as e
)
update thread_events e set content = w.text
from logged w
where e.partition = w.partition and e.thread = w.thread and e.id = w.id;

-- name: turn_messages
-- Messages that were offered to a run, and became runs of their own: they are those runs' from now on, in the log, too. The
-- id is a range of one here as it is above.
with found as materialized (
    select w.partition, w.thread, w.run, said.id, said.num
    from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[]) as w (partition, thread, run, id)
    cross join lateral (
        select m.id, m.num from messages m
        where m.partition = w.partition and m.thread = w.thread and m.id >= w.id and m.id <= w.id
        order by m.id limit 1
    ) as said
),
turned as (
    update messages m set run = f.run
    from found f
    where m.partition = f.partition and m.thread = f.thread and m.id = f.id and m.num = f.num
)
update thread_events e set run = f.run
from found f
where e.partition = f.partition and e.thread = f.thread and e.id = f.id;

-- name: insert_requests
-- Permission requests that a run opened.
insert into permission_requests (partition, thread, id, run, title, tool_name, tool_input, created_at, expires_at, key)
select partition, thread, id, run, title, tool_name, tool_input::jsonb, created_at, expires_at, key
from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[],
            $8::timestamptz[], $9::timestamptz[], $10::text[])
     as w (partition, thread, id, run, title, tool_name, tool_input, created_at, expires_at, key);

-- name: settle_requests
-- Permission requests that left `pending`.
update permission_requests p set state = w.state, note = w.note, decided_at = w.decided_at
from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::timestamptz[])
     as w (partition, thread, id, state, note, decided_at)
where p.partition = w.partition and p.thread = w.thread and p.id = w.id and p.state = 'pending';

-- name: keep_traces
-- The spans that runs of this transaction belong to. Arguments: columns of partition, thread, run, span.
update runs r set traceparent = w.traceparent
from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[]) as w (partition, thread, id, traceparent)
where r.partition = w.partition and r.thread = w.thread and r.id = w.id;

-- name: keep_steers
-- Offers made, and what became of them.
insert into steers (partition, thread, run, target, event, text, settled)
select * from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::bool[])
on conflict (partition, thread, run) do update set settled = excluded.settled;

-- name: keep_client_requests
-- Client request ids, with the first run of each.
insert into client_requests (partition, thread, client_request_id, run)
select * from unnest($1::smallint[], $2::uuid[], $3::text[], $4::uuid[]);

-- name: block
-- Batches of held threads wait where no drain meets them again.
update batches b set blocked = true
from unnest($1::smallint[], $2::bigint[]) as w (partition, id)
where b.partition = w.partition and b.id = w.id and b.applied_at is null;

-- name: unblock
-- All batches of these threads that were blocked, but not parked, wait again. The caller holds the partitions' locks.
update batches b set blocked = false
from unnest($1::smallint[], $2::uuid[]) as w (partition, thread)
where b.partition = w.partition and b.thread = w.thread and b.applied_at is null and b.blocked and b.parked_at is null;

-- name: read_one
-- Whether this batch still waits, asked again under the lock; its thread is locked as in `read`.
select l.id is not null
       or not exists (select from threads t where t.partition = b.partition and t.id = b.thread) as free,
       clock_timestamp() as now
from (select * from batches where partition = $1 and id = $2 offset 0) as b  -- by the primary key
left join lateral (
    select t.id from threads t where t.partition = b.partition and t.id = b.thread for no key update skip locked
) as l on true
where b.applied_at is null and not b.blocked;
