-- name: caller
-- Whose token has this digest, unless it was revoked or its time is over, and what limits it has: one that was lent is
-- over with its lender's token and login. Argument: digest.
select t.id as token, t.account, t.kind, t.digest, t.rate as token_rate, t.burst as token_burst,
       a.rate as account_rate, a.burst as account_burst, a.in_flight
from live_tokens t
left join accounts a on a.id = t.account
where t.digest = $1;

-- name: agent
-- What a request needs to know of an agent. Argument: id.
select id, account, name, kind, busy_policy, published
from agents
where id = $1;

-- name: agent_named
-- The same of an account's agent by its name. Arguments: account, name.
select id, account, name, kind, busy_policy, published
from agents
where account = $1 and name = $2;

-- name: default_agent
-- The same of the agent that an account chose, else of its first. Argument: account.
select agents.id, agents.account, agents.name, kind, busy_policy, published
from accounts
join agents on agents.account = accounts.id
where accounts.id = $1
order by agents.id = accounts.default_agent desc nulls last, agents.created_at, agents.id
limit 1;

-- name: thread
-- A thread of the account that is not deleted. By its key, in a subquery that the planner must not take apart: it would
-- take the index of an account's threads as well, and read all of them. Arguments: partition, id, account.
select *
from (select * from threads where partition = $1 and id = $2 offset 0) as t
where account = $3 and deleted_at is null;

-- name: metadata
-- What a thread's owner keeps with it, by its key as in `thread`. Arguments: partition, id, account.
select metadata
from (select * from threads where partition = $1 and id = $2 offset 0) as t
where account = $3 and deleted_at is null;

-- name: cursor
-- A thread of an account, deleted or not. Arguments: partition, thread, account.
select * from threads where partition = $1 and id = $2 and account = $3;

-- name: threads
-- Threads of an agent, newest updated first. Arguments: account, agent, archived, limit.
select *
from threads
where account = $1 and agent = $2 and deleted_at is null and (archived_at is not null) = $3
order by updated_at desc, id
limit $4;

-- name: threads_behind
-- The same, behind a thread. Arguments: as above, then the moment of its last update and its id.
select *
from threads
where account = $1
  and agent = $2
  and deleted_at is null
  and (archived_at is not null) = $3
  and updated_at <= $5
  and (updated_at < $5 or id > $6)
order by updated_at desc, id
limit $4;

-- name: run
-- One run with the parts of its last assistant message where it completed, and its place among those that are not
-- finished (0: the current one). Arguments: partition, thread, run.
select runs.*,
       case when completed_at is null
            then (select count(*)
                  from runs as earlier
                  where earlier.partition = $1
                    and earlier.thread = $2
                    and earlier.completed_at is null
                    and earlier.seq < runs.seq)
       end as place,
       case when status = 'completed'
            then (select parts
                  from messages
                  where messages.partition = $1
                    and messages.thread = $2
                    and messages.run = runs.id
                    and role = 'assistant'
                  order by num desc
                  limit 1)
       end as output
from runs
where partition = $1 and thread = $2 and id = $3;

-- name: runs
-- Runs of a thread, newest id first, with their outputs and places as in `run`. Arguments: partition, thread, limit,
-- the id that the page begins behind or null.
with page as (
    select *
    from runs
    where partition = $1 and thread = $2 and id < coalesce($4::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    order by id desc
    limit $3
),
waiting as (
    select id, row_number() over (order by seq) - 1 as place
    from runs
    where partition = $1 and thread = $2 and completed_at is null
)
select page.*,
       waiting.place,
       case when status = 'completed'
            then (select parts
                  from messages
                  where messages.partition = $1
                    and messages.thread = $2
                    and messages.run = page.id
                    and role = 'assistant'
                  order by num desc
                  limit 1)
       end as output
from page
left join waiting on waiting.id = page.id
order by page.id desc;

-- name: deltas_before
-- What these messages have before an event, newest first; looks through $4 events. Arguments: partition, thread, event,
-- how many, messages.
select *
from (select * from thread_events where partition = $1 and thread = $2 and id < $3 order by id desc limit $4) as log
where message = any($5::uuid[])
order by id desc;

-- name: events_after
-- Events of a thread behind a cursor, oldest first. Arguments: partition, thread, cursor or null, limit.
select id, run, type, status, content, tool_call_id, tool_name, tool_input, request_id, tokens, duration_ms, occurred_at,
       message
from thread_events
where partition = $1 and thread = $2 and id > coalesce($3::uuid, '00000000-0000-0000-0000-000000000000')
order by id
limit $4;

-- name: events_before
-- Events of a thread before a cursor, newest first. Arguments: partition, thread, cursor or null, limit.
select id, run, type, status, content, tool_call_id, tool_name, tool_input, request_id, tokens, duration_ms, occurred_at,
       message
from thread_events
where partition = $1 and thread = $2 and id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
order by id desc
limit $4;
