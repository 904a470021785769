-- name: create
-- A new token; no row where the same secret is known already. Arguments: id, account or null, kind, name, digest,
-- prefix, seconds that it lives or null.
insert into tokens (id, account, kind, name, digest, prefix, expires_at)
values ($1, $2, $3, $4, $5, $6, clock_timestamp() + $7::float8 * interval '1 second')
on conflict (digest) do nothing
returning id, account, kind, name, prefix, created_at, expires_at, revoked_at;

-- name: list
-- The tokens of one account, or all of them, oldest first. Argument: account or null.
select id, account, kind, name, prefix, created_at, expires_at, revoked_at
from tokens
where $1::uuid is null or account = $1
order by created_at, id;

-- name: revoke
-- Ends a token; one that was revoked before keeps its time. Argument: id.
update tokens
set revoked_at = coalesce(revoked_at, now())
where id = $1
returning id, account, kind, name, prefix, created_at, expires_at, revoked_at;
