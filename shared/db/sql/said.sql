-- name: amend_message
-- Other metadata of one message. Arguments: partition, thread, message, metadata. Found as in `edit_messages`.
with found as materialized (
    select partition, thread, id, num from messages
    where partition = $1 and thread = $2 and id >= $3 and id <= $3 order by id limit 1
)
update messages m set metadata = $4::text::jsonb
from found f
where m.partition = f.partition and m.thread = f.thread and m.id = f.id and m.num = f.num;

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

-- name: edit_messages
-- Other texts for what queued runs answer: the last message, which keeps its files, and its event in the log, which has the
-- same id or, where the message came by another dialect, names it, and is of the same moment.
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
    update messages m
    set parts = jsonb_build_array(jsonb_build_object('type', 'text', 'text', f.text))
                || jsonb_path_query_array(m.parts, '$[*] ? (@.type == "file")')
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
-- id is a range of one, as in `edit_messages`.
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
