-- What the client that asked for a run keeps with it; null where that is nothing.
alter table runs add column metadata jsonb;
