-- name: create
-- A new account; no row where the name is taken. Arguments: id, name.
insert into accounts (id, name)
values ($1, $2)
on conflict (name) do nothing
returning id, name, default_agent, held, created_at;

-- name: list
-- All accounts, oldest first.
select id, name, default_agent, held, created_at
from accounts
order by created_at, id;

-- name: find
-- The account of an id or of a name. Arguments: id or null, name.
select id, name, default_agent, held, created_at
from accounts
where id = $1 or name = $2
order by id = $1 desc nulls last
limit 1;

-- name: set_default_agent
-- Makes an agent the default one of its account. Argument: agent.
update accounts
set default_agent = agents.id
from agents
where agents.id = $1 and accounts.id = agents.account;
