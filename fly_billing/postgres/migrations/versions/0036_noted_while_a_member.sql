-- A change of a group's negotiated price is about a member for the months of its membership only.
create or replace function note_negotiated_change() returns trigger language plpgsql as $$
declare
    term constant jsonb := case when tg_op = 'DELETE' then to_jsonb(old) else to_jsonb(new) end;
    before_that constant jsonb := case when tg_op = 'UPDATE' then to_jsonb(old) else term end;
    is_end_only constant boolean := tg_op = 'UPDATE' and term - 'effective_until' = before_that - 'effective_until';
    -- Null: for good.
    ends constant timestamptz[] := array[
        (term ->> 'effective_until')::timestamptz, (before_that ->> 'effective_until')::timestamptz
    ];
    begins constant timestamptz := case
        when is_end_only then least(ends[1], ends[2])
        else least((term ->> 'effective_from')::timestamptz, (before_that ->> 'effective_from')::timestamptz)
    end;
    until constant timestamptz := case
        when ends[1] is null or ends[2] is null then null else greatest(ends[1], ends[2])
    end;
    one record;
    closed date;
begin
    if tg_op = 'UPDATE' and term = before_that then
        return null;
    end if;
    for one in
        select term ->> 'organization_id' as name, begins, until where term ->> 'organization_id' is not null
        union
        select m.organization_id, greatest(begins, m.effective_from), least(until, m.effective_until)
        from price_group_members as m
        where tg_table_name = 'negotiated_prices' and m.price_group = term ->> 'price_group'
            and (until is null or m.effective_from < until)
            and (m.effective_until is null or m.effective_until > begins)
        order by 1
    loop
        select max(i.month) into closed
        from invoices as i
        where i.status not in ('open', 'void') and i.origin = 'billed' and i.month >= month_of(one.begins)
            and (one.until is null or cast(i.month as timestamp) at time zone 'UTC' < one.until)
            and (
                i.organization_id = one.name
                or exists (
                    select from organization_links as l
                    where l.organization_id = one.name and l.payer_id = i.organization_id
                        and daterange(l.first_month, l.last_month, '[]') @> i.month
                )
            );
        continue when closed is null;
        insert into term_changes (on_table, organization_id, first_month, last_month, what, changed_by)
        values (
            tg_table_name, one.name, month_of(one.begins), month_of(one.until - interval '1 microsecond'),
            case tg_table_name
                when 'negotiated_prices' then format(
                    'negotiated price %s of %s', term ->> 'key',
                    coalesce(term ->> 'organization_id', 'group ' || (term ->> 'price_group'))
                )
                else format('membership in group %s', term ->> 'price_group')
            end
            || case tg_op when 'INSERT' then ' was added' when 'DELETE' then ' was deleted' else ' was changed' end,
            coalesce(nullif(current_setting('fly_billing.who', true), ''), session_user)
        );
        raise notice '% has a final invoice of %: it stays as it is until somebody decides on it',
            one.name, to_char(closed, 'YYYY-MM')
            using hint = 'fly-billing rebill shows what would change and books it';
    end loop;
    return null;
end $$;
