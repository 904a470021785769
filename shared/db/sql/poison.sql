-- name: note
-- Says what this owner has in hand, before it works on it; on a connection of its own, not waiting for the disk: it
-- need only outlive the process, not the machine.
insert into drains (owner, partitions, batches, alone) values ($1, $2, $3, $4)
on conflict (owner) do update set partitions = excluded.partitions, batches = excluded.batches,
                                  alone = excluded.alone, started_at = clock_timestamp();

-- name: clear_note
-- In the drain's own transaction: what it had in hand is settled with it, and no longer suspect where a dead owner's
-- note names it. The rest of such a note stays.
update drains
set batches = case when owner = $1 then '{}' else array(select unnest(batches) except select unnest($2::bigint[])) end,
    partitions = case when owner = $1 then '{}' else partitions end
where owner = $1 or batches && $2::bigint[];

-- name: drop_note
-- For a drain that was given up while its owner lives: nothing that it had in hand is suspect.
update drains set batches = '{}', partitions = '{}' where owner = $1 and batches <> '{}';

-- name: claim_death
-- Takes a dead owner's word for it that it tried this batch alone; whoever comes second finds nothing.
update drains set batches = '{}', alone = false
where owner <> $1 and alone and $2::smallint = any(partitions) and $3::bigint = any(batches)
returning owner;

-- name: count_try
-- A try made alone that failed, with where it did, and when the next one may be. Arguments: partition, id, error, seconds,
-- stack.
update batches set attempts = attempts + 1, error = $3, stack = $5,
                   next_try_at = clock_timestamp() + $4::float8 * interval '1 second'
where partition = $1 and id = $2 and applied_at is null
returning attempts, thread;

-- name: park
-- A batch becomes a dead letter, sorted by the kind of its error; $3: its thread goes on without it. Arguments: partition, id,
-- whether, kind.
update batches set blocked = true, parked_at = clock_timestamp(), next_try_at = null,
                   passed_at = case when $3 then clock_timestamp() end, error_kind = $4
where partition = $1 and id = $2 and applied_at is null;

-- name: hold
-- Its thread waits with it.
update threads set held = true where partition = $1 and id = $2 and deleted_at is null;
