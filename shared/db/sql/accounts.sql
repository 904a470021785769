-- name: create
-- A new account; no row where the name is taken. Arguments: id, name.
insert into accounts (id, name)
values ($1, $2)
on conflict (name) do nothing
returning id, name, default_agent, held, created_at;

-- name: list
-- Accounts, the oldest first: ids are minted where they are made. Arguments: beyond this id, limit.
select id, name, default_agent, held, created_at
from accounts
where id > $1
order by id
limit $2;

-- name: named
-- Accounts whose name begins with $1, in either case, by name; $2 is the first text beyond those. Arguments: beginning,
-- its end, beyond this name and id, limit.
select id, name, default_agent, held, created_at
from accounts
where lower(name) collate "C" < lower($2)
  and (lower(name) collate "C", id) > (greatest(lower($1) collate "C", lower($3) collate "C"), $4::uuid)
order by lower(name) collate "C", id
limit $5;

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
