-- name: operator
-- Whose token has this digest, whatever its kind, unless it was revoked or its time is over. Argument: digest.
select id as token, kind, name, prefix
from tokens
where digest = $1 and revoked_at is null and (expires_at is null or expires_at > clock_timestamp());

-- name: open
-- A login, which ends after $3 seconds or with its token. Arguments: SHA-256 of the cookie, token, seconds.
insert into console_sessions (digest, token, expires_at)
select $1, id, least(clock_timestamp() + $3::float8 * interval '1 second', expires_at)
from tokens
where id = $2
returning extract(epoch from expires_at - clock_timestamp())::float8 as left;

-- name: session
-- Who logged in with this cookie, and for how many seconds still; no row where the login or its token is over. Argument:
-- SHA-256 of the cookie.
select s.token, t.kind, t.name, t.prefix, extract(epoch from s.expires_at - clock_timestamp())::float8 as left
from console_sessions s
join tokens t on t.id = s.token
where s.digest = $1
  and s.expires_at > clock_timestamp()
  and t.revoked_at is null
  and (t.expires_at is null or t.expires_at > clock_timestamp());

-- name: close
-- Ends a login, and the tokens that were lent to it. Argument: SHA-256 of the cookie.
with closed as (
    delete from console_sessions where digest = $1
)
update tokens set revoked_at = now() where lent_to = $1 and revoked_at is null;

-- name: crowd
-- Ends the oldest logins of a token, and the tokens that were lent to them; returns their digests. By this there are so few
-- logins that no index is needed. Arguments: token, how many go on.
with ended as (
    delete from console_sessions
    where digest in (
        select digest
        from console_sessions
        where digest in (select digest from console_sessions where token = $1 order by created_at desc offset $2)
        for update skip locked
    )
    returning digest
), returned as (
    update tokens set revoked_at = now() where lent_to in (select digest from ended) and revoked_at is null
)
select digest from ended;

-- name: forget
-- Removes logins that are over, with what was confirmed in them. Argument: how many at most.
delete from console_sessions
where digest in (select digest from console_sessions where expires_at < clock_timestamp() order by expires_at limit $1);

-- name: clock
-- What time it is.
select clock_timestamp();

-- name: begin
-- Takes a deed for a login that may act at this moment: whether nobody took it before; no row where the login or its
-- token is over. Arguments: SHA-256 of the cookie, id.
with login as materialized (
    select s.digest
    from console_sessions s
    join tokens t on t.id = s.token
    where s.digest = $1
      and s.expires_at > clock_timestamp()
      and t.kind = 'admin'
      and t.revoked_at is null
      and (t.expires_at is null or t.expires_at > clock_timestamp())
    for key share of s
), taken as (
    insert into console_deeds (session, id)
    select digest, $2 from login
    on conflict do nothing
    returning id
)
select exists (select from taken) as taken from login;

-- name: end
-- What came of a deed. Arguments: SHA-256 of the cookie, id, in one line, where the console goes on.
update console_deeds set told = $3, place = $4 where session = $1 and id = $2;

-- name: done
-- What came of a deed that was taken before, null as long as nothing has; how many seconds ago that was. Arguments:
-- SHA-256 of the cookie, id.
select told, place, extract(epoch from clock_timestamp() - at)::float8 as age from console_deeds where session = $1 and id = $2;
