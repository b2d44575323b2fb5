-- What an invoice can be made of besides usage, fees and one-off items; who pays for whom; and its life, written down.

-- Terms -------------------------------------------------------------------------------------------------------------

-- A term that can't be read would keep a whole month from being billed: it can't be written.
create function is_scope(scope jsonb, kinds jsonb) returns boolean language sql immutable as $$
    select jsonb_typeof(scope) = 'object'
        and scope - array['kinds', 'products', 'price_keys', 'meter', 'match'] = '{}'
        and coalesce(bool_and(jsonb_typeof(scope -> list) = 'array') filter (where scope ? list), true)
        and coalesce(scope -> 'kinds' <@ kinds and scope -> 'kinds' <> '[]', true)
        and coalesce(jsonb_typeof(scope -> 'meter') in ('string', 'null'), true)
        and coalesce(jsonb_typeof(scope -> 'match') = 'object', true)
        and not jsonb_path_exists(scope, 'strict $.match.* ? (@.type() != "array" && @.type() != "string")', silent => true)
        and not jsonb_path_exists(scope, 'strict $.match.* ? (@.type() == "array" && @.size() == 0)', silent => true)
        and not jsonb_path_exists(scope, 'strict $.match.*[*] ? (@.type() != "string")', silent => true)
    from unnest(array['kinds', 'products', 'price_keys']) as list
$$;
comment on function is_scope is 'whether invoicing.rules.items.Scope can read it, and its kinds are among those that a term can be about';

-- numeric knows NaN (above all numbers) and Infinity.
create function is_amount(amount numeric) returns boolean language sql immutable as $$
    select amount >= 0 and amount < 'Infinity' and scale(trim_scale(amount)) <= 12
$$;
comment on function is_amount is 'a finite number of at least 0 with at most 12 decimals, as pricing.rules.fields.check_amount';

create function refuse_other_currency() returns trigger language plpgsql as $$
begin
    if new.currency <> (select currency from organizations where id = new.organization_id) then
        raise exception '% % is in %, % is billed in another currency',
            tg_argv[0], new.id, new.currency, new.organization_id
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

alter table subscriptions
    add column quantity numeric not null default 1 check (quantity > 0),
    add column billed text not null default 'in_arrears' check (billed in ('in_arrears', 'in_advance')),
    add column proration text not null default 'second' check (proration in ('second', 'day', 'none'));
comment on column subscriptions.quantity is 'of what its price is for: seats, addresses';

create table organization_links (
    organization_id text not null references organizations,
    payer_id text not null references organizations check (payer_id <> organization_id),
    first_month date not null check (extract(day from first_month) = 1),
    last_month date check (extract(day from last_month) = 1 and last_month >= first_month),
    primary key (organization_id, first_month)
);
comment on table organization_links is
    'in these months (last_month included; null: for good) the organization is on its payer''s invoice and has none itself';
create index on organization_links (payer_id);

create function refuse_wrong_link() returns trigger language plpgsql as $$
declare
    most constant integer := 100;
    final record;
