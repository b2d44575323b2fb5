-- What an invoice consists of, and what it draws from credits. Parts of a final invoice stay as they are.

create table invoice_items (
    id uuid primary key,
    invoice_id uuid not null references invoices on delete cascade,
    position integer not null check (position > 0),
    kind text not null check (kind in (
        'usage', 'subscription', 'one_off', 'adjustment', 'discount', 'minimum', 'maximum', 'credit', 'tax', 'rounding'
    )),
    product text not null,
    description text not null,
    quantity numeric not null,
    unit text not null,
    amount numeric not null,
    amount_cents bigint not null,
    price_id uuid references prices,
    subscription_id uuid references subscriptions,
    one_off_item_id uuid references one_off_items,
    detail jsonb not null default '{}',
    organization_id text not null references organizations,
    price_key text,
    meter text references meters,
    period_start timestamptz,
    period_end timestamptz constraint invoice_items_check3 check (period_end > period_start),
    adjustment_id uuid references adjustments,
    discount_id uuid references discounts,
    commitment_id uuid references commitments,
    credit_grant_id uuid references credit_grants,
    tax_rate_id uuid references tax_rates,
    is_void boolean not null default false,
    negotiated_price_id uuid references negotiated_prices,
    interval_start timestamptz
        constraint interval_start_is_a_time check (interval_start >= '1970-01-01Z' and interval_start < '2200-01-01Z'),
    interval_end timestamptz
        constraint interval_end_is_a_time check (interval_end >= '1970-01-01Z' and interval_end < '2200-01-01Z'),
    unique (invoice_id, position),
    unique (id, invoice_id),
    constraint one_source_each check (
        case kind
            when 'usage' then price_id is not null
            when 'subscription' then subscription_id is not null and price_id is not null
            when 'one_off' then one_off_item_id is not null
            when 'adjustment' then adjustment_id is not null
            when 'discount' then discount_id is not null
            when 'credit' then credit_grant_id is not null
            when 'tax' then tax_rate_id is not null
            when 'rounding' then price_id is null
            else commitment_id is not null
        end
        and num_nonnulls(
            subscription_id, one_off_item_id, adjustment_id, discount_id, commitment_id, credit_grant_id, tax_rate_id
        ) = case when kind in ('usage', 'rounding') then 0 else 1 end
    ),
    constraint negotiated_over_a_list_price check (negotiated_price_id is null or price_id is not null),
    constraint interval_has_two_ends check ((interval_start is null) = (interval_end is null)),
    constraint interval_is_some_time check (interval_end > interval_start),
    constraint a_fee_has_an_interval check (kind <> 'subscription' or interval_start is not null)
);
comment on column invoice_items.price_id is 'the version of the list price, also where negotiated_price_id held in its place';
comment on column invoice_items.organization_id is 'whose line it is, where a payer has several organizations on one invoice';
comment on column invoice_items.is_void is 'its invoice is void: what it billed may be billed again';
comment on column invoice_items.interval_start is
    'of a fee: the whole interval that period_start and period_end are a part of; the month in which it ends settles it';
create index on invoice_items (price_id);
create unique index one_item_per_subscription_and_time on invoice_items (invoice_id, subscription_id, period_start)
    nulls not distinct where subscription_id is not null;
create index on invoice_items (credit_grant_id) where credit_grant_id is not null;
create unique index one_off_items_are_billed_once on invoice_items (one_off_item_id)
    where one_off_item_id is not null and not is_void;
create unique index adjustments_are_billed_once on invoice_items (adjustment_id)
    where adjustment_id is not null and not is_void;
-- What was billed before, void or not, is found without reading all items there ever were.
create index on invoice_items (one_off_item_id) where one_off_item_id is not null;
create index on invoice_items (adjustment_id) where adjustment_id is not null;
create index on invoice_items (negotiated_price_id) where negotiated_price_id is not null;
-- What was charged for intervals that are not over is looked up by their end.
create index on invoice_items (subscription_id, interval_end) where subscription_id is not null;

create table invoice_item_rollups (
    invoice_id uuid not null,
    rollup_id uuid not null references usage_rollups,
    item_id uuid not null,
    primary key (invoice_id, rollup_id),
    foreign key (item_id, invoice_id) references invoice_items (id, invoice_id) on delete cascade
);
comment on table invoice_item_rollups is 'which item billed which usage: the key makes it at most one per invoice';
create index on invoice_item_rollups (rollup_id);
create index on invoice_item_rollups (item_id);

create table invoice_snapshots (
    invoice_id uuid not null references invoices on delete cascade,
    snapshot_id uuid not null references usage_snapshots,
    primary key (invoice_id, snapshot_id)
);
comment on table invoice_snapshots is 'all usage that an invoice bills: the payer''s own and that of whom it pays for';
create index on invoice_snapshots (snapshot_id);

