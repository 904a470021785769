-- Who holds a thread, and which dead letters no longer do.

-- By hand: {"by", "reason", "at"}. Null where only dead letters hold the thread, or nothing does; drains look at `held`.
alter table threads add column hold jsonb;

-- Since when the thread of a dead letter goes on without it: it was skipped, or never held its thread.
alter table batches add column passed_at timestamptz;
alter table batches add constraint batches_passed_is_parked check (passed_at is null or parked_at is not null) not valid;

update batches b
set passed_at = b.parked_at
where b.parked_at is not null and b.applied_at is null
  and not exists (select from threads t where t.partition = b.partition and t.id = b.thread and t.held);
