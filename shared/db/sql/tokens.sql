-- name: create
-- A new token; no row where the same secret is known already. Arguments: id, account or null, kind, name, digest,
-- prefix, seconds that it lives or null, whose token lends it or null, the digest of the login it is lent to or null.
insert into tokens (id, account, kind, name, digest, prefix, expires_at, lent_by, lent_to)
values ($1, $2, $3, $4, $5, $6, clock_timestamp() + $7::float8 * interval '1 second', $8, $9)
on conflict (digest) do nothing
returning id, account, kind, name, prefix, created_at, expires_at, revoked_at, lent_by;

-- name: list
-- Tokens of some kinds, revoked or not, the oldest first: of each kind and state the first ones, by ranges of an index whose
-- order no other one has (by equality the planner may take the primary key). Arguments: kinds, states (whether revoked),
-- beyond this id, limit.
select t.*
from unnest($1::text[]) k (kind)
cross join unnest($2::boolean[]) s (revoked)
cross join lateral (
    select id, account, kind, name, prefix, created_at, expires_at, revoked_at, lent_by
    from tokens
    where (kind, (revoked_at is not null), id) > (k.kind, s.revoked, $3::uuid)
      and (kind, (revoked_at is not null), id) <= (k.kind, s.revoked, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    order by kind, (revoked_at is not null), id
    limit $4
) t
order by t.id
limit $4;

-- name: list_of
-- The same of one account. Arguments: kinds, states, beyond this id, limit, account.
select t.*
from unnest($1::text[]) k (kind)
cross join unnest($2::boolean[]) s (revoked)
cross join lateral (
    select id, account, kind, name, prefix, created_at, expires_at, revoked_at, lent_by
    from tokens
    where (account, kind, (revoked_at is not null), id) > ($5::uuid, k.kind, s.revoked, $3::uuid)
      and (account, kind, (revoked_at is not null), id)
          <= ($5, k.kind, s.revoked, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    order by account, kind, (revoked_at is not null), id
    limit $4
) t
order by t.id
limit $4;

-- name: find
-- One token. Argument: id.
select id, account, kind, name, prefix, created_at, expires_at, revoked_at, lent_by
from tokens
where id = $1;

-- name: revoke
-- Ends a token, and those that were lent with it and live; `ended` is how many. One that was revoked before keeps its time.
-- Argument: id.
with before as (
    select id, revoked_at from tokens where id = $1 for update
),
lent as (
    update tokens
    set revoked_at = now()
    where lent_by = $1 and revoked_at is null and (expires_at is null or expires_at > clock_timestamp())
    returning id
)
update tokens t
set revoked_at = coalesce(t.revoked_at, now())
from before b
where t.id = b.id
returning t.id, t.account, t.kind, t.name, t.prefix, t.created_at, t.expires_at, t.revoked_at, t.lent_by,
          (b.revoked_at is null)::int + (select count(*) from lent)::int as ended;

-- name: lent
-- How many were lent with a token and live. Argument: id.
select count(*)
from tokens
where lent_by = $1 and revoked_at is null and (expires_at is null or expires_at > clock_timestamp());
