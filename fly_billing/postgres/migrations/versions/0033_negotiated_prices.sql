-- What an organization, or a group of organizations, pays instead of a list price; and who is in a group.
create table negotiated_prices (
    id uuid primary key,
    book text not null check (book !~ '[[:cntrl:]]' and book ~ '^\S(.*\S)?$' and length(book) <= 500),
    key text not null check (key !~ '[[:cntrl:]]' and key ~ '^\S(.*\S)?$' and length(key) <= 500),
    organization_id text references organizations,
    price_group text check (price_group !~ '[[:cntrl:]]' and price_group ~ '^\S(.*\S)?$' and length(price_group) <= 500),
    match jsonb not null default '{}' check (jsonb_typeof(match) = 'object'),
    charges jsonb not null check (jsonb_typeof(charges) = 'object' and charges <> '{}'),
    effective_from timestamptz not null
        constraint effective_from_is_a_time check (effective_from >= '1970-01-01Z' and effective_from < '2200-01-01Z'),
    effective_until timestamptz
        constraint effective_until_is_a_time check (effective_until >= '1970-01-01Z' and effective_until < '2200-01-01Z'),
    constraint an_organization_s_or_a_group_s check (num_nonnulls(organization_id, price_group) = 1),
    constraint ends_after_it_begins check (effective_until > effective_from)
);
comment on table negotiated_prices is
    'what an organization, or a group (price_group_members), pays instead of the list price with this book and key, in'
    ' [effective_from, effective_until). One that a final invoice used is ended and followed by another, never edited';
comment on column negotiated_prices.match is 'for usage with these dimensions only; empty: for all that the list price is for';
comment on column negotiated_prices.charges is
    '{"percent_off": "10"}: off the list price, whatever version of it holds; or the fields of a price that say what it charges';
create index on negotiated_prices (book, key);

create table price_group_members (
    price_group text not null
        check (price_group !~ '[[:cntrl:]]' and price_group ~ '^\S(.*\S)?$' and length(price_group) <= 500),
    organization_id text not null references organizations,
    effective_from timestamptz not null
        constraint effective_from_is_a_time check (effective_from >= '1970-01-01Z' and effective_from < '2200-01-01Z'),
    effective_until timestamptz
        constraint effective_until_is_a_time check (effective_until >= '1970-01-01Z' and effective_until < '2200-01-01Z'),
    primary key (price_group, organization_id, effective_from),
    constraint ends_after_it_begins check (effective_until > effective_from)
);
comment on table price_group_members is
    'who has the negotiated prices of a group, in [effective_from, effective_until)';
create index on price_group_members (organization_id);

alter table invoice_items add column negotiated_price_id uuid references negotiated_prices;
alter table invoice_items add constraint negotiated_over_a_list_price check (
    negotiated_price_id is null or price_id is not null
);
comment on column invoice_items.price_id is 'the version of the list price, also where negotiated_price_id held in its place';
create index on invoice_items (negotiated_price_id) where negotiated_price_id is not null;

-- What a final invoice used is the same for good -------------------------------------------------------------------------

create function refuse_used_negotiated_price_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and to_jsonb(new) - 'effective_until' = to_jsonb(old) - 'effective_until' then
        return new;
    end if;
    if exists (
        select from invoice_items as t join invoices as i on i.id = t.invoice_id
        where t.negotiated_price_id = old.id and i.status <> 'open'
    ) then
        raise exception 'the negotiated price % of % from % was used by a finalized invoice: it can not be changed',
            old.key, coalesce(old.organization_id, 'group ' || old.price_group), old.effective_from
            using errcode = 'integrity_constraint_violation',
                  hint = 'set its effective_until, and add another one with a later effective_from';
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end $$;

create trigger refuse_used_negotiated_price_change before update or delete on negotiated_prices
    for each row execute function refuse_used_negotiated_price_change();

create function refuse_used_member_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and to_jsonb(new) - 'effective_until' = to_jsonb(old) - 'effective_until' then
        return new;
    end if;
    if exists (
        select from negotiated_prices as n
        join invoice_items as t on t.negotiated_price_id = n.id and t.organization_id = old.organization_id
        join invoices as i on i.id = t.invoice_id
        where n.price_group = old.price_group and i.status <> 'open'
            and (i.month + interval '1 month') at time zone 'UTC' > old.effective_from
            and (old.effective_until is null or cast(i.month as timestamp) at time zone 'UTC' < old.effective_until)
    ) then
        raise exception '% was billed as a member of group %: its membership from % can not be changed',
            old.organization_id, old.price_group, old.effective_from
            using errcode = 'integrity_constraint_violation', hint = 'set its effective_until';
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end $$;

create trigger refuse_used_member_change before update or delete on price_group_members
    for each row execute function refuse_used_member_change();

create trigger refuse_truncate before truncate on negotiated_prices
    for each statement execute function refuse_truncate();
create trigger refuse_truncate before truncate on price_group_members
    for each statement execute function refuse_truncate();

-- What changes for a closed month is written down, for the organizations that it is about ---------------------------------

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
            and (until is null or cast(i.month as timestamp) at time zone 'UTC' < until)
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
            tg_table_name, whose, month_of(begins), month_of(until - interval '1 microsecond'),
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

create trigger note_term_change after insert or update or delete on negotiated_prices
    for each row execute function note_negotiated_change();
create trigger note_term_change after insert or update or delete on price_group_members
    for each row execute function note_negotiated_change();

-- A refusal holds whoever asks.
do $$
declare
    one record;
begin
    for one in
        select t.tgrelid::regclass as on_table, t.tgname from pg_trigger as t
        where not t.tgisinternal and t.tgname like 'refuse\_%' and t.tgenabled <> 'A'
            and t.tgrelid in ('negotiated_prices'::regclass, 'price_group_members'::regclass)
    loop
        execute format('alter table %s enable always trigger %I', one.on_table, one.tgname);
    end loop;
end $$;
