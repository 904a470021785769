-- Batches whose next try is not due: few at any time, and asked for by every drain.
create index batches_retrying on batches (partition, next_try_at) where applied_at is null and next_try_at is not null;
