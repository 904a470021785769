-- name: create
-- A new agent; no row where the account has one of that name. Arguments: id, account, name, runner, config, busy
-- policy, kind, published, run timeout, on expired.
insert into agents (id, account, name, runner, config, busy_policy, kind, published, run_timeout, on_expired)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (account, name) do nothing
returning id;

-- name: list
-- The agents of one account, or all of them, oldest first. The default one is the account's choice, else its first.
-- Argument: account or null.
select agents.id, account, agents.name, runner, config, busy_policy, run_timeout, on_expired, kind, published,
       webhook_url,
       agents.id = coalesce(accounts.default_agent,
                            first_value(agents.id) over (partition by account order by agents.created_at, agents.id))
           as is_default,
       agents.created_at, updated_at
from agents
join accounts on accounts.id = agents.account
where $1::uuid is null or account = $1
order by agents.created_at, agents.id;

-- name: find
-- The agent of an id, else at most two of a name. Arguments: id or null, name, account or null.
select agents.id, account, agents.name, runner, config, busy_policy, run_timeout, on_expired, kind, published,
       webhook_url,
       agents.id = coalesce(accounts.default_agent,
                            (select first.id
                             from agents as first
                             where first.account = agents.account
                             order by first.created_at, first.id
                             limit 1))
           as is_default,
       agents.created_at, updated_at
from agents
join accounts on accounts.id = agents.account
where (agents.id = $1 or agents.name = $2) and ($3::uuid is null or account = $3)
order by agents.id = $1 desc nulls last, agents.id
limit 2;

-- name: publish
-- Opens an agent for new threads, or closes it. Arguments: id, published.
update agents
set published = $2, updated_at = now()
where id = $1;

-- name: change
-- Changes what is not null; a run timeout of 0 makes it null. Arguments: id, config, busy policy, run timeout, on
-- expired.
update agents
set config = coalesce($2, config),
    busy_policy = coalesce($3, busy_policy),
    run_timeout = nullif(coalesce($4, run_timeout), 0),
    on_expired = coalesce($5, on_expired),
    updated_at = now()
where id = $1;
