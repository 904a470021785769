-- name: begin
-- Makes room in an account's quota (0: none) for so many bytes, and the row of a file that is to be written: no row where
-- there is no room. Arguments: id, account, agent, token, name, type, bytes at most, quota, seconds until it is given up,
-- partition, thread, run.
with room as (
    insert into file_usage as u (account, files, bytes)
    select $2, 1, $7::bigint where $8::bigint = 0 or $7::bigint <= $8::bigint
    on conflict (account) do update set files = u.files + 1, bytes = u.bytes + excluded.bytes
    where $8::bigint = 0 or u.bytes + excluded.bytes <= $8::bigint
    returning account
)
insert into files (id, account, agent, token, kind, name, mime_type, size, expires_at, partition, thread, run)
select $1, $2, $3, $4, case when $4::uuid is null then 'artifact' else 'attachment' end, $5, $6, $7,
       clock_timestamp() + $9::float8 * interval '1 second', $10, $11, $12
from room
returning id;

-- name: finish
-- The bytes of an upload are there: it may be read, and is a draft for so many hours. No row where it was given up meanwhile.
-- Arguments: id, bytes, SHA-256, hours.
with begun as (
    select id, account, size from files where id = $1 and not ready for update
),
room as (
    update file_usage u set bytes = u.bytes + $2 - b.size from begun b where u.account = b.account
)
update files f
set ready = true, size = $2, sha256 = $3, created_at = clock_timestamp(),
    expires_at = clock_timestamp() + $4::float8 * interval '1 hour'
from begun b
where f.id = b.id
returning f.id, f.name, f.mime_type, f.size, f.sha256, f.kind, f.thread, f.created_at;

-- name: give_up
-- A file that was not finished: its bytes, if there are any, go as those of any other. Argument: id.
with gone as (
    delete from files where id = $1 and not ready returning id, account, size
),
room as (
    update file_usage u set files = u.files - 1, bytes = u.bytes - g.size from gone g where u.account = g.account
)
insert into file_removals (id, account) select id, account from gone on conflict do nothing;

-- name: remove
-- A file of an account; its bytes go with the next sweep. Arguments: id, account, and its partition and thread where only one
-- of that thread is meant.
with gone as (
    delete from files f
    where f.id = $1 and f.account = $2 and f.ready
      and ($4::uuid is null or (f.partition = $3::smallint and f.thread = $4))
      and (f.thread is null or exists (
          select from threads t where t.partition = f.partition and t.id = f.thread and t.deleted_at is null))
    returning f.id, f.account, f.size
),
room as (
    update file_usage u set files = u.files - 1, bytes = u.bytes - g.size from gone g where u.account = g.account
)
insert into file_removals (id, account) select id, account from gone
on conflict (id) do update set account = excluded.account
returning id;

-- name: find
-- A file of an account, if it may be read. Arguments: id, account.
select f.id, f.name, f.mime_type, f.size, f.sha256, f.kind, f.thread, f.created_at
from files f
where f.id = $1 and f.account = $2 and f.ready
  and (f.thread is null or exists (
      select from threads t where t.partition = f.partition and t.id = f.thread and t.deleted_at is null));

-- name: of_thread
-- Files of a thread, in the order of their ids, and whether the batch that brought each has been applied. Arguments: partition,
-- thread, limit, behind this id.
select f.id, f.name, f.mime_type, f.size, f.sha256, f.kind, f.thread, f.created_at,
       not exists (select from batches b where b.ref = f.ref and b.applied_at is null) as committed
from files f
where f.partition = $1 and f.thread = $2 and f.ready and f.id > $4
order by f.id
limit $3;

-- name: usage
-- What an account's files come to. Argument: account.
select files, bytes from file_usage where account = $1;

-- name: expire
-- Takes out files whose time is over, at most so many: drafts that nobody attached, and what was never finished. Returns how
-- many. Argument: limit.
with gone as (
    delete from files where id in (
        select id from files where expires_at < now() order by expires_at limit $1 for update skip locked)
    returning id, account, size
),
accounts as materialized (
    select u.account
    from (select distinct account from gone order by account) g
    cross join lateral (select account from file_usage where account = g.account for update) u
),
room as (
    update file_usage u set files = u.files - g.files, bytes = u.bytes - g.bytes
    from accounts a, (select account, count(*) as files, sum(size)::bigint as bytes from gone group by account) g
    where u.account = a.account and u.account = g.account
),
outbox as (
    insert into file_removals (id, account) select id, account from gone on conflict do nothing
)
select count(*)::int from gone;

