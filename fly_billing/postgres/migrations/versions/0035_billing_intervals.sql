-- A fee is for an interval of its price (a month, a quarter, a half-year, a year), counted by the calendar or from the
-- subscription's start, and may begin with a free trial. The interval of a price is in prices.settings.

alter table subscriptions
    add column anchor text not null default 'calendar' check (anchor in ('calendar', 'start')),
    add column trial_ends_at timestamptz check (trial_ends_at >= started_at)
        constraint trial_ends_at_is_a_time check (trial_ends_at >= '1970-01-01Z' and trial_ends_at < '2200-01-01Z');
comment on column subscriptions.anchor is
    'calendar: a quarter begins in January, April, July or October; start: its intervals are counted from its start, or from'
    ' the end of its trial';
comment on column subscriptions.trial_ends_at is 'the fee is free until then';

alter table invoice_items
    add column interval_start timestamptz
        constraint interval_start_is_a_time check (interval_start >= '1970-01-01Z' and interval_start < '2200-01-01Z'),
    add column interval_end timestamptz
        constraint interval_end_is_a_time check (interval_end >= '1970-01-01Z' and interval_end < '2200-01-01Z'),
    add constraint interval_has_two_ends check ((interval_start is null) = (interval_end is null)),
    add constraint interval_is_some_time check (interval_end > interval_start);
comment on column invoice_items.interval_start is
    'of a fee: the whole interval that period_start and period_end are a part of; the month in which it ends settles it';

-- Each was a calendar month until now.
alter table invoice_items disable trigger refuse_update_of_finalized, disable trigger refuse_update_into_finalized;
update invoice_items as t set
    interval_start = date_trunc('month', coalesce(t.period_start, cast(i.month as timestamp) at time zone 'UTC'), 'UTC'),
    interval_end = (
        date_trunc('month', coalesce(t.period_start at time zone 'UTC', cast(i.month as timestamp))) + interval '1 month'
    ) at time zone 'UTC'
from invoices as i
where i.id = t.invoice_id and t.kind = 'subscription';
alter table invoice_items
    enable always trigger refuse_update_of_finalized, enable always trigger refuse_update_into_finalized,
    add constraint a_fee_has_an_interval check (kind <> 'subscription' or interval_start is not null);

-- What was charged for intervals that are not over is looked up by their end.
create index on invoice_items (subscription_id, interval_end) where subscription_id is not null;
drop index invoice_items_subscription_id_period_start_idx;

-- The month in which an interval ends settles it: a change inside an interval is about that month as well.
create function months_beyond(price text, is_from_start boolean default null) returns interval language sql stable as $$
    select make_interval(months => coalesce(max(
        case settings ->> 'interval' when 'quarter' then 3 when 'half-year' then 6 when 'year' then 12 else 1 end
    ), 1) - 1 + coalesce(is_from_start, exists (
        select from subscriptions as s where s.price_key = price and s.anchor = 'start'
    ))::integer)
    from prices where key = price
$$;
comment on function months_beyond is
    'for how many months after one inside it an interval of this fee can last: more if it is not by the calendar'
    ' (is_from_start; null: if one of its subscriptions is not)';

drop function months_of_term;
-- From when and until when the row says something: the months, last one included (null: for good), and the month in which
-- the last interval of a fee ends.
create function months_of_term(
    on_table text, term jsonb, out first_month date, out last_month date, out settled_in date
) language sql stable as $$
    select first, last, cast(last + beyond as date)
    from (
        select
            case on_table
                when 'subscriptions' then month_of((term ->> 'started_at')::timestamptz)
                when 'prices' then month_of((term ->> 'effective_from')::timestamptz)
                else (term ->> 'first_month')::date
            end as first,
            case on_table
                when 'subscriptions' then month_of((term ->> 'ended_at')::timestamptz)
                when 'prices' then month_of((term ->> 'effective_until')::timestamptz)
                else (term ->> 'last_month')::date
            end as last,
            case
                when on_table = 'subscriptions'
                    then months_beyond(term ->> 'price_key', term ->> 'anchor' = 'start')
                when on_table = 'prices' then months_beyond(term ->> 'key')
                else interval '0'
            end as beyond
    ) as months
$$;

