-- name: add
-- Adds what one process counted to the ten seconds of now.
insert into samples (at, accepted, applied, parked, completed, failed, cancelled, expired, latency)
values (date_bin('10 seconds', clock_timestamp(), 'epoch'), $1, $2, $3, $4, $5, $6, $7, $8)
on conflict (at) do update
set accepted = samples.accepted + excluded.accepted,
    applied = samples.applied + excluded.applied,
    parked = samples.parked + excluded.parked,
    completed = samples.completed + excluded.completed,
    failed = samples.failed + excluded.failed,
    cancelled = samples.cancelled + excluded.cancelled,
    expired = samples.expired + excluded.expired,
    latency = case when excluded.latency = '{}' then samples.latency else (
        select array_agg(coalesce(had, 0) + coalesce(more, 0) order by n)
        from unnest(samples.latency, excluded.latency) with ordinality as bucket (had, more, n)
    ) end;

-- name: last
-- Whole buckets of the last $1 seconds, the oldest first.
select at, accepted, applied, parked, completed, failed, cancelled, expired, latency,
       date_bin('10 seconds', now(), 'epoch') as until
from samples
where at >= date_bin('10 seconds', now(), 'epoch') - $1::float8 * interval '1 second'
  and at < date_bin('10 seconds', now(), 'epoch')
order by at;

-- name: newest
-- Seconds since the newest bucket began, whole or not; null where there is none.
select extract(epoch from clock_timestamp() - max(at))::float8 from samples;

-- name: until
-- Up to when buckets are whole.
select date_bin('10 seconds', now(), 'epoch');

-- name: forget
-- Buckets older than $1 hours.
delete from samples where at < now() - $1::float8 * interval '1 hour';
