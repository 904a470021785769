-- What the answer to a keyed request is made of beside the outcome of its batch: JSON, null where that is nothing.
alter table idempotency_keys add column basis text;
