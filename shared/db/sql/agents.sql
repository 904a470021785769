-- name: create
-- A new agent; no row where the account has one of that name. Arguments: id, account, name, runner, config, busy
-- policy, kind, published, run timeout, on expired.
insert into agents (id, account, name, runner, config, busy_policy, kind, published, run_timeout, on_expired)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (account, name) do nothing
returning id;

-- name: list
-- Agents, the oldest first. The default one is the account's choice, else its first. Arguments: beyond this time and id,
-- limit.
select a.id, a.account, a.name, a.runner, a.config, a.busy_policy, a.run_timeout, a.on_expired, a.kind, a.published,
       a.webhook_url,
       a.id = coalesce(accounts.default_agent,
                       (select first.id
                        from agents as first
                        where first.account >= a.account and first.account <= a.account
                        order by first.account, first.created_at, first.id
                        limit 1))
           as is_default,
       a.created_at, a.updated_at
from (select * from agents where (created_at, id) > ($1::timestamptz, $2::uuid) order by created_at, id limit $3) a
join accounts on accounts.id = a.account
order by a.created_at, a.id;

-- name: list_of
-- The same of one account, by a range of its index (by equality the planner may take another one).
-- Arguments: beyond this time and id, limit, account.
select a.id, a.account, a.name, a.runner, a.config, a.busy_policy, a.run_timeout, a.on_expired, a.kind, a.published,
       a.webhook_url,
       a.id = coalesce(accounts.default_agent,
                       (select first.id
                        from agents as first
                        where first.account >= a.account and first.account <= a.account
                        order by first.account, first.created_at, first.id
                        limit 1))
           as is_default,
       a.created_at, a.updated_at
from (select * from agents
      where (account, created_at, id) > ($4::uuid, $1::timestamptz, $2::uuid) and account <= $4
      order by account, created_at, id
      limit $3) a
join accounts on accounts.id = a.account
order by a.created_at, a.id;

-- name: named
-- An account's agents whose name begins with $1, in either case, by name; $2 is the first text beyond those. Arguments:
-- beginning, its end, beyond this name and id, limit, account.
select a.id, a.account, a.name, a.runner, a.config, a.busy_policy, a.run_timeout, a.on_expired, a.kind, a.published,
       a.webhook_url,
       a.id = coalesce(accounts.default_agent,
                       (select first.id
                        from agents as first
                        where first.account >= a.account and first.account <= a.account
                        order by first.account, first.created_at, first.id
                        limit 1))
           as is_default,
       a.created_at, a.updated_at
from (select * from agents
      where (account, lower(name) collate "C", id)
            > ($6::uuid, greatest(lower($1) collate "C", lower($3) collate "C"), $4::uuid)
        and (account, lower(name) collate "C") < ($6, lower($2))
      order by account, lower(name) collate "C", id
      limit $5) a
join accounts on accounts.id = a.account
order by lower(a.name) collate "C", a.id;

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
