-- What is agreed with an organization: subscriptions, one-off items, discounts, commitments and credits.

-- A fee is for an interval of its price (a month, a quarter, a half-year, a year; in prices.settings). Another number of
-- seats is another subscription, which can go on with the intervals of the one before.
create table subscriptions (
    id uuid primary key,
    organization_id text not null references organizations,
    price_key text not null,
    started_at timestamptz not null,
    ended_at timestamptz check (ended_at >= started_at),
    quantity numeric not null default 1 check (quantity > 0),
    billed text not null default 'in_arrears' check (billed in ('in_arrears', 'in_advance')),
    proration text not null default 'second' check (proration in ('second', 'day', 'none')),
    anchor text not null default 'calendar' check (anchor in ('calendar', 'start')),
    trial_ends_at timestamptz check (trial_ends_at >= started_at)
        constraint trial_ends_at_is_a_time check (trial_ends_at >= '1970-01-01Z' and trial_ends_at < '2200-01-01Z'),
    anchored_at timestamptz
        constraint anchored_at_is_a_time check (anchored_at >= '1970-01-01Z' and anchored_at < '2200-01-01Z'),
    constraint anchored_by_its_start check (anchored_at is null or (anchor = 'start' and anchored_at <= started_at))
);
comment on column subscriptions.quantity is 'of what its price is for: seats, addresses';
comment on column subscriptions.anchor is
    'calendar: a quarter begins in January, April, July or October; start: its intervals are counted from its start, or from'
    ' the end of its trial';
comment on column subscriptions.trial_ends_at is 'the fee is free until then';
comment on column subscriptions.anchored_at is
    'with anchor start: the moment from which its intervals are counted; null: from its start, or the end of its trial';
create index on subscriptions (organization_id);

create table one_off_items (
    id uuid primary key,
    organization_id text not null references organizations,
    description text not null check (description <> ''),
    amount numeric not null,
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    occurred_at timestamptz not null,
    imported_as text check (imported_as <> ''),
    quantity numeric not null default 1,
    unit text not null default 'item',
    unit_amount numeric,
    product text not null default 'One-off'
        check (product !~ '[[:cntrl:]]' and product ~ '^\S(.*\S)?$' and length(product) <= 500),
    constraint quantity_is_finite check (abs(quantity) < 1e12),
    constraint unit_amount_is_finite check (abs(unit_amount) < 1e12),
    constraint unit_is_text check (unit ~ '[^[:space:][:cntrl:]]'),
    constraint amount_is_quantity_times_unit_amount check (amount = quantity * unit_amount),
    constraint product_has_at_most_20_decimals check (scale(quantity) + scale(unit_amount) <= 20),
    constraint a_quantity_has_a_unit_amount check (unit_amount is not null or (quantity = 1 and unit = 'item'))
);
comment on column one_off_items.amount is 'below zero: a credit; left out where there is a unit_amount: quantity x unit_amount';
comment on column one_off_items.imported_as is
    'which charge of a FOCUS file it is; an even number of items of one charge: it was taken back';
comment on column one_off_items.quantity is 'how many at unit_amount each; below zero: taken back';
comment on column one_off_items.unit is 'what quantity counts, in the singular: seat, hour';
comment on column one_off_items.unit_amount is 'price of one, in the currency''s major unit; null: the amount is a price as a whole';
comment on column one_off_items.product is 'under what the invoice lists it, and what the scope of a tax or a term names';
create index on one_off_items (organization_id, occurred_at);

create table coupons (
    code text primary key check (code <> ''),
    description text not null check (description <> ''),
    percent numeric check (percent > 0 and percent <= 100 and is_amount(percent)),
    amount numeric check (amount > 0 and is_amount(amount)),
    currency char(3) check (currency ~ '^[A-Z]{3}$'),
    scope jsonb not null default '{}' check (is_scope(scope, '["usage", "subscription", "one_off"]')),
    rank integer not null default 0,
    months integer check (months > 0),
    redeem_by timestamptz,
    most_redemptions integer check (most_redemptions > 0),
    check ((percent is null) <> (amount is null)),
    check ((amount is null) = (currency is null))
);
comment on column coupons.scope is 'which items it is about: invoicing.rules.items.Scope; {}: all charges';
comment on column coupons.rank is 'lower ones are taken off first';
comment on column coupons.months is 'for how many months it holds once redeemed; null: for good';

create table discounts (
    id uuid primary key,
    organization_id text not null references organizations,
    coupon_code text not null references coupons,
    first_month date not null check (extract(day from first_month) = 1),
    last_month date check (extract(day from last_month) = 1 and last_month >= first_month),
    redeemed_at timestamptz not null,
    unique (organization_id, coupon_code, first_month)
);
comment on table discounts is 'coupons that an organization redeemed, and in which months they hold (last_month included)';

