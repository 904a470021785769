-- Dead letters are few and asked for often; without an index of their own they would be looked for among all the
-- batches that wait behind them.
create index batches_parked on batches (parked_at, id) where parked_at is not null and applied_at is null;
