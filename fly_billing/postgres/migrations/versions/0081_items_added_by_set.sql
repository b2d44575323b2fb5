-- Runs copy items and their links to usage into temporary tables of the owner. Its function adds them to the real tables
-- and looks up what they refer to by set: a check of each row's foreign keys by itself is a third of Postgres' work.
create function stage_invoice_items() returns void language plpgsql security definer as $$
begin
    create temp table staged_items on commit drop as select * from invoice_items with no data;
    create temp table staged_item_rollups on commit drop as select * from invoice_item_rollups with no data;
    -- Only this session reaches its temporary tables.
    grant insert on staged_items, staged_item_rollups to public;
end $$;
comment on function stage_invoice_items() is
'Creates the temporary tables staged_items and staged_item_rollups, for COPY and add_staged_items().';

create function has_broken_references(of_table regclass, added regclass) returns boolean language plpgsql as $$
declare
    is_broken boolean;
    statement text;
begin
    -- A part for each foreign key, read from the catalog, so that none is forgotten. It locks the rows that it finds as
    -- the check of a single row does: nobody deletes them before we commit, and a deletion under way is waited for.
    select 'select ' || coalesce(
        string_agg(
            format(
                'exists (select from (select distinct %1$s from %2$s where (%1$s) is not null) as a'
                ' where not exists (select from %3$s as b where (%4$s) = (%5$s) for key share))',
                k.columns, added, k.on_table, k.found_columns, k.added_columns
            ),
            ' or '
        ),
        'false'
    )
    into statement
    from (
        select
            c.confrelid::regclass as on_table,
            string_agg(quote_ident(a.attname), ', ' order by n.place) as columns,
            string_agg('a.' || quote_ident(a.attname), ', ' order by n.place) as added_columns,
            string_agg('b.' || quote_ident(b.attname), ', ' order by n.place) as found_columns
        from pg_constraint as c
        cross join unnest(c.conkey, c.confkey) with ordinality as n (number, found_number, place)
        join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = n.number
        join pg_attribute as b on b.attrelid = c.confrelid and b.attnum = n.found_number
        where c.conrelid = of_table and c.contype = 'f'
        group by c.oid, c.confrelid
    ) as k;
    execute statement into is_broken;
    return is_broken;
end $$;
comment on function has_broken_references(regclass, regclass) is
'True if a row of `added` refers to a row that does not exist, by one of the foreign keys of `of_table`.';

create function add_staged_items() returns void language plpgsql security definer as $$
declare
    is_by_set boolean := current_setting('session_replication_role') = 'origin'
        and has_parameter_privilege('session_replication_role', 'set');
begin
    if exists (
        select from unnest(array['staged_items', 'staged_item_rollups']) as s (name)
        left join pg_class as c on c.oid = to_regclass('pg_temp.' || s.name)
        where (c.relkind = 'r' and c.relowner = current_user::regrole) is not true
    ) then
        -- Reading them could run somebody's code with the owner's rights.
        raise exception 'staged_items and staged_item_rollups are not the tables of stage_invoice_items()'
            using errcode = 'insufficient_privilege';
    end if;
    loop
        begin
            if is_by_set then
                perform set_config('session_replication_role', 'replica', true);
            end if;
            insert into invoice_items (
                id, invoice_id, position, kind, organization_id, product, description, quantity, unit, amount,
                amount_cents, price_id, negotiated_price_id, price_key, meter, subscription_id, period_start,
                period_end, interval_start, interval_end, one_off_item_id, adjustment_id, discount_id, commitment_id,
                credit_grant_id, tax_rate_id, detail
            )
            select
                id, invoice_id, position, kind, organization_id, product, description, quantity, unit, amount,
                amount_cents, price_id, negotiated_price_id, price_key, meter, subscription_id, period_start,
                period_end, interval_start, interval_end, one_off_item_id, adjustment_id, discount_id, commitment_id,
                credit_grant_id, tax_rate_id, detail
            from pg_temp.staged_items;
            insert into invoice_item_rollups (invoice_id, rollup_id, item_id)
            select invoice_id, rollup_id, item_id from pg_temp.staged_item_rollups;
            if is_by_set then
                perform set_config('session_replication_role', 'origin', true);
                if has_broken_references('invoice_items', 'pg_temp.staged_items')
                    or has_broken_references('invoice_item_rollups', 'pg_temp.staged_item_rollups')
                then
                    raise foreign_key_violation;
                end if;
            end if;
            exit;
        exception
            when integrity_constraint_violation then
                if not is_by_set then
                    raise;
                end if;
                -- The rows and the setting are rolled back. Row by row, Postgres names the first wrong row itself.
                is_by_set := false;
        end;
    end loop;
    truncate pg_temp.staged_items, pg_temp.staged_item_rollups;
end $$;
comment on function add_staged_items() is
'Adds the rows of staged_items and staged_item_rollups. Their foreign keys are checked by set if the tables'' owner may set
session_replication_role, otherwise row by row. Triggers that are enabled always fire in both cases.';

revoke all on function stage_invoice_items(), add_staged_items() from public;
do $$
declare
    called text;
begin
    foreach called in array array['stage_invoice_items', 'add_staged_items'] loop
        execute format('alter function %I() set search_path = %I, pg_temp', called, current_schema());
    end loop;
end $$;