begin
    if exists (
        select from organization_links as l
        where (l.organization_id, l.first_month) <> (new.organization_id, new.first_month)
            and daterange(l.first_month, l.last_month, '[]') && daterange(new.first_month, new.last_month, '[]')
            and (l.organization_id in (new.organization_id, new.payer_id) or l.payer_id = new.organization_id)
    ) then
        raise exception '% can not be linked to % from % on: one of them is linked otherwise at that time',
            new.organization_id, new.payer_id, new.first_month
            using errcode = 'integrity_constraint_violation',
                  hint = 'an organization has one payer at a time, and a payer is linked to nobody';
    end if;
    if (select count(*) from organization_links as l
        where l.payer_id = new.payer_id and l.organization_id <> new.organization_id
        and daterange(l.first_month, l.last_month, '[]') && daterange(new.first_month, new.last_month, '[]')) >= most
    then
        raise exception '% pays for % organizations already', new.payer_id, most
            using errcode = 'integrity_constraint_violation';
    end if;
    select i.organization_id, i.month into final
    from invoices as i
    where i.organization_id in (new.organization_id, new.payer_id) and i.status <> 'open'
        and daterange(new.first_month, new.last_month, '[]') @> i.month
        and (tg_op = 'INSERT' or not daterange(old.first_month, old.last_month, '[]') @> i.month)
    order by i.month desc limit 1;
    if found then
        raise exception '% has a final invoice of % already', final.organization_id, final.month
            using errcode = 'integrity_constraint_violation', hint = 'link from a later month on';
    end if;
    if (select created_at from organizations where id = new.payer_id)
        >= (new.first_month + interval '1 month') at time zone 'UTC'
    then
        raise exception '% did not exist yet in %: it can not pay for that month', new.payer_id, new.first_month
            using errcode = 'integrity_constraint_violation', hint = 'link from a later month on';
    end if;
    if (select currency from organizations where id = new.organization_id)
        <> (select currency from organizations where id = new.payer_id)
    then
        raise exception '% and % are billed in different currencies', new.organization_id, new.payer_id
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

create trigger refuse_wrong_link before insert or update on organization_links
    for each row execute function refuse_wrong_link();

-- A month in which the payer's invoice has the organization's usage is never billed to the organization as well.
create function refuse_unlinking_of_billed() returns trigger language plpgsql as $$
declare
    billed date;
begin
    if tg_op = 'UPDATE' and (new.organization_id, new.payer_id, new.first_month)
        <> (old.organization_id, old.payer_id, old.first_month)
    then
        raise exception 'the link of % to % from % on can only be ended',
            old.organization_id, old.payer_id, old.first_month
            using errcode = 'integrity_constraint_violation', hint = 'set its last_month, and add another link';
    end if;
    select max(i.month) into billed
    from invoices as i
    where i.organization_id = old.payer_id and i.status <> 'open'
        and daterange(old.first_month, old.last_month, '[]') @> i.month
        and (tg_op = 'DELETE' or not daterange(new.first_month, new.last_month, '[]') @> i.month);
    if billed is not null then
        raise exception '% is on the final invoice of % for %', old.organization_id, old.payer_id, billed
            using errcode = 'integrity_constraint_violation', hint = 'end the link with that month or a later one';
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end $$;

create trigger refuse_unlinking_of_billed before update or delete on organization_links
    for each row execute function refuse_unlinking_of_billed();

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
    check (kind = 'minimum' or months = 1)
);
comment on column commitments.months is
    'the amount is for so many months together, counted from first_month; what is missing is charged in the last of them';
create index on commitments (organization_id);
create trigger refuse_other_currency before insert or update on commitments
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
    expires_at timestamptz check (expires_at > granted_at)
);
comment on column credit_grants.priority is 'lower ones are drawn first; then what expires sooner, then what is older';
create index on credit_grants (organization_id);
create trigger refuse_other_currency before insert on credit_grants
    for each row execute function refuse_other_currency('credit');

create table tax_rates (
    id uuid primary key,
    organization_id text not null references organizations,
    name text not null check (name <> ''),
    percent numeric not null check (is_amount(percent) and percent <= 100),
    is_inclusive boolean not null default false,
    first_month date not null check (extract(day from first_month) = 1),
    last_month date check (extract(day from last_month) = 1 and last_month >= first_month)
);
create index on tax_rates (organization_id);

create table credit_notes (
    id uuid primary key,
    invoice_id uuid not null references invoices,
    number integer not null check (number > 0),
    amount_cents bigint not null check (amount_cents > 0),
    credit_grant_id uuid not null unique references credit_grants,
    made_at timestamptz not null,
    made_by text not null,
    why text,
    unique (invoice_id, number)
);
comment on table credit_notes is
    'a final invoice was too high: what is given back is credit, which the next invoices draw';