-- Its arguments: what the term is called, the column with its name, and the column with its end.
create or replace function note_term_change() returns trigger language plpgsql as $$
declare
    term constant jsonb := case when tg_op = 'DELETE' then to_jsonb(old) else to_jsonb(new) end;
    months record;
    before_that record;
    is_end_only boolean := false;
    closed date;
begin
    if tg_op = 'UPDATE' and to_jsonb(new) = to_jsonb(old) then
        return null;
    end if;
    select * into months from months_of_term(tg_table_name, term);
    if tg_op = 'UPDATE' then
        select * into before_that from months_of_term(tg_table_name, to_jsonb(old));
        is_end_only := to_jsonb(new) - tg_argv[2] = to_jsonb(old) - tg_argv[2];
        if is_end_only then -- only the months from the earlier end on
            months.first_month := least(months.last_month, before_that.last_month);
        else
            months.first_month := least(months.first_month, before_that.first_month);
        end if;
        months.settled_in := case
            when months.last_month is null or before_that.last_month is null then null
            else greatest(months.settled_in, before_that.settled_in)
        end;
    end if;
    months.last_month := months.settled_in;
    if tg_table_name = 'prices' then
        select max(month) into closed from invoices
        where status not in ('open', 'void') and origin = 'billed' and month >= months.first_month
            and month <= coalesce(months.last_month, '2199-12-01');
    else
        select max(i.month) into closed
        from invoices as i
        where i.status not in ('open', 'void') and i.origin = 'billed' and i.month >= months.first_month
            and i.month <= coalesce(months.last_month, '2199-12-01')
            and (
                i.organization_id = term ->> 'organization_id'
                or exists (
                    select from organization_links as l
                    where l.organization_id = term ->> 'organization_id' and l.payer_id = i.organization_id
                        and daterange(l.first_month, l.last_month, '[]') @> i.month
                )
            );
    end if;
    if closed is null then
        return null;
    end if;
    insert into term_changes (on_table, organization_id, book, first_month, last_month, what, changed_by)
    values (
        tg_table_name, term ->> 'organization_id', term ->> 'book', months.first_month, months.last_month,
        format(
            '%s %s %s', tg_argv[0], term ->> tg_argv[1],
            case tg_op when 'INSERT' then 'was added' when 'DELETE' then 'was deleted' else 'was changed' end
        ),
        coalesce(nullif(current_setting('fly_billing.who', true), ''), session_user)
    );
    if tg_table_name <> 'prices' then
        raise notice '% has a final invoice of %: it stays as it is until somebody decides on it',
            term ->> 'organization_id', to_char(closed, 'YYYY-MM')
            using hint = 'fly-billing rebill shows what would change and books it';
    end if;
    return null;
end $$;

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
    beyond constant interval := case tg_table_name
        when 'negotiated_prices' then months_beyond(term ->> 'key')
        else coalesce(
            (
                select max(months_beyond(n.key)) from negotiated_prices as n
                where n.price_group = term ->> 'price_group'
            ),
            interval '0'
        )
    end;
    whose text;
    closed date;
begin
    if tg_op = 'UPDATE' and term = before_that then
        return null;
    end if;
    for whose in
        select term ->> 'organization_id' where term ->> 'organization_id' is not null
        union
        select m.organization_id from price_group_members as m
        where tg_table_name = 'negotiated_prices' and m.price_group = term ->> 'price_group'
            and (until is null or m.effective_from < until)
            and (m.effective_until is null or m.effective_until > begins)
        order by 1
    loop
        select max(i.month) into closed
        from invoices as i
        where i.status not in ('open', 'void') and i.origin = 'billed' and i.month >= month_of(begins)
            and (until is null or cast(i.month - beyond as timestamp) at time zone 'UTC' < until)
            and (
                i.organization_id = whose
                or exists (
                    select from organization_links as l
                    where l.organization_id = whose and l.payer_id = i.organization_id
                        and daterange(l.first_month, l.last_month, '[]') @> i.month
                )
            );
        continue when closed is null;
        insert into term_changes (on_table, organization_id, first_month, last_month, what, changed_by)
        values (
            tg_table_name, whose, month_of(begins), cast(month_of(until - interval '1 microsecond') + beyond as date),
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
            whose, to_char(closed, 'YYYY-MM')
            using hint = 'fly-billing rebill shows what would change and books it';
    end loop;
    return null;
end $$;
