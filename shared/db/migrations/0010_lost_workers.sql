-- A run that goes on reads its own permission requests, however many its thread has had.
create index permission_requests_by_run on permission_requests (partition, thread, run);

-- How many workers a run has lost in all: attempts count anew from a checkpoint.
alter table runs add column losses integer not null default 0;

-- A worker finds leases that it does not know it has.
alter table leases add column taken_at timestamptz not null default clock_timestamp();
