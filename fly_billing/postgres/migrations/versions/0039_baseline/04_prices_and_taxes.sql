-- What things cost: list prices, negotiated prices and taxes.

create table prices (
    id uuid primary key,
    book text not null,
    key text not null,
    meter text references meters,
    product text not null,
    description text not null,
    unit text not null,
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    model text not null check (model in (
        'per_unit', 'package', 'graduated', 'volume', 'graduated_percentage', 'percentage', 'flat'
    )),
    unit_amount numeric check (unit_amount >= 0),
    per numeric check (per > 0),
    tiers jsonb,
    free_allowance numeric not null default 0 check (free_allowance >= 0),
    match jsonb not null default '{}',
    effective_from timestamptz not null,
    effective_until timestamptz check (effective_until > effective_from),
    settings jsonb not null default '{}' check (jsonb_typeof(settings) = 'object'),
    unique (book, key, effective_from),
    constraint prices_tiers_check check (
        (model in ('graduated', 'volume', 'graduated_percentage')) = (tiers is not null)
    ),
    constraint prices_unit_amount_given_check check ((model in ('per_unit', 'package')) = (unit_amount is not null)),
    constraint prices_per_given_check check (
        (model in ('per_unit', 'package', 'graduated', 'volume')) = (per is not null)
    )
);
comment on column prices.meter is 'null: a recurring fee per month';
comment on column prices.settings is
    'what has no column: round, percent, flat_amount, minimum, maximum, at_zero; absent where it is the default';

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

-- A tax rate is for some items and some customers. It is one organization's, or a price book's: then it is for all
-- organizations with that book that have no rate of their own.
create table tax_rates (
    id uuid primary key,
    organization_id text references organizations,
    name text not null check (name <> ''),
    percent numeric not null check (is_amount(percent) and percent <= 100),
    is_inclusive boolean not null default false,
    first_month date not null check (extract(day from first_month) = 1),
    last_month date check (extract(day from last_month) = 1 and last_month >= first_month),
    book text check (book !~ '[[:cntrl:]]' and book ~ '^\S(.*\S)?$' and length(book) <= 500),
    key text check (key !~ '[[:cntrl:]]' and key ~ '^\S(.*\S)?$' and length(key) <= 500),
    tax text check (tax !~ '[[:cntrl:]]' and tax ~ '^\S(.*\S)?$' and length(tax) <= 500),
    category text not null default 'standard'
        check (category in ('standard', 'reduced', 'zero', 'exempt', 'reverse_charge', 'outside')),
    legal_text text check (legal_text ~ '\S' and length(legal_text) <= 300),
    scope jsonb not null default '{}' check (jsonb_typeof(scope) = 'object'),
    locations text[] not null default '{}' check (are_keys(locations)),
    customers text[] not null default '{}' check (are_keys(customers)),
    constraint an_organization_s_or_a_book_s check (
        num_nonnulls(organization_id, book) = 1 and (book is null) = (key is null)
    ),
    constraint nothing_is_charged check (
        category in ('standard', 'reduced') or percent = 0 and not is_inclusive
    ),
    constraint the_law_is_named check (category not in ('exempt', 'reverse_charge') or legal_text is not null),
    constraint legal_text_has_a_line check (legal_text is null or not is_inclusive),
    constraint its_tax_is_named check (
        tax is not null or scope = '{}' and locations = '{}' and customers = '{}'
    ),
    constraint one_version_of_a_book unique (book, key, first_month)
);
comment on column tax_rates.tax is
    'which tax it is a rate of: of several rates of one tax, the narrowest is an item''s. Null: a tax of its own';
comment on column tax_rates.scope is 'which items it is on: kinds, products, price_keys, meter, match. Empty: all';
comment on column tax_rates.locations is 'where its customers are, ISO 3166: DE, CA-QC. Empty: anywhere';
comment on column tax_rates.customers is 'what its customers are, as tax_customers has it: business. Empty: anything';
create index on tax_rates (organization_id);

create table tax_customers (
    organization_id text not null references organizations,
    first_month date not null check (
        extract(day from first_month) = 1 and first_month >= '1970-01-01' and first_month < '2200-01-01'
    ),
    location text check (location ~ '^[A-Z]{2}(-[A-Z0-9]+)*$'),
    kind text check (kind !~ '[[:cntrl:]]' and kind ~ '^\S(.*\S)?$' and length(kind) <= 500),
    primary key (organization_id, first_month)
);
comment on table tax_customers is
    'where an organization is and what it is to the tax office, from this month until its next row. A final invoice keeps'
    ' the rates that followed from it, so a late row changes no closed month';

create function refuse_used_price_change() returns trigger language plpgsql as $$
begin
    if to_jsonb(new) - 'effective_until' - 'match' <> to_jsonb(old) - 'effective_until' - 'match'
        and exists (
            select from invoice_items t join invoices i on i.id = t.invoice_id
            where t.price_id = old.id and i.status <> 'open'
        )
    then
        raise exception 'price % of % was used by a finalized invoice: it can not be changed', old.key, old.effective_from
            using errcode = 'integrity_constraint_violation',
                  hint = 'add a new version with a later effective_from';
    end if;
    return new;
end $$;

create trigger refuse_used_price_change before update on prices
    for each row execute function refuse_used_price_change();

-- Foreign keys refuse this as well; the trigger also works where those are off (a replica, a restore).
create function refuse_used_price_deletion() returns trigger language plpgsql as $$
begin
    if exists (
        select from invoice_items as t join invoices as i on i.id = t.invoice_id
        where t.price_id = old.id and i.status <> 'open'
    ) then
        raise exception 'price % of % was used by a finalized invoice: it can not be deleted', old.key, old.effective_from
            using errcode = 'integrity_constraint_violation', hint = 'set its effective_until';
    end if;
    return old;
end $$;

create trigger refuse_used_price_deletion before delete on prices
    for each row execute function refuse_used_price_deletion();

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
