-- name: briefing
-- What a worker needs to know of the runs it has: the agent, the messages to answer, what the last attempt left, and
-- what became of permissions. Each is looked up by its whole key, in a subquery that the planner must not take apart, or by a
-- range of one that leads the order: it would take an index by thread as well, and read all that the thread ever had.
select t.id as thread, w.epoch, r.id as run, r.seq, r.attempt, r.checkpoint, r.resume_after, r.usage, r.created_at, r.started_at, r.traceparent,
       t.account, t.agent, a.runner, a.config, a.updated_at as agent_at, m.ids, m.parts, m.moments, m.first, m.parent, p.keys, p.states, p.notes
from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::bigint[]) as w (partition, thread, run, epoch)
join leases l on l.partition = w.partition and l.thread = w.thread and l.epoch = w.epoch
join threads t on t.partition = w.partition and t.id = w.thread
cross join lateral (
    select * from runs where partition = w.partition and thread = w.thread and id = w.run offset 0
) as r
left join agents a on a.id = t.agent
cross join lateral (
    select array_agg(id order by num) as ids, array_agg(parts::text order by num) as parts,
           array_agg(created_at order by num) as moments, min(num) as first,
           (array_agg(parent order by num desc) filter (where parent is not null))[1] as parent
    from unnest(r.input) as i (message)
    cross join lateral (
        select * from messages
        where partition = w.partition and thread = w.thread and id >= i.message and id <= i.message
        order by id limit 1
    ) as said
) as m
cross join lateral (
    select array_agg(key) as keys, array_agg(state) as states, array_agg(note) as notes
    from (
        select key, state, note from permission_requests
        where partition = w.partition and thread = w.thread and run >= w.run and run <= w.run
        order by run limit 100000
    ) as asked
) as p;

-- name: tail
-- What a run logged behind an event, oldest first: of the last attempt, since its checkpoint. Arguments: partition,
-- thread, run, event.
select type, content, tool_call_id, message
from thread_events
where partition = $1 and thread = $2 and id > $4 and run = $3
  and type in ('agent.message.delta', 'agent.thinking.delta', 'tool.use.started', 'tool.use.completed', 'agent.custom', 'file.changed')
order by id;

-- name: speech
-- The message that a run was in the middle of at an event, or had ended before it, with its text up to there.
-- Arguments as for `tail`.
select last.message,
       (select string_agg(e.content, '' order by e.id) from thread_events e
        where e.partition = $1 and e.thread = $2 and e.id <= $4 and e.run = $3 and e.message = last.message
          and e.type = 'agent.message.delta') as text
from (select message from thread_events
      where partition = $1 and thread = $2 and id <= $4 and run = $3 and type = 'agent.message.delta'
      order by id desc limit 1) as last;

-- name: ended_messages
-- The assistant's messages of a run that are over. Arguments: partition, thread, run.
select id from messages where partition = $1 and thread = $2 and run = $3 and role = 'assistant';

-- name: history
-- The latest $4 messages of a thread that come before those of a run, oldest first, in the order in which runs execute: a
-- message that waited in the queue has a lower number than the answers it waited for. What a lost attempt said and the
-- next one said otherwise is left out. What a run has that it does not answer (its own before the last message that an
-- assistant's client added) is history, and so is what nobody answered. Arguments: partition, thread, the run's seq, limit, its
-- own messages, their first number, how many further messages to look through (those of runs that wait behind it), when the
-- run was made, and how many bytes: the last message may go beyond.
with latest as (
    select m.id, m.num, m.run, m.role, m.parts, m.size, m.created_at, m.incomplete_reason
    from messages m
    where m.partition = $1 and m.thread = $2 and m.id <> all($5::uuid[])
      and (m.run is not null or m.num < $6 and m.created_at <= $8)
    order by m.num desc
    limit $4::int + $7::int
),
placed as (
    select l.*, coalesce(r.seq, max(r.seq) over (order by l.num), 0) as place, r.seq
    from latest l
    left join lateral (
        select seq from runs where partition = $1 and thread = $2 and id = l.run offset 0
    ) as r on true
),
told as (
    select *, sum(size) over (order by place desc, num desc) - size as before
    from placed
    where incomplete_reason is distinct from 'runner.restarted'
      and (seq < $3 or (seq is null or seq = $3) and num < $6 and created_at <= $8)
    order by place desc, num desc
    limit $4
)
select id, role, parts::text as parts, created_at, incomplete_reason
from told
where before < $9
order by place desc, num desc;

-- name: lineage
-- At most $4 messages that lead up to the message with a number, that one first. A message follows the one that it names, else the
-- one before it; but what a run says follows what was offered to it in between, and that what the run said before. Where a run's
-- first question names none, the chain ends: what that run was told is its `history`. Where a message was removed, the next one
-- before it stands for it. What a lost attempt said and the run's own messages are left out, for which $5 further ones are looked
-- through. Arguments: partition, thread, number, limit, further ones, own messages, and how many bytes: the last message may go
-- beyond.
with recursive chain as (
    (select num, parent, run, id, role, parts, size, created_at, incomplete_reason, 1 as steps
     from messages
     where partition = $1 and thread = $2 and num <= $3
     order by num desc
     limit 1)
    union all
    select m.*, c.steps + 1
    from chain c
    left join lateral (
        select case when c.role = 'user' then said.num - 1 else greatest(said.num, c.parent) end as num
        from (select input from runs where partition = $1 and thread = $2 and id = c.run offset 0) as r
        cross join lateral (
            select num from messages
            where partition = $1 and thread = $2 and id >= r.input[1] and id <= r.input[1]
            order by id limit 1
        ) as said
    ) as behind on c.run is not null and (c.role = 'user') = (c.parent is null)  -- its run's other messages lie behind it
    left join lateral (
        select num from messages
        where partition = $1 and thread = $2 and num > behind.num and num < c.num and run = c.run
        order by num desc limit 1
    ) as own on behind.num is not null
    left join lateral (
        select num from messages
        where partition = $1 and thread = $2 and num <= coalesce(c.parent, c.num - 1) and num < c.num
        order by num desc limit 1
    ) as before on own.num is null and (c.role = 'assistant' or behind.num is null)
    cross join lateral (
        select num, parent, run, id, role, parts, size, created_at, incomplete_reason
        from messages
        where partition = $1 and thread = $2 and num >= coalesce(own.num, before.num)
          and num <= coalesce(own.num, before.num)
        order by num limit 1
    ) as m
    where c.steps < $4::int + $5::int
)
select id, num, role, parent, run, parts::text as parts, size, created_at, incomplete_reason, found
from (
    select *, sum(size) over (order by steps) - size as before, count(*) over () as found
    from chain
    where incomplete_reason is distinct from 'runner.restarted' and id <> all($6::uuid[])
    order by steps
    limit $4
) as told
where before < $7
order by steps;

-- name: told
-- What a run was told of, for its `history`. Arguments: partition, thread, run.
select seq, input, created_at from runs where partition = $1 and thread = $2 and id = $3;

-- name: offers
-- Messages offered to these runs that no runner has acknowledged. Arguments: partitions, threads, runs.
select s.thread, s.run, s.event, m.parts, m.created_at
from unnest($1::smallint[], $2::uuid[], $3::uuid[]) as w (partition, thread, run)
cross join lateral (
    select * from steers
    where partition = w.partition and thread = w.thread and not settled and target = w.run offset 0
) as s
cross join lateral (
    select created_at, parts::text as parts from messages
    where partition = s.partition and thread = s.thread and id >= s.event and id <= s.event
    order by id limit 1
) as m
order by s.event;
