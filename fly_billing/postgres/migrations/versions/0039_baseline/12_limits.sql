-- What can't be billed is refused when it is written, whatever the table. A value out of range compares as larger than any
-- number (NaN, Infinity) or any time (infinity), so `<` refuses it. A column whose limits are above is left as it is;
-- a table or column that a later migration adds has its limits there. schema.sql shows them written out.

create function refuse_in_column(on_table name, on_column name, what text, rule text) returns void language plpgsql as $$
declare
    constraint_name constant text := format('%s_%s', on_column, what);
begin
    if not exists (select from pg_constraint where conrelid = on_table::regclass and conname = constraint_name) then
        execute format('alter table %I add constraint %I check (%s)', on_table, constraint_name, rule);
    end if;
end $$;

-- By type, whatever the column is called. Amounts of money are below 10^12 in the currency's major unit: below 10^15 in
-- its minor unit, which a bigint holds 9,000 times. Quantities have as many digits before the point as the usage table.
do $$
declare
    one record;
begin
    for one in
        select c.table_name, c.column_name, c.data_type from information_schema.columns as c
        join information_schema.tables as t using (table_schema, table_name)
        where c.table_schema = current_schema() and t.table_type = 'BASE TABLE'
            and c.table_name not in ('stripe_pace', 'alembic_version', 'tax_customers')
            and (c.table_name, c.column_name) not in (
                ('commitments', 'runs_from'), ('commitments', 'runs_until'), ('meters', 'event_step'),
                ('negotiated_prices', 'match')
            )
        order by c.table_name, c.ordinal_position
    loop
        if one.data_type = 'timestamp with time zone' then
            perform refuse_in_column(
                one.table_name, one.column_name, 'is_a_time',
                format('%1$I >= ''1970-01-01Z'' and %1$I < ''2200-01-01Z''', one.column_name)
            );
        elsif one.data_type = 'date' then
            perform refuse_in_column(
                one.table_name, one.column_name, 'is_a_day',
                format('%1$I >= ''1970-01-01'' and %1$I < ''2200-01-01''', one.column_name)
            );
        elsif one.data_type = 'numeric' then
            perform refuse_in_column(
                one.table_name, one.column_name, 'is_finite',
                format(
                    'abs(%I) < %s', one.column_name,
                    case when one.column_name in ('amount', 'counted', 'unit_amount') then '1e12' else '1e23' end
                )
            );
        elsif one.data_type = 'bigint' and one.column_name like '%\_cents' then
            perform refuse_in_column(
                one.table_name, one.column_name, 'is_finite', format('abs(%I) < 1000000000000000', one.column_name)
            );
        elsif one.data_type = 'jsonb' and one.column_name in (
            'detail', 'dimensions', 'match', 'totals_here', 'totals_in_stripe'
        ) then
            perform refuse_in_column(
                one.table_name, one.column_name, 'is_an_object', format('jsonb_typeof(%I) = ''object''', one.column_name)
            );
        elsif one.data_type = 'integer' and one.column_name = 'months' then
            perform refuse_in_column(one.table_name, one.column_name, 'is_a_century_at_most', 'months <= 1200');
        end if;
    end loop;
end $$;

-- Text by which something is found again, or that becomes a partition's key: one line, without blanks around it.
do $$
declare
    one text[];
begin
    foreach one slice 1 in array array[
        ['organizations', 'price_book'], ['organizations', 'stripe_customer_id'],
        ['meters', 'key'], ['meters', 'unit'], ['meters', 'unique_of'], ['meters', 'series'],
        ['prices', 'book'], ['prices', 'key'], ['prices', 'product'], ['prices', 'unit'],
        ['subscriptions', 'price_key'], ['coupons', 'code'],
        ['carried_levels', 'organization_id'], ['carried_levels', 'meter']
    ] loop
        perform refuse_in_column(
            one[1], one[2], 'is_a_key',
            format('%1$I !~ ''[[:cntrl:]]'' and %1$I ~ ''^\S(.*\S)?$'' and length(%1$I) <= 500', one[2])
        );
    end loop;
    foreach one slice 1 in array array[
        ['organizations', 'name'], ['meters', 'name'], ['prices', 'description'], ['one_off_items', 'description'],
        ['coupons', 'description'], ['commitments', 'description'], ['credit_grants', 'description'],
        ['tax_rates', 'name']
    ] loop
        perform refuse_in_column(
            one[1], one[2], 'says_something', format('%1$I ~ ''\S'' and length(%1$I) <= 5000', one[2])
        );
    end loop;
end $$;

select refuse_in_column('organizations', 'billing_group', 'is_a_key', 'billing_group ~ ''^[a-z0-9]([a-z0-9-]*[a-z0-9])?$''');
select refuse_in_column(
    'prices', 'tiers', 'is_a_list', 'jsonb_typeof(tiers) = ''array'' and tiers <> ''[]'''
    ' and not jsonb_path_exists(tiers, ''strict $[*] ? (@.type() != "object")'', silent => true)'
);
select refuse_in_column(
    'usage_rollups', 'dimensions', 'are_texts',
    'not jsonb_path_exists(dimensions, ''strict $.* ? (@.type() != "string")'', silent => true)'
);
select refuse_in_column('usage_rollups', 'daily', 'is_finite', '1e23 > all (daily) and -1e23 < all (daily)');
select refuse_in_column('spend_alerts', 'currency', 'is_a_currency', 'currency ~ ''^[A-Z]{3}$''');

drop function refuse_in_column;
