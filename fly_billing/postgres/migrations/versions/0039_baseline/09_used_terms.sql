-- What a final invoice used is ended and followed by another, never edited; changes for closed months are written down.

-- Terms of a closed month that change are written down for a person to decide.
create table term_changes (
    id bigint generated always as identity primary key,
    on_table text not null,
    organization_id text references organizations,
    book text,
    first_month date not null
        constraint first_month_is_a_day check (first_month >= '1970-01-01' and first_month < '2200-01-01'),
    last_month date constraint last_month_is_a_day check (last_month >= '1970-01-01' and last_month < '2200-01-01'),
    what text not null,
    changed_at timestamptz not null default now()
        constraint changed_at_is_a_time check (changed_at >= '1970-01-01Z' and changed_at < '2200-01-01Z'),
    changed_by text not null,
    check ((organization_id is null) <> (book is null))
);
comment on table term_changes is
    'terms and prices of closed months that changed after a month was final: whether it is corrected is for a person to'
    ' decide. Written by triggers; nothing is corrected by it';
comment on column term_changes.organization_id is 'whose term it is; null: a price, which is of a whole book';
create index on term_changes (first_month);
create trigger refuse_record_change before update or delete on term_changes
    for each row execute function refuse_record_change();

create table term_decisions (
    id bigint generated always as identity primary key,
    invoice_id uuid not null references invoices,
    up_to_change bigint not null,
    decided_by text not null check (decided_by <> ''),
    why text not null check (why <> ''),
    decided_at timestamptz not null
        constraint decided_at_is_a_time check (decided_at >= '1970-01-01Z' and decided_at < '2200-01-01Z')
);
comment on table term_decisions is
    'final invoices that a person left as they are, although terms of their month changed: up to this term_changes.id';
create index on term_decisions (invoice_id);
create trigger refuse_record_change before update or delete on term_decisions
    for each row execute function refuse_record_change();

create function last_final_month(organization text) returns date language sql stable as $$
    select max(month) from (
        select max(i.month) as month from invoices as i where i.organization_id = organization and i.status <> 'open'
        union all
        select max(i.month)
        from organization_links as l
        join invoices as i
            on i.organization_id = l.payer_id and i.status <> 'open'
            and daterange(l.first_month, l.last_month, '[]') @> i.month
        where l.organization_id = organization
    ) as final
$$;
comment on function last_final_month is
    'the last month of which an organization, or who pays for it then, has a final invoice; void ones included';

-- No index is needed: a term is on the invoices of its organization, or of who pays for that one.
create function final_invoices_that_used(term_table text, term jsonb) returns setof invoices language sql stable as $$
    with terms as (
        select d.id, d.organization_id
        from discounts as d
        where term_table = 'coupons' and d.coupon_code = term ->> 'code'
        union all
        select cast(term ->> 'id' as uuid), term ->> 'organization_id' where term_table <> 'coupons'
    )
    select i.*
    from invoices as i
    where i.status <> 'open'
        and i.organization_id in (
            select organization_id from terms
            union
            select payer_id from organization_links where organization_id in (select organization_id from terms)
        )
        and (
            exists (
                select from invoice_items as t
                where t.invoice_id = i.id
                    -- Of these an item has one at most: constraint one_source_each.
                    and coalesce(t.subscription_id, t.discount_id, t.commitment_id, t.credit_grant_id)
                        in (select id from terms)
            )
            -- These two have no item where the minimum was reached, or the tax is contained in the prices.
            or exists (
                select from invoice_commitments as c
                where c.invoice_id = i.id and c.commitment_id in (select id from terms)
            )
            or exists (
                select from invoice_taxes as x where x.invoice_id = i.id and x.tax_rate_id in (select id from terms)
            )
        )
$$;
comment on function final_invoices_that_used is
    'final invoices, void ones included, in whose amounts a row of one of the tables of terms had a part';

-- Its arguments: what it is called, the column with its name, the columns that may change, and what to do instead.
create function refuse_used_term_change() returns trigger language plpgsql as $$
declare
    changed text;
    used invoices;
begin
    if tg_op = 'UPDATE' then
        select string_agg(o.key, ', ' order by o.key) into changed
        from jsonb_each(to_jsonb(old)) as o
        where o.key <> all (tg_argv[2]::text[]) and o.value <> to_jsonb(new) -> o.key;
        if changed is null then
            return new;
        end if;
    end if;
    select * into used from final_invoices_that_used(tg_table_name, to_jsonb(old))
    order by month desc, number desc limit 1;
    if found then
        raise exception '% % was used by the final invoice number % of % for %: %',
            tg_argv[0], to_jsonb(old) ->> tg_argv[1], used.number, used.organization_id, to_char(used.month, 'YYYY-MM'),
            coalesce(changed || ' can not be changed', 'it can not be deleted')
            using errcode = 'integrity_constraint_violation', hint = tg_argv[3];
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end $$;

-- What may change without any amount changing: how often and until when a coupon is redeemed, and for how long from now
-- on (a redemption has its own end).
create trigger refuse_used_term_change before update or delete on coupons
    for each row execute function refuse_used_term_change(
        'coupon', 'code', '{months,redeem_by,most_redemptions}',
        'end its discounts (last_month), and redeem a coupon with another code from the next month on'
    );
-- And the end of each, as that is how one is superseded.
create trigger refuse_used_term_change before update or delete on discounts
    for each row execute function refuse_used_term_change(
        'discount', 'coupon_code', '{last_month}', 'set its last_month, and redeem another coupon from the next month on'
    );
