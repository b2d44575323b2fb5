-- Only a table's owner can analyze it. The pipeline's role, which is not, could not correct Postgres' statistics after
-- it had written a first month, and readers of that month were planned as if it were empty.
create function analyze_table(table_name regclass) returns void language plpgsql security definer as $$
begin
    if not exists (
        select from pg_class
        where oid = table_name and relkind = 'r' and relpersistence = 'p' and relowner = current_user::regrole
    ) then
        raise exception '% is not one of our tables', table_name using errcode = 'insufficient_privilege';
    end if;
    execute format('analyze (skip_locked) %s', table_name);
end $$;
comment on function analyze_table(regclass) is
'Analyzes a table of the billing database, unless another transaction analyzes or vacuums it now.';

revoke all on function analyze_table(regclass) from public;
do $$
begin
    execute format('alter function analyze_table(regclass) set search_path = %I, pg_temp', current_schema());
end $$;
