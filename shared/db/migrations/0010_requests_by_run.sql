-- A run that goes on reads its own permission requests, however many its thread has had.
create index permission_requests_by_run on permission_requests (partition, thread, run);
