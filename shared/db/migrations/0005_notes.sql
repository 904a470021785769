-- A note says whether its batch was tried alone: only such tries count against a batch.
alter table drains add column alone boolean not null default false;

-- What upkeep and the sweep look for by time, in every worker and for ever: the few that are due, not all there are.
create index threads_to_forget on threads (purged_at) where purged_at is not null;
create index permission_requests_due on permission_requests (expires_at) where state = 'pending';