create table commitments (
    id uuid primary key,
    organization_id text not null references organizations,
    kind text not null check (kind in ('minimum', 'maximum')),
    description text not null check (description <> ''),
    amount numeric not null check (is_amount(amount)),
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    scope jsonb not null default '{}'
        check (is_scope(scope, '["usage", "subscription", "one_off", "minimum"]')),
    first_month date not null check (extract(day from first_month) = 1),
    last_month date check (extract(day from last_month) = 1 and last_month >= first_month),
    months integer not null default 1 check (months > 0),
    runs_from timestamptz check (runs_from >= '1970-01-01Z' and runs_from < '2200-01-01Z'),
    runs_until timestamptz check (runs_until >= '1970-01-01Z' and runs_until < '2200-01-01Z'),
    check (kind = 'minimum' or months = 1),
    constraint runs_for_some_time check (runs_until > runs_from),
    constraint runs_in_its_months check (
        runs_from >= first_month and (last_month is null or runs_from < last_month + interval '1 month')
        and runs_until > first_month
    )
);
comment on column commitments.months is
    'the amount is for so many months together, counted from first_month; what is missing is charged in the last of them';
comment on column commitments.runs_from is
    'from when on it runs, where that is inside its first months: they are in proportion. Null: from the first on';
comment on column commitments.runs_until is
    'until when it runs, where that is inside its last months: they are in proportion. Null: to the end of the last';
create index on commitments (organization_id);
-- After an organization's currency changed, its commitments in the earlier one are ended: only a new amount, or another
-- currency, has to be in the present one.
create trigger refuse_other_currency before insert or update of currency, organization_id, amount on commitments
    for each row execute function refuse_other_currency('commitment');

create table credit_grants (
    id uuid primary key,
    organization_id text not null references organizations,
    description text not null check (description <> ''),
    amount numeric not null check (amount > 0 and is_amount(amount)),
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    priority integer not null default 0,
    scope jsonb not null default '{}'
        check (is_scope(scope, '["usage", "subscription", "one_off", "adjustment", "minimum"]')),
    granted_at timestamptz not null,
    expires_at timestamptz check (expires_at > granted_at),
    pays text not null default 'net' check (pays in ('net', 'gross'))
);
comment on column credit_grants.priority is 'lower ones are drawn first; then what expires sooner, then what is older';
comment on column credit_grants.pays is
    'net: it pays before tax, so that less is taxed (a promotion); gross: after tax, and taxes too (prepaid, a deposit)';
create index on credit_grants (organization_id);
create trigger refuse_other_currency before insert on credit_grants
    for each row execute function refuse_other_currency('credit');

create function refuse_wrong_redemption() returns trigger language plpgsql as $$
declare
    coupon coupons;
begin
    select * into coupon from coupons where code = new.coupon_code for update;
    if new.redeemed_at >= coupon.redeem_by then
        raise exception 'coupon % could be redeemed until %', coupon.code, coupon.redeem_by
            using errcode = 'integrity_constraint_violation';
    end if;
    if (select count(*) from discounts where coupon_code = coupon.code) >= coupon.most_redemptions then
        raise exception 'coupon % was redeemed % times already', coupon.code, coupon.most_redemptions
            using errcode = 'integrity_constraint_violation';
    end if;
    if coupon.currency <> (select currency from organizations where id = new.organization_id) then
        raise exception 'coupon % is in %, the organization % is billed in another currency',
            coupon.code, coupon.currency, new.organization_id
            using errcode = 'integrity_constraint_violation';
    end if;
    -- `least` leaves nulls out: without an end on either side it holds for good.
    new.last_month := least(new.last_month, (new.first_month + make_interval(months => coupon.months - 1))::date);
    return new;
end $$;

create trigger refuse_wrong_redemption before insert on discounts
    for each row execute function refuse_wrong_redemption();

create function fill_one_off_amount() returns trigger language plpgsql as $$
begin
    if new.amount is null then
        new.amount := new.quantity * new.unit_amount;
    end if;
    return new;
end
$$;

create trigger fill_one_off_amount before insert on one_off_items
    for each row execute function fill_one_off_amount();

create function refuse_amount_change() returns trigger language plpgsql as $$
begin
    if (new.id, new.organization_id, new.amount, new.currency) <> (old.id, old.organization_id, old.amount, old.currency)
    then
        raise exception 'credit % is granted: what it is worth can not be changed', old.id
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

create trigger refuse_amount_change before update on credit_grants
    for each row execute function refuse_amount_change();
