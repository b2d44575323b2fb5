-- What holds for every table. A later migration writes these two statements for each table it adds.

-- No table is truncated, also not by CASCADE from a table that it refers to. Left out: stripe_pace, which is unlogged and
-- starts empty after a crash.
do $$
declare
    one text;
begin
    for one in
        select c.relname from pg_class as c
        where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
            and c.relname not in ('stripe_pace', 'alembic_version')
        order by c.relname
    loop
        execute format(
            'create trigger refuse_truncate before truncate on %I for each statement execute function refuse_truncate()', one
        );
    end loop;
end $$;

-- A refusal holds whoever asks: also with session_replication_role = replica, which switches ordinary triggers off.
do $$
declare
    one record;
begin
    for one in
        select t.tgrelid::regclass as on_table, t.tgname from pg_trigger as t
        join pg_class as c on c.oid = t.tgrelid
        where c.relnamespace = current_schema()::regnamespace and not t.tgisinternal and t.tgname like 'refuse\_%'
    loop
        execute format('alter table %s enable always trigger %I', one.on_table, one.tgname);
    end loop;
end $$;
