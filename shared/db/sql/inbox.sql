-- name: accept
-- Takes batches for threads that exist, in one autocommit statement. A row without a key, or whose key came back,
-- goes in where its thread is open (or it passes); every other row says why not. Rows come back in their order.
with incoming as materialized (
    select i.*,
           t.id is not null and t.deleted_at is null as found,
           t.archived_at is not null as archived,
           case when t.deleted_at is null
                 and t.id is not null
                 and (t.archived_at is null or i.passes & 1 > 0)
                 and (not t.held or i.passes & 2 > 0)
                then nextval('batch_ids')
           end as batch
    from unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
                $8::smallint[], $9::text[], $10::text[], $11::bytea[], $12::text[], $13::text[])
         with ordinality as i (ref, partition, thread, account, token, events, reply_to,
                               passes, key, route, digest, basis, traceparent, n)
    left join threads t on t.partition = i.partition and t.id = i.thread and t.account = i.account
),
claimed as (
    insert into idempotency_keys (token, key, route, hash, basis, partition, batch)
    select token, key, route, digest, basis, partition, batch
    from incoming
    where key is not null and batch is not null
    order by token, key, n  -- unsorted, two apis with the same keys deadlock; of the same key here the first one counts
    on conflict do nothing
    returning batch
),
stored as (
    insert into batches (partition, id, ref, thread, account, token, events, reply_to, traceparent)
    select partition, batch, ref, thread, account, token, events::json, reply_to, traceparent
    from incoming i
    where batch is not null
      and (key is null or exists (select from claimed c where c.batch = i.batch))
    returning id, accepted_at
)
select i.found, i.archived, s.id as batch, s.accepted_at,
       t.id, t.agent, t.kind, t.title, t.user_id, t.client_external_ref, t.attributed_user, t.created_by,
       t.created_by_kind, t.status, t.last_run_id, t.created_at, t.updated_at
from incoming i
left join stored s on s.id = i.batch
left join threads t  -- only who does not wait for the outcome needs the thread now
    on i.reply_to is null and s.id is not null and t.partition = i.partition and t.id = i.thread
order by i.n;

-- name: create
-- Takes batches that make their thread: the row of the thread goes in by the same rule, in the same statement.
with incoming as materialized (
    select i.*, nextval('batch_ids') as batch
    from unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
                $8::text[], $9::text[], $10::bytea[], $11::text[],
                $12::uuid[], $13::text[], $14::text[], $15::text[], $16::text[], $17::uuid[], $18::text[], $19::text[],
                $20::text[])
         with ordinality as i (ref, partition, thread, account, token, events, reply_to,
                               key, route, digest, basis,
                               agent, created_by_kind, kind, user_id, client_external_ref, attributed_user,
                               origin_application, metadata, traceparent, n)
),
claimed as (
    insert into idempotency_keys (token, key, route, hash, basis, partition, batch)
    select token, key, route, digest, basis, partition, batch
    from incoming
    where key is not null
    order by token, key, n
    on conflict do nothing
    returning batch
),
chosen as (
    select i.*
    from incoming i
    where key is null or exists (select from claimed c where c.batch = i.batch)
),
opened as (
    insert into threads (partition, id, account, agent, kind, user_id, client_external_ref, attributed_user,
                         origin_application, metadata, created_by, created_by_kind)
    select partition, thread, account, agent, kind, user_id, client_external_ref, attributed_user,
           origin_application, coalesce(metadata::jsonb, '{}'), token, created_by_kind
    from chosen
    returning *
),
stored as (
    insert into batches (partition, id, ref, thread, account, token, events, reply_to, traceparent)
    select partition, batch, ref, thread, account, token, events::json, reply_to, traceparent
    from chosen
    returning id, accepted_at
)
select true as found, false as archived, s.id as batch, s.accepted_at,
       t.id, t.agent, t.kind, t.title, t.user_id, t.client_external_ref, t.attributed_user, t.created_by,
       t.created_by_kind, t.status, t.last_run_id, t.created_at, t.updated_at
from incoming i
left join stored s on s.id = i.batch
left join opened t on t.id = i.thread
order by i.n;

