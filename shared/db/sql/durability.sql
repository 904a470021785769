-- name: settings
-- What decides whether a commit that was acknowledged is on the disk.
select current_setting('synchronous_commit') as synchronous_commit, current_setting('fsync') as fsync,
       current_setting('full_page_writes') as full_page_writes;