create trigger refuse_used_term_change before update or delete on commitments
    for each row execute function refuse_used_term_change(
        'commitment', 'description', '{last_month}', 'set its last_month, and add another one from the next month on'
    );
create trigger refuse_used_term_change before update or delete on credit_grants
    for each row execute function refuse_used_term_change(
        'credit', 'description', '{expires_at}', 'set its expires_at, and grant another one'
    );
-- `billed` says when a fee is charged, not how much it is: either way a month is charged once.
create trigger refuse_used_term_change before update or delete on subscriptions
    for each row execute function refuse_used_term_change(
        'subscription', 'price_key', '{ended_at,billed}', 'set its ended_at, and add another one from then on'
    );

-- An end is decided for the months to come: those that were billed had the term. A subscription is not among these: that
-- it was cancelled is often told after its month is final, and the difference then becomes an adjustment. What a void
-- invoice billed is not owed: nothing holds on to it.
create function refuse_end_before_billed() returns trigger language plpgsql as $$
declare
    last_day constant date := least(
        (to_jsonb(new) ->> 'last_month')::date,
        (((to_jsonb(new) ->> 'expires_at')::timestamptz - interval '1 microsecond') at time zone 'UTC')::date
    );
    used invoices;
begin
    select * into used from final_invoices_that_used(tg_table_name, to_jsonb(old)) where status <> 'void'
    order by month desc limit 1;
    if last_day < used.month then
        raise exception '% % is on the final invoice number % of % for %: it can not end before that month',
            tg_argv[0], to_jsonb(old) ->> tg_argv[1], used.number, used.organization_id, to_char(used.month, 'YYYY-MM')
            using errcode = 'integrity_constraint_violation',
                  hint = 'end it in that month or later; what was billed too much or too little is a one-off item';
    end if;
    return new;
end $$;

create trigger refuse_end_before_billed before update on discounts
    for each row when (new.last_month is distinct from old.last_month)
    execute function refuse_end_before_billed('discount', 'coupon_code');
create trigger refuse_end_before_billed before update on commitments
    for each row when (new.last_month is distinct from old.last_month)
    execute function refuse_end_before_billed('commitment', 'description');
create trigger refuse_end_before_billed before update on credit_grants
    for each row when (new.expires_at is distinct from old.expires_at)
    execute function refuse_end_before_billed('credit', 'description');

-- A rate that was in force for a final invoice is ended and followed by another, never edited: which items it was on
-- and which customers it was for decide amounts too.
create function refuse_used_tax_rate_change() returns trigger language plpgsql as $$
declare
    changed text;
    used invoices;
begin
    if tg_op = 'UPDATE' then
        select string_agg(o.key, ', ' order by o.key) into changed
        from jsonb_each(to_jsonb(old)) as o
        where o.key <> 'last_month' and o.value <> to_jsonb(new) -> o.key;
        if changed is null and (new.last_month is not distinct from old.last_month or new.last_month is null) then
            return new;
        end if;
    end if;
    select i.* into used from invoice_tax_rates as x
    join invoices as i on i.id = x.invoice_id
    where x.tax_rate_id = old.id and i.status <> 'open'
        and (tg_op = 'DELETE' or changed is not null or i.status <> 'void')
    order by i.month desc, i.number desc limit 1;
    if found and (tg_op = 'DELETE' or changed is not null) then
        raise exception 'tax % was used by the final invoice number % of % for %: %',
            old.name, used.number, used.organization_id, to_char(used.month, 'YYYY-MM'),
            coalesce(changed || ' can not be changed', 'it can not be deleted')
            using errcode = 'integrity_constraint_violation',
                  hint = 'set its last_month, and add another one from the next month on';
    elsif found and new.last_month < used.month then
        raise exception 'tax % is on the final invoice number % of % for %: it can not end before that month',
            old.name, used.number, used.organization_id, to_char(used.month, 'YYYY-MM')
            using errcode = 'integrity_constraint_violation',
                  hint = 'end it in that month or later; what was billed too much or too little is a one-off item';
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end $$;

create trigger refuse_used_term_change before update or delete on tax_rates
    for each row execute function refuse_used_tax_rate_change();

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
create function note_term_change() returns trigger language plpgsql as $$
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

create trigger note_term_change after insert or update or delete on subscriptions
    for each row execute function note_term_change('subscription', 'price_key', 'ended_at');
create trigger note_term_change after insert or update or delete on discounts
    for each row execute function note_term_change('discount', 'coupon_code', 'last_month');
create trigger note_term_change after insert or update or delete on commitments
    for each row execute function note_term_change('commitment', 'description', 'last_month');
create trigger note_term_change after insert or update or delete on prices
    for each row execute function note_term_change('price', 'key', 'effective_until');

-- A change of a group's negotiated price concerns a member in the months of its membership only.
create function note_negotiated_change() returns trigger language plpgsql as $$
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
    -- A price of a fee holds for whole intervals: it is about the month in which the last of them ends as well.
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
            and (one.until is null or cast(i.month - beyond as timestamp) at time zone 'UTC' < one.until)
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
            tg_table_name, one.name, month_of(one.begins), 
            cast(month_of(one.until - interval '1 microsecond') + beyond as date),
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

create trigger note_term_change after insert or update or delete on negotiated_prices
    for each row execute function note_negotiated_change();
create trigger note_term_change after insert or update or delete on price_group_members
    for each row execute function note_negotiated_change();