-- name: accept_with_files
-- As `accept`, of one batch and its files ($14), which are the thread's from then on: all of it, or nothing where one of
-- them can't be attached; `refusals` says of each in their order why not. Locks go thread, files by their ids, key. The
-- thread's keeps a delete, and so the purge, behind this: no file is left with a thread that is gone. Accounts are compared so
-- that no index of an account's threads or files serves, which the planner may take while the tables are empty.
with place as materialized (
    select t.id, t.archived_at is not null as archived, coalesce(t.agent, a.default_agent) as agent,
           (t.archived_at is null or $8::smallint & 1 > 0) and (not t.held or $8::smallint & 2 > 0) as takes
    from threads t
    join accounts a on a.id = t.account
    where t.partition = $2::smallint and t.id = $3::uuid and t.account is not distinct from $4::uuid
      and t.deleted_at is null
    for share of t
),
named as materialized (
    select f.id, f.ref, f.token, f.agent, f.thread, f.ready
    from files f
    where f.id = any($14::uuid[]) and f.account is not distinct from $4::uuid and exists (select from place where takes)
    order by f.id
    for update
),
judged as materialized (
    select w.n, case when f.id is null then 'unknown'
                     when f.ref = $1::uuid then null  -- by a try of this batch that was given up for lost
                     when f.thread is not null then 'attached'
                     when f.token is distinct from $5::uuid then 'not_yours'
                     when f.agent <> p.agent then 'other_agent'
                     when not f.ready then 'not_ready'
                end as refusal
    from place p
    cross join unnest($14::uuid[]) with ordinality as w (id, n)
    left join named f on f.id = w.id
),
incoming as materialized (
    select p.*, case when p.takes and not exists (select from judged where refusal is not null)
                     then nextval('batch_ids')
                end as batch
    from place p
),
claimed as (
    insert into idempotency_keys (token, key, route, hash, basis, partition, batch)
    select $5::uuid, $9::text, $10::text, $11::bytea, $12::text, $2::smallint, batch
    from incoming
    where $9::text is not null and batch is not null
    on conflict do nothing
    returning batch
),
stored as (
    insert into batches (partition, id, ref, thread, account, token, events, reply_to, traceparent)
    select $2::smallint, batch, $1::uuid, $3::uuid, $4::uuid, $5::uuid, $6::text::json, $7::text, $13::text
    from incoming
    where batch is not null and ($9::text is null or exists (select from claimed))
    returning id, accepted_at
),
attached as (
    update files f set partition = $2::smallint, thread = $3::uuid, ref = $1::uuid, expires_at = null
    from stored
    where f.id = any($14::uuid[])
)
select i.id is not null as found, coalesce(i.archived, false) as archived, coalesce(i.takes, false) as takes,
       array(select refusal from judged order by n) as refusals, s.id as batch, s.accepted_at,
       t.id, t.agent, t.kind, t.title, t.user_id, t.client_external_ref, t.attributed_user, t.created_by,
       t.created_by_kind, t.status, t.last_run_id, t.created_at, t.updated_at
from (values (true)) as one (row)
left join incoming i on true
left join stored s on true
left join threads t on $7::text is null and s.id is not null and t.partition = $2::smallint and t.id = $3::uuid;

-- name: create_with_files
-- As `create`, of one batch and its files ($21), as `accept_with_files` takes them.
with named as materialized (
    select f.id, f.ref, f.token, f.agent, f.thread, f.ready
    from files f
    where f.id = any($21::uuid[]) and f.account is not distinct from $4::uuid
    order by f.id
    for update
),
judged as materialized (
    select w.n, case when f.id is null then 'unknown'
                     when f.ref = $1::uuid then null
                     when f.thread is not null then 'attached'
                     when f.token is distinct from $5::uuid then 'not_yours'
                     when f.agent <> $12::uuid then 'other_agent'
                     when not f.ready then 'not_ready'
                end as refusal
    from unnest($21::uuid[]) with ordinality as w (id, n)
    left join named f on f.id = w.id
),
incoming as materialized (
    select nextval('batch_ids') as batch where not exists (select from judged where refusal is not null)
),
claimed as (
    insert into idempotency_keys (token, key, route, hash, basis, partition, batch)
    select $5::uuid, $8::text, $9::text, $10::bytea, $11::text, $2::smallint, batch
    from incoming
    where $8::text is not null
    on conflict do nothing
    returning batch
),
chosen as (
    select batch from incoming where $8::text is null or exists (select from claimed)
),
opened as (
    insert into threads (partition, id, account, agent, kind, user_id, client_external_ref, attributed_user,
                         origin_application, metadata, created_by, created_by_kind)
    select $2::smallint, $3::uuid, $4::uuid, $12::uuid, $14::text, $15::text, $16::text, $17::uuid,
           $18::text, coalesce($19::text::jsonb, '{}'), $5::uuid, $13::text
    from chosen
    returning *
),
stored as (
    insert into batches (partition, id, ref, thread, account, token, events, reply_to, traceparent)
    select $2::smallint, batch, $1::uuid, $3::uuid, $4::uuid, $5::uuid, $6::text::json, $7::text, $20::text
    from chosen
    returning id, accepted_at
),
attached as (
    update files f set partition = $2::smallint, thread = $3::uuid, ref = $1::uuid, expires_at = null
    from stored
    where f.id = any($21::uuid[])
)
select true as found, false as archived, true as takes,
       array(select refusal from judged order by n) as refusals, s.id as batch, s.accepted_at,
       t.id, t.agent, t.kind, t.title, t.user_id, t.client_external_ref, t.attributed_user, t.created_by,
       t.created_by_kind, t.status, t.last_run_id, t.created_at, t.updated_at
