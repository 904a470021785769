-- name: postgres
-- How this Postgres is, as far as this role may see. A replica can't say where the log is being written to.
select current_setting('server_version') as version,
       pg_is_in_recovery() as in_recovery,
       (select sum(numbackends)::int from pg_stat_database) as connections,
       current_setting('max_connections')::int as max_connections,
       current_setting('superuser_reserved_connections')::int
           + coalesce(current_setting('reserved_connections', true)::int, 0) as reserved,
       pg_database_size(current_database()) as size,
       current_setting('fsync') as fsync,
       current_setting('full_page_writes') as full_page_writes,
       current_setting('synchronous_standby_names') as synchronous_standbys;

-- name: committing
-- What `synchronous_commit` is for a new session of this role on this database that asks for nothing: what was set last for
-- the role in the database, the role, the database, all roles; else the server's. This session may have asked, or be older
-- than a change: what its value came from is looked at.
select coalesce(
    (select split_part(setting, '=', 2)
     from pg_db_role_setting
     cross join lateral unnest(setconfig) as setting
     where setting like 'synchronous_commit=%'
       and setdatabase in (0, (select oid from pg_database where datname = current_database()))
       and setrole in (0, (select oid from pg_roles where rolname = current_user))
     order by setrole = 0, setdatabase = 0
     limit 1),
    (select case when source in ('default', 'configuration file', 'command line', 'environment variable')
                 then setting else boot_val end
     from pg_settings where name = 'synchronous_commit'));

-- name: activity
-- The oldest transaction in this database, but of this session, and for how long somebody has waited for a lock; seconds.
select extract(epoch from clock_timestamp() - min(xact_start))::float8 as transaction_age,
       (array_agg(concat_ws(' ', 'pid', pid::text, nullif(application_name, ''), state) order by xact_start))[1] as transaction,
       (select extract(epoch from clock_timestamp() - min(l.waitstart))::float8
        from pg_locks l
        join pg_stat_activity a using (pid)
        where not l.granted and a.datname = current_database()) as lock_wait
from pg_stat_activity
where backend_type = 'client backend' and xact_start is not null and datname = current_database()
  and pid <> pg_backend_pid();

-- name: replicas
-- Who follows this Postgres, and by how much each is behind: bytes of the log, and seconds where it says so.
select coalesce(nullif(application_name, ''), client_addr::text, 'unnamed') as name, state, sync_state,
       pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint as bytes,
       extract(epoch from replay_lag)::float8 as seconds
from pg_stat_replication
order by 1
limit 20;

-- name: bounded
-- Whether this session waits for a lock, and sleeps in a transaction, for a time only: a pooler's, which sets it for all.
select current_setting('lock_timeout') <> '0' and current_setting('idle_in_transaction_session_timeout') <> '0';