create table adjustments (
    id uuid primary key,
    organization_id text not null references organizations,
    month date not null check (extract(day from month) = 1),
    invoice_id uuid not null references invoices,
    item_key text not null,
    product text not null,
    description text not null,
    amount numeric not null check (amount <> 0),
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    causes text[] not null,
    detail jsonb not null default '{}',
    credit_note_id uuid references credit_notes,
    made_at timestamptz not null,
    made_by text not null,
    why text
);
comment on table adjustments is
    'differences found in a month whose invoice is final; each is on the next open invoice, once. Never changed';
comment on column adjustments.item_key is 'which item of the invoice it corrects: all of one key add up to what is right';
comment on column adjustments.credit_note_id is 'given back by this credit note; null: on the next open invoice';
create index on adjustments (organization_id, month);
create index on adjustments (invoice_id);

-- Invoices ----------------------------------------------------------------------------------------------------------

alter table invoices add column number integer check (number > 0);
comment on column invoices.number is 'gapless per organization, given when it is finalized; void ones keep theirs';

alter table invoices disable trigger refuse_finalized_invoice_change;
update invoices set number = n.number
from (
    select id, row_number() over (partition by organization_id order by finalized_at, month, revision) as number
    from invoices where status <> 'open'
) as n
where n.id = invoices.id;
alter table invoices enable trigger refuse_finalized_invoice_change;

alter table invoices
    add constraint numbered_when_final check ((status = 'open') = (number is null)),
    add constraint one_number_each unique (organization_id, number);

create function number_invoice() returns trigger language plpgsql as $$
begin
    select coalesce(max(number), 0) + 1 into new.number from invoices where organization_id = new.organization_id;
    return new;
end $$;

-- Before the trigger that compares old and new, in the order of names.
create trigger number_invoice before update on invoices
    for each row when (old.status = 'open' and new.status <> 'open') execute function number_invoice();

create table invoice_snapshots (
    invoice_id uuid not null references invoices on delete cascade,
    snapshot_id uuid not null references usage_snapshots,
    primary key (invoice_id, snapshot_id)
);
comment on table invoice_snapshots is 'all usage that an invoice bills: the payer''s own and that of whom it pays for';
create index on invoice_snapshots (snapshot_id);
insert into invoice_snapshots select id, usage_snapshot_id from invoices where usage_snapshot_id is not null;

alter table invoice_items
    add column organization_id text references organizations,
    add column price_key text,
    add column meter text references meters,
    add column period_start timestamptz,
    add column period_end timestamptz check (period_end > period_start),
    add column adjustment_id uuid references adjustments,
    add column discount_id uuid references discounts,
    add column commitment_id uuid references commitments,
    add column credit_grant_id uuid references credit_grants,
    add column tax_rate_id uuid references tax_rates,
    add column is_void boolean not null default false;
comment on column invoice_items.organization_id is 'whose line it is, where a payer has several organizations on one invoice';
comment on column invoice_items.is_void is 'its invoice is void: what it billed may be billed again';

alter table invoice_items disable trigger user;
update invoice_items as t set organization_id = i.organization_id, is_void = i.status = 'void'
from invoices as i where i.id = t.invoice_id;
update invoice_items as t set price_key = p.key, meter = p.meter from prices as p where p.id = t.price_id;
alter table invoice_items enable trigger user;

alter table invoice_items
    alter column organization_id set not null,
    drop constraint invoice_items_kind_check,
    drop constraint invoice_items_check,
    drop constraint invoice_items_check1,
    drop constraint invoice_items_check2,
    drop constraint invoice_items_one_off_item_id_key,
    add constraint invoice_items_kind_check check (kind in (
        'usage', 'subscription', 'one_off', 'adjustment', 'discount', 'minimum', 'maximum', 'credit', 'tax'
    )),
    add constraint one_source_each check (
        case kind
            when 'usage' then price_id is not null
            when 'subscription' then subscription_id is not null and price_id is not null
            when 'one_off' then one_off_item_id is not null
            when 'adjustment' then adjustment_id is not null
            when 'discount' then discount_id is not null
            when 'credit' then credit_grant_id is not null
            when 'tax' then tax_rate_id is not null
            else commitment_id is not null
        end
        and num_nonnulls(
            subscription_id, one_off_item_id, adjustment_id, discount_id, commitment_id, credit_grant_id, tax_rate_id
        ) = case when kind = 'usage' then 0 else 1 end
    );
