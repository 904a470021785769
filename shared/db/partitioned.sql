-- Parts the tables of thread data by their `partition`, each into the same ranges; see docs/partitioning.md.
--
--     psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -1 -f partitioned.sql -c 'select * from pg_temp.part_threads(8)'
--
-- `threadmill migrate --partitioned 8` does the same. One transaction, with all of these tables locked: nothing of the
-- service may run. Rows are copied, and the old tables dropped.
create function pg_temp.part_threads(children integer) returns table (part text, copied bigint)
language plpgsql as $$
declare
    thread_tables constant text[] := array['threads', 'runs', 'leases', 'messages', 'thread_events',
        'permission_requests', 'steers', 'client_requests', 'batches', 'outbox'];
    total constant integer := (select count(*) from partitions);
    one text;
    old oid;
    columns text;
    options text;
    later text[];
    statement text;
    n integer;
begin
    if children not between 2 and total or total % children <> 0 then
        raise exception 'so many parts of % partitions are not of one size: %', total, children;
    end if;
    if exists (select from pg_class where oid = any(thread_tables::regclass[]) and relkind = 'p') then
        raise exception 'the tables of thread data are parted already';
    end if;
    execute format('lock table %s in access exclusive mode', array_to_string(thread_tables, ', '));
    foreach one in array thread_tables loop
        old := one::regclass;
        -- Generated columns are made anew, and storage parameters are the parts' alone.
        select string_agg(quote_ident(attname), ', ' order by attnum) into columns
        from pg_attribute where attrelid = old and attnum > 0 and not attisdropped and attgenerated = '';
        select coalesce('with (' || array_to_string(reloptions, ', ') || ')', '') into options
        from pg_class where oid = old;
        -- What follows the copy: the primary key, indexes, who may do what. A unique key without the
        -- partition gets it at its end: in front it would look good to who asks for a partition alone.
        select array_agg(what order by place, name) into later
        from (
            select 1 as place, conname as name,
                   format('alter table %I add constraint %I %s', one, conname, pg_get_constraintdef(oid)) as what
            from pg_constraint where conrelid = old and contype in ('p', 'u')
            union all
            select 2, c.relname, case when i.indisunique and p.attnum <> all(i.indkey::int[])
                                      then regexp_replace(pg_get_indexdef(c.oid), '(USING btree \([^)]*)\)', '\1, partition)')
                                      else pg_get_indexdef(c.oid) end
            from pg_index i
            join pg_class c on c.oid = i.indexrelid
            join pg_attribute p on p.attrelid = old and p.attname = 'partition'
            where i.indrelid = old and not exists (select from pg_constraint where conindid = i.indexrelid)
            union all
            select 3, privilege_type, format('grant %s on %I to %s', privilege_type, one,
                                             case grantee when 0 then 'public' else grantee::regrole::text end)
            from pg_class, aclexplode(relacl) where pg_class.oid = old and grantee <> relowner
        ) as found;
        execute format('alter table %I rename to %I', one, one || '_whole');
        execute format('create table %I (like %I including all excluding indexes excluding statistics)'
                       ' partition by range (partition)', one, one || '_whole');
        for n in 0 .. children - 1 loop
            execute format('create table %I partition of %I for values from (%s) to (%s) %s',
                           one || '_' || n, one, n * total / children, (n + 1) * total / children, options);
        end loop;
        execute format('insert into %I (%s) select %2$s from %I', one, columns, one || '_whole');
        get diagnostics copied = row_count;
        execute format('drop table %I', one || '_whole');
        foreach statement in array later loop
            execute statement;
        end loop;
        part := one;
        return next;
    end loop;
end
$$;
