-- name: lock_partition
-- Keeps drains away: the first lock, as everywhere. For this transaction: it waits at most {ms} ms for a lock, and a stopped
-- process holds nobody up. Two statements in one round trip; {partition} is a number.
select set_config('lock_timeout', '{ms}', true), set_config('idle_in_transaction_session_timeout', '2s', true);
select pg_advisory_xact_lock(1, {partition});

-- name: lock_thread
-- The second lock. Arguments: partition, thread.
select id from threads where partition = $1 and id = $2 for no key update;

-- name: find
-- What holds a thread, as it stands under the locks. Arguments: partition, thread.
select held, hold, deleted_at from threads where partition = $1 and id = $2;

-- name: held
-- Whether something holds a thread. Arguments: partition, thread.
select held from threads where partition = $1 and id = $2;

-- name: hold
-- An operator holds a thread. Arguments: partition, thread, who and why as JSON.
update threads
set held = true, hold = $3::jsonb || jsonb_build_object('at', clock_timestamp())
where partition = $1 and id = $2;

-- name: let_go
-- The operator's hand is away; a dead letter may still hold the thread. Arguments: partition, thread.
update threads set hold = null where partition = $1 and id = $2 and hold is not null;

-- name: lift
-- Lets a thread go on, unless an operator holds it still, or a dead letter that was not skipped; the batches of one that goes on
-- wait for the next drain. Returns whether it is held still, no row where it is gone. Arguments: partition, thread.
with lifted as (
    update threads
    set held = false
    where partition = $1 and id = $2 and held and hold is null
      -- A range of one that leads the order: by the index of a thread's letters. An equality may go by an index of all.
      and (select b.id
           from batches b
           where b.partition = $1 and b.thread >= $2 and b.thread <= $2 and b.applied_at is null
             and b.parked_at is not null and b.passed_at is null
           order by b.thread, b.parked_at, b.id
           limit 1) is null
    returning id
),
unblocked as (
    update batches
    set blocked = false
    where partition = $1 and thread = $2 and applied_at is null and blocked and parked_at is null
      and (exists (select from lifted)
           or not exists (select from threads t where t.partition = $1 and t.id = $2 and t.held))
)
select held and not exists (select from lifted) as held from threads where partition = $1 and id = $2;