from (values (true)) as one (row)
left join stored s on true
left join opened t on true;

-- name: judge
-- What became of keyed requests that did not go in: in a statement of its own, because the snapshot of the one that
-- lost the race cannot see the winner.
select i.n, b.ref, k.route = i.route and k.hash = i.digest as same, b.accepted_at, b.outcome,
       b.parked_at is not null as parked, k.basis
from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[]) with ordinality as i (token, key, route, digest, n)
join idempotency_keys k on k.token = i.token and k.key = i.key
left join batches b on b.partition = k.partition and b.id = k.batch
order by i.n;

-- name: find
-- Which of these refs are stored: asked after a connection was lost in the middle of an accept. Arguments: partitions, refs.
select b.ref, b.id as batch, b.accepted_at,
       t.id, t.agent, t.kind, t.title, t.user_id, t.client_external_ref, t.attributed_user, t.created_by,
       t.created_by_kind, t.status, t.last_run_id, t.created_at, t.updated_at
from unnest($1::smallint[], $2::uuid[]) as w (partition, ref)
cross join lateral (  -- a range of one leads the order: by the index of refs
    select * from batches where partition = w.partition and ref >= w.ref and ref <= w.ref order by ref limit 1
) as b
left join threads t on t.partition = b.partition and t.id = b.thread;

-- name: confirm
-- That what was read back is where a commit must be before it is told: with a synchronous replica, a commit whose wait for
-- it was broken off is seen here and may not be there. This one's own commit waits for the replica, and comes behind it.
select case when current_setting('synchronous_standby_names') <> ''
            then pg_logical_emit_message(true, 'threadmill', 'read back')
       end;

-- name: outcomes
-- The outcomes, so far, of batches that somebody waits for.
select b.ref, b.outcome
from unnest($1::smallint[], $2::bigint[]) as w (partition, id)
join batches b on b.partition = w.partition and b.id = w.id
where b.applied_at is not null;

-- name: blocked
-- A batch that waits for an operator: it is a dead letter, or behind one. By its key, or the planner may read all that are
-- blocked. Arguments: partition, batch.
select b.id
from (select * from batches where partition = $1 and id = $2 offset 0) as b
where b.applied_at is null and b.blocked;

-- name: thread
-- One thread, for an answer that is still pending.
select id, agent, kind, title, user_id, client_external_ref, attributed_user, created_by, created_by_kind, status,
       last_run_id, created_at, updated_at
from threads where partition = $1 and id = $2;

-- name: oldest
-- When the batch that has waited longest was accepted, of the first $1 accounts with work in each partition; what waits for an
-- account that is held does not count.
select min(h.accepted_at) as accepted_at, clock_timestamp() as now
from partitions p
cross join lateral (
    with recursive heads (account, accepted_at, place) as (
        (select account, accepted_at, 1 from batches
         where partition = p.id and applied_at is null and not blocked
         order by account, id limit 1)
        union all
        select n.account, n.accepted_at, h.place + 1
        from heads h
        cross join lateral (
            select account, accepted_at from batches
            where partition = p.id and applied_at is null and not blocked and account > h.account
            order by account, id limit 1
        ) n
        where h.place < $1::int
    )
    select account, accepted_at from heads
) h
join accounts a on a.id = h.account and not a.held;

-- name: partitions
-- How many partitions this database was created with.
select count(*)::int from partitions;
