-- Threads of one application, which its users see as their list. Those of no application, as the native ones, cost nothing.
create index threads_by_application on threads (account, origin_application, updated_at desc, id)
    where deleted_at is null and origin_application is not null;