drop index one_item_per_subscription;
create unique index one_item_per_subscription_and_time on invoice_items (invoice_id, subscription_id, period_start)
    nulls not distinct where subscription_id is not null;
create unique index one_off_items_are_billed_once on invoice_items (one_off_item_id) where not is_void;
create unique index adjustments_are_billed_once on invoice_items (adjustment_id) where not is_void;
create index on invoice_items (subscription_id, period_start) where subscription_id is not null;
create index on invoice_items (credit_grant_id) where credit_grant_id is not null;

create table corrected_snapshots (
    invoice_id uuid not null references invoices,
    snapshot_id uuid not null references usage_snapshots,
    primary key (invoice_id, snapshot_id)
);
comment on table corrected_snapshots is
    'the usage that a final invoice together with its adjustments bills, where that is no longer what it billed itself';
create index on corrected_snapshots (snapshot_id);

create table invoice_taxes (
    invoice_id uuid not null references invoices on delete cascade,
    tax_rate_id uuid not null references tax_rates,
    name text not null,
    percent numeric not null,
    is_inclusive boolean not null,
    taxable_cents bigint not null,
    tax_cents bigint not null,
    primary key (invoice_id, tax_rate_id)
);
comment on column invoice_taxes.taxable_cents is 'what the tax was worked out from, without the tax';

create table invoice_commitments (
    invoice_id uuid not null references invoices on delete cascade,
    commitment_id uuid not null references commitments,
    counted numeric not null,
    primary key (invoice_id, commitment_id)
);
comment on table invoice_commitments is
    'what of an invoice and its adjustments counts towards a commitment that runs over several months';

-- The ledger of credits ---------------------------------------------------------------------------------------------

create table credit_entries (
    id bigint generated always as identity primary key,
    grant_id uuid not null references credit_grants,
    kind text not null check (kind in ('granted', 'drawn', 'returned')),
    amount numeric not null,
    invoice_id uuid references invoices,
    booked_at timestamptz not null default now(),
    unique nulls not distinct (grant_id, kind, invoice_id),
    check ((kind = 'granted') = (invoice_id is null)),
    check (case when kind = 'drawn' then amount < 0 else amount > 0 end)
);
comment on table credit_entries is
    'every movement of a credit; its sum is what is left. Drawn when an invoice is finalized, returned when it is void';

create function grant_credit() returns trigger language plpgsql as $$
begin
    insert into credit_entries (grant_id, kind, amount) values (new.id, 'granted', new.amount);
    return null;
end $$;

create trigger grant_credit after insert on credit_grants for each row execute function grant_credit();

create function refuse_overdrawn_credit() returns trigger language plpgsql as $$
begin
    if (select sum(amount) from credit_entries where grant_id = new.grant_id) < 0 then
        raise exception 'credit % would be overdrawn by invoice %', new.grant_id, new.invoice_id
            using errcode = 'integrity_constraint_violation',
                  hint = 'compute the invoice again: another one drew the credit since';
    end if;
    return null;
end $$;

create trigger refuse_overdrawn_credit after insert on credit_entries
    for each row execute function refuse_overdrawn_credit();

create function refuse_record_change() returns trigger language plpgsql as $$
begin
    raise exception '% is kept as it was written: a row can not be changed or deleted', tg_table_name
        using errcode = 'integrity_constraint_violation', hint = 'add a new row that puts it right';
end $$;

create trigger refuse_record_change before update or delete on credit_entries
    for each row execute function refuse_record_change();
create trigger refuse_record_change before update or delete on adjustments
    for each row execute function refuse_record_change();
