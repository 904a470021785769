-- name: known_partitions
-- Those of the partitions that there are. Argument: ids.
select id from partitions where id = any($1::smallint[]);

-- name: pause
-- Pauses partitions, or resumes them; a row each that was not so before. Arguments: ids or null (all), paused.
with chosen as (
    select id
    from partitions
    where ($1::smallint[] is null or id = any($1)) and paused <> $2
    order by id
    for update
)
update partitions p set paused = $2 from chosen c where p.id = c.id returning p.id;

-- name: hold_account
-- Holds an account, or lets it go; a row with whether it was so before, none where there is no account. Arguments: id,
-- held.
with before as (select id, held from accounts where id = $1 for update)
update accounts a set held = $2 from before b where a.id = b.id returning b.held as before;

-- name: ask_worker
-- Asks something of a worker: null to work. A row with what was asked before, what it says it does and for how many
-- seconds it has been silent; what is silent for longer than $3, or on its way out, is not asked.
with before as (
    select id, asked, doing, extract(epoch from clock_timestamp() - seen_at)::float8 as silent
    from workers
    where id = $1
    for update
),
done as (
    update workers w set asked = $2
    from before b
    where w.id = b.id and b.silent <= $3 and b.doing <> 'drain' and b.asked is distinct from 'drain'
)
select asked, doing, silent from before;

-- name: clock
select clock_timestamp() as now;

-- name: open_request
-- Whose an open permission request is, looked for among all that are open. Argument: id.
select thread from permission_requests where state = 'pending' and id = $1;

-- name: threads_of
-- Dead letters with their threads, in the order given; where $3, without those that were skipped. A range of one leads the
-- order: by the key. Arguments: partitions, ids, whether only those that hold.
select w.partition, w.id, b.thread
from unnest($1::smallint[], $2::bigint[]) with ordinality as w (partition, id, n)
cross join lateral (
    select thread, passed_at from batches
    where partition = w.partition and id >= w.id and id <= w.id
    order by partition, id limit 1
) b
where not $3::boolean or b.passed_at is null
order by w.n;

-- name: account_of
-- Whose a batch is. Arguments: partition, id.
select account from batches where partition = $1 and id = $2;

-- name: open_retry
-- A retry that answers what a run answered, and is not over; among the thread's runs that are not. Arguments: partition,
-- thread, run.
select id from runs
where partition = $1 and thread = $2 and completed_at is null and trigger = 'retry'
  and input = (select input from runs where partition = $1 and thread = $2 and id = $3)
limit 1;