-- What is shown of a rate is kept with the invoice.
create table invoice_taxes (
    invoice_id uuid not null references invoices on delete cascade,
    tax_rate_id uuid not null references tax_rates,
    name text not null,
    percent numeric not null,
    is_inclusive boolean not null,
    taxable_cents bigint not null,
    tax_cents bigint not null,
    category text not null default 'standard',
    legal_text text,
    primary key (invoice_id, tax_rate_id)
);
comment on column invoice_taxes.taxable_cents is 'what the tax was worked out from, without the tax';

create table invoice_tax_rates (
    invoice_id uuid not null references invoices on delete cascade,
    tax_rate_id uuid not null references tax_rates,
    primary key (invoice_id, tax_rate_id)
);
comment on table invoice_tax_rates is
    'the rates that were in force for an invoice, whether they came to anything or not: what a correction of it is taxed by';
create index on invoice_tax_rates (tax_rate_id);

create table invoice_commitments (
    invoice_id uuid not null references invoices on delete cascade,
    commitment_id uuid not null references commitments,
    counted numeric not null,
    primary key (invoice_id, commitment_id)
);
comment on table invoice_commitments is
    'what of an invoice and its adjustments counts towards a commitment that runs over several months';
create trigger refuse_move before update on invoice_commitments
    for each row when ((new.invoice_id, new.commitment_id) <> (old.invoice_id, old.commitment_id))
    execute function refuse_record_change();

create table credit_entries (
    id bigint generated always as identity primary key,
    grant_id uuid not null references credit_grants,
    kind text not null check (kind in ('granted', 'drawn', 'returned', 'given_back')),
    amount numeric not null,
    invoice_id uuid references invoices,
    booked_at timestamptz not null default now(),
    check ((kind = 'granted') = (invoice_id is null)),
    constraint signed_as_its_kind check (
        case kind when 'drawn' then amount < 0 when 'returned' then amount <> 0 else amount > 0 end
    )
);
comment on table credit_entries is
    'every movement of a credit; its sum is what is left. Drawn when an invoice is finalized; given back when a fee or a
    month that it had paid turns out lower; returned, both, when the invoice is void';
-- One invoice can be corrected more than once.
create unique index one_entry_each on credit_entries (grant_id, kind, invoice_id) nulls not distinct
    where kind <> 'given_back';
create trigger refuse_record_change before update or delete on credit_entries
    for each row execute function refuse_record_change();

-- The rows that a statement touched are looked up by their keys. Joined, they are compared with every
-- final invoice there is wherever Postgres believes that there is none.
create function refuse_finalized_item_change() returns trigger language plpgsql as $$
declare
    touched uuid;
begin
    if tg_op = 'UPDATE' and pg_trigger_depth() > 1 then
        return null; -- follow_invoice_change marks the items of a void invoice: nothing else updates items in a trigger
    end if;
    select i.id into touched from invoices as i
    where i.id = any (array(select distinct invoice_id from changed_rows)) and i.status <> 'open' limit 1;
    if found then
        raise exception 'invoice % is finalized: its items can not be changed', touched
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

create trigger refuse_insert_into_finalized after insert on invoice_items
    referencing new table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_delete_from_finalized after delete on invoice_items
    referencing old table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_update_of_finalized after update on invoice_items
    referencing old table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_update_into_finalized after update on invoice_items
    referencing new table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_insert_into_finalized after insert on invoice_item_rollups
    referencing new table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_delete_from_finalized after delete on invoice_item_rollups
    referencing old table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_update_of_finalized after update on invoice_item_rollups
    referencing old table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_update_into_finalized after update on invoice_item_rollups
    referencing new table as changed_rows for each statement execute function refuse_finalized_item_change();
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
create trigger refuse_update_into_finalized after update on invoice_taxes
    referencing new table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_update_into_finalized after update on invoice_snapshots
    referencing new table as changed_rows for each statement execute function refuse_finalized_item_change();
-- Corrections add to what a final invoice counts towards its commitments, and change it; nothing takes it away.
create trigger refuse_delete_from_finalized after delete on invoice_commitments
    referencing old table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_insert_into_finalized after insert on invoice_tax_rates
    referencing new table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_delete_from_finalized after delete on invoice_tax_rates
    referencing old table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_update_of_finalized after update on invoice_tax_rates
    referencing old table as changed_rows for each statement execute function refuse_finalized_item_change();
create trigger refuse_update_into_finalized after update on invoice_tax_rates
    referencing new table as changed_rows for each statement execute function refuse_finalized_item_change();

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

-- What a void invoice had given back is taken from the credit again, even where later invoices drew it in the meantime:
-- then nothing is left until the month is billed again. So only a new draw is refused.
create trigger refuse_overdrawn_credit after insert on credit_entries
    for each row when (new.kind = 'drawn') execute function refuse_overdrawn_credit();
