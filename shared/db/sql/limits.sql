-- name: in_flight
-- How many batches of an account are accepted and not applied, up to a bound; those behind a held thread don't count.
-- Arguments: account, bound.
select count(*)::int
from (select
      from partitions p
      cross join lateral (select from batches
                          where partition = p.id and account >= $1::uuid and account <= $1::uuid
                            and applied_at is null and not blocked
                          order by account, id
                          limit $2) one
      limit $2) f;

-- name: limit_account
-- Other limits of an account: those whose name is among $2, null where the setting's holds again. Arguments: account, names,
-- rate, burst, in_flight, concurrency.
update accounts
set rate = case when 'rate' = any($2::text[]) then $3 else rate end,
    burst = case when 'burst' = any($2::text[]) then $4 else burst end,
    in_flight = case when 'in_flight' = any($2::text[]) then $5 else in_flight end,
    concurrency = case when 'concurrency' = any($2::text[]) then $6 else concurrency end
where id = $1
returning rate, burst, in_flight, concurrency;

-- name: limit_token
-- Other limits of a token. Arguments: token, names, rate, burst.
update tokens
set rate = case when 'rate' = any($2::text[]) then $3 else rate end,
    burst = case when 'burst' = any($2::text[]) then $4 else burst end
where id = $1
returning rate, burst;

-- name: of_account
-- The limits that an account has of its own. Argument: account.
select rate, burst, in_flight, concurrency from accounts where id = $1;

-- name: of_tokens
-- Tokens of an account that are not revoked, the oldest first, with the limits that they have of their own, and whether
-- they are over: by a range of the index for each kind, as a list of tokens is read. Arguments: account, kinds, most.
select t.*
from unnest($2::text[]) k (kind)
cross join lateral (
    select id, name, prefix, rate, burst, coalesce(expires_at <= clock_timestamp(), false) as over
    from tokens
    where (account, kind, (revoked_at is not null), id)
          > ($1::uuid, k.kind, false, '00000000-0000-0000-0000-000000000000')
      and (account, kind, (revoked_at is not null), id) <= ($1, k.kind, false, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    order by account, kind, (revoked_at is not null), id
    limit $3
) t
order by t.id
limit $3;

-- name: executing
-- How many of an account's runs execute, of at most $2 leases that are looked at. Arguments: account, most.
select count(*)
from (select partition, thread from leases order by partition, thread limit $2) l
cross join lateral (select account from threads where partition = l.partition and id = l.thread offset 0) t
where t.account = $1;

-- name: names
-- What accounts and tokens are called. Arguments: accounts, tokens.
select id, name from accounts where id = any($1::uuid[])
union all
select id, case when name = '' then prefix else name end from tokens where id = any($2::uuid[]);