-- name: purge
-- Takes out files of a deleted thread, at most so many; returns how many. Arguments: partition, thread, limit.
with gone as (
    delete from files where id in (select id from files where partition = $1 and thread = $2 order by id limit $3)
    returning id, account, size
),
room as (
    update file_usage u set files = u.files - g.files, bytes = u.bytes - g.bytes
    from (select account, count(*) as files, sum(size)::bigint as bytes from gone group by account) g
    where u.account = g.account
),
outbox as (
    insert into file_removals (id, account) select id, account from gone on conflict do nothing
)
select count(*)::int from gone;

-- name: claim_removals
-- Files whose bytes are to go now, at most so many; nobody else takes them until their next try. Arguments: limit, seconds to
-- the next try after a first failure, and at most; each failure doubles it.
update file_removals r
set attempts = r.attempts + 1,
    next_try_at = clock_timestamp() + least($2 * 2 ^ least(r.attempts, 30), $3) * interval '1 second'
from (select id from file_removals where next_try_at <= now() order by next_try_at limit $1 for update skip locked) d
where r.id = d.id
returning r.id;

-- name: removed
-- Their bytes are gone. Argument: ids.
delete from file_removals where id = any($1::uuid[]);

-- name: pending_removals
-- How many files are still to be removed from the storage, counted up to a bound, and for how many seconds the oldest of the
-- counted has waited. Argument: bound.
select count(*)::int as n, coalesce(extract(epoch from clock_timestamp() - min(since)), 0)::float8 as age
from (select since from file_removals order by next_try_at limit $1) r;

-- name: left_over
-- Bytes that came when their row had been given up. Arguments: id, account.
insert into file_removals (id, account) values ($1, $2) on conflict do nothing;

-- name: listed
-- Files of all accounts or of one, account by account, in the order of their ids. Arguments: beyond this account and id, up to
-- this account, limit.
select *, clock_timestamp() as now
from files
where (account, id) > ($1::uuid, $2::uuid) and account <= $3::uuid
order by account, id
limit $4;

-- name: listed_of_thread
-- The same of one thread. Arguments: partition, thread, beyond this id, limit.
select *, clock_timestamp() as now
from files
where partition = $1 and thread = $2 and id > $3
order by id
limit $4;

-- name: show
-- One file, whoever's it is. Argument: id.
select *, clock_timestamp() as now from files where id = $1;

-- name: chosen
-- Those of these files that there are, whoever's they are, in the order of their ids. Argument: ids.
select *, clock_timestamp() as now from files where id = any($1::uuid[]) order by id;

-- name: detail
-- One file, whoever's it is, with what its account, its agent and the token that sent it are called, and the batch that brought
-- it, as long as that is kept. Argument: id.
select f.*, clock_timestamp() as now, a.name as account_name, g.name as agent_name, t.name as token_name,
       t.prefix as token_prefix, b.id as batch,
       f.thread is not null and f.ready and (b.id is null or b.applied_at is not null) as committed
from files f
join accounts a on a.id = f.account
join agents g on g.id = f.agent
left join tokens t on t.id = f.token
left join batches b on b.ref = f.ref
where f.id = $1;

-- name: usages
-- What the files of accounts come to, in the order of the accounts' ids. Arguments: beyond this account, limit.
select u.account, (select a.name from accounts a where a.id = u.account) as name, u.files, u.bytes
from file_usage u
where u.account > $1
order by u.account
limit $2;

-- name: take_out
-- A file, whoever's it is and whatever is being done with it. Argument: id.
with gone as (
    delete from files where id = $1 returning id, account, size
),
room as (
    update file_usage u set files = u.files - 1, bytes = u.bytes - g.size from gone g where u.account = g.account
)
insert into file_removals (id, account) select id, account from gone
on conflict (id) do update set account = excluded.account
returning id;