create trigger refuse_truncate before truncate on credit_entries for each statement execute function refuse_truncate();
create trigger refuse_truncate before truncate on adjustments for each statement execute function refuse_truncate();
create trigger refuse_record_change before update or delete on credit_notes
    for each row execute function refuse_record_change();
create trigger refuse_truncate before truncate on credit_notes for each statement execute function refuse_truncate();

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

-- An invoice's life -------------------------------------------------------------------------------------------------

create table invoice_changes (
    id bigint generated always as identity primary key,
    invoice_id uuid not null,
    from_status text,
    to_status text not null,
    changed_at timestamptz not null default now(),
    changed_by text not null,
    why text
);
comment on table invoice_changes is
    'who changed an invoice''s status, when and why: the settings fly_billing.who and fly_billing.why of the transaction';
create index on invoice_changes (invoice_id, id);
create trigger refuse_record_change before update or delete on invoice_changes
    for each row execute function refuse_record_change();
create trigger refuse_truncate before truncate on invoice_changes for each statement execute function refuse_truncate();

create function follow_invoice_change() returns trigger language plpgsql as $$
begin
    insert into invoice_changes (invoice_id, from_status, to_status, changed_by, why)
    values (
        new.id, old.status, new.status,
        coalesce(nullif(current_setting('fly_billing.who', true), ''), session_user),
        nullif(current_setting('fly_billing.why', true), '')
    );
    if old.status = 'open' then
        insert into credit_entries (grant_id, kind, amount, invoice_id)
        select credit_grant_id, 'drawn', sum(amount), new.id
        from invoice_items where invoice_id = new.id and credit_grant_id is not null
        group by credit_grant_id;
    end if;
    if new.status = 'void' then
        update invoice_items set is_void = true where invoice_id = new.id;
        insert into credit_entries (grant_id, kind, amount, invoice_id)
        select grant_id, 'returned', -amount, new.id
        from credit_entries where invoice_id = new.id and kind = 'drawn';
    end if;
    return null;
end $$;

create trigger follow_invoice_change after update on invoices
    for each row when (old.status <> new.status) execute function follow_invoice_change();

create or replace function refuse_finalized_item_change() returns trigger language plpgsql as $$
declare
    touched uuid;
begin
    if tg_op = 'UPDATE' and pg_trigger_depth() > 1 then
        return null; -- follow_invoice_change marks the items of a void invoice: nothing else updates items in a trigger
    end if;
    select i.id into touched from changed_rows c join invoices i on i.id = c.invoice_id where i.status <> 'open' limit 1;
    if found then
        raise exception 'invoice % is finalized: its items can not be changed', touched
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

create trigger refuse_insert_into_finalized after insert on invoice_taxes
    referencing new table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_delete_from_finalized after delete on invoice_taxes
    referencing old table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_update_of_finalized after update on invoice_taxes
    referencing old table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_insert_into_finalized after insert on invoice_snapshots
    referencing new table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_delete_from_finalized after delete on invoice_snapshots
    referencing old table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_update_of_finalized after update on invoice_snapshots
    referencing old table as changed_rows for each statement execute function refuse_finalized_item_change();

create or replace function refuse_billed_rollup_change() returns trigger language plpgsql as $$
declare
    touched uuid;
begin
    select i.id into touched
    from changed_rows c
    join invoice_snapshots s on s.snapshot_id = c.snapshot_id
    join invoices i on i.id = s.invoice_id
    where i.status <> 'open' limit 1;
    if found then
        raise exception 'invoice % is finalized: the usage it billed can not be changed', touched
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

create view invoice_life as
select
    i.id as invoice_id, i.organization_id, i.month, i.revision,
    case
        when i.status = 'open' and b.code is not null then 'held up'
        when i.status = 'finalized' and s.state = 'finalized' then 'synced'
        else i.status
    end as stage
from invoices as i
left join stripe_invoices as s on s.invoice_id = i.id
left join billing_failures as b on b.organization_id = i.organization_id and b.month = i.month;
comment on view invoice_life is 'where an invoice stands: open, held up, finalized, synced, paid, void, uncollectible';
