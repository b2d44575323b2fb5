-- Invoices and their life. A finalized invoice stays as it is.

create table invoices (
    id uuid primary key,
    organization_id text not null references organizations,
    month date not null check (extract(day from month) = 1),
    revision integer not null default 0 check (revision >= 0),
    origin text not null default 'billed' check (origin in ('billed', 'imported')),
    status text not null check (status in ('open', 'finalized', 'paid', 'void', 'uncollectible')),
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    amount numeric not null,
    total_cents bigint not null,
    usage_snapshot_id uuid,
    computed_at timestamptz not null,
    finalized_at timestamptz,
    due_on date,
    paid_at timestamptz,
    number integer check (number > 0),
    unique (organization_id, month, revision),
    foreign key (usage_snapshot_id, organization_id, month) references usage_snapshots (id, organization_id, month),
    check ((status = 'open') = (finalized_at is null)),
    check (status = 'open' or due_on is not null),
    check ((status = 'paid') = (paid_at is not null)),
    constraint numbered_when_final check ((status = 'open') = (number is null)),
    constraint one_number_each unique (organization_id, number)
);
comment on column invoices.origin is 'imported: made and settled before fly_billing; never synced';
comment on column invoices.amount is 'the exact sum of the items; total_cents is this, rounded half-up once';
comment on column invoices.number is 'gapless per organization, given when it is finalized; void ones keep theirs';
create index on invoices (usage_snapshot_id);
-- Includes what a month's total needs.
create index invoices_by_month on invoices (month, status, currency) include (total_cents);
create unique index one_invoice_per_organization_and_month on invoices (organization_id, month) where status <> 'void';
comment on index one_invoice_per_organization_and_month is
    'billed or imported, whatever its revision: another one is possible only after this one is void';

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

create table billing_failures (
    organization_id text not null references organizations,
    month date not null,
    code text not null,
    customer_text text not null,
    operator_text text not null,
    retryable boolean not null,
    run_id text not null,
    failed_at timestamptz not null,
    alerted_code text,
    primary key (organization_id, month)
);
comment on table billing_failures is 'organizations whose invoice of a month can''t be computed now; gone when it can';

create function refuse_finalized_invoice_change() returns trigger language plpgsql as $$
declare
    may_change constant text[] := array['status', 'paid_at'];
begin
    if old.status = 'open' then
        return case when tg_op = 'DELETE' then old else new end;
    end if;
    if tg_op = 'DELETE' then
        raise exception 'invoice % of % for % is %: it can not be deleted', old.id, old.organization_id, old.month, old.status
            using errcode = 'integrity_constraint_violation';
    end if;
    if to_jsonb(new) - may_change <> to_jsonb(old) - may_change or new.status = 'open' then
        raise exception 'invoice % of % for % is %: it can not be changed', old.id, old.organization_id, old.month, old.status
            using errcode = 'integrity_constraint_violation',
                  hint = 'corrections are adjustments on the open month or a credit note';
    end if;
    return new;
end $$;

create trigger refuse_finalized_invoice_change before update or delete on invoices
    for each row execute function refuse_finalized_invoice_change();

create function refuse_unbalanced_finalization() returns trigger language plpgsql as $$
declare
    items_amount numeric;
    items_cents bigint;
begin
    select coalesce(sum(amount), 0), coalesce(sum(amount_cents), 0) into items_amount, items_cents
    from invoice_items where invoice_id = new.id;
    if items_amount <> new.amount or items_cents <> new.total_cents then
        raise exception 'invoice % of % for %: its items add up to % (% cents), its total is % (% cents)',
            new.id, new.organization_id, new.month, items_amount, items_cents, new.amount, new.total_cents
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

create trigger refuse_unbalanced_finalization before update on invoices
    for each row when (old.status = 'open' and new.status <> 'open') execute function refuse_unbalanced_finalization();

-- Only an open invoice can be inserted: finalizing is always the guarded step above.
create function refuse_invoice_born_finalized() returns trigger language plpgsql as $$
begin
    raise exception 'invoice % must be inserted as open and then finalized', new.id
        using errcode = 'integrity_constraint_violation';
end $$;

create trigger refuse_invoice_born_finalized before insert on invoices
    for each row when (new.status <> 'open') execute function refuse_invoice_born_finalized();

-- Stripe's own rules: paid and void are final, uncollectible can still be paid or voided, nothing is reopened.
create function refuse_wrong_invoice_transition() returns trigger language plpgsql as $$
begin
    if (old.status, new.status) not in (
        ('open', 'finalized'), ('finalized', 'paid'), ('finalized', 'void'), ('finalized', 'uncollectible'),
        ('uncollectible', 'paid'), ('uncollectible', 'void')
    ) then
        raise exception 'invoice % of % for % is %: it can not become %',
            old.id, old.organization_id, old.month, old.status, new.status
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

-- Named to fire after refuse_finalized_invoice_change, whose words say more about a finalized invoice.
create trigger refuse_wrong_invoice_transition before update of status on invoices
    for each row when (old.status <> new.status) execute function refuse_wrong_invoice_transition();

create function refuse_paid_at_change() returns trigger language plpgsql as $$
begin
    raise exception 'invoice % of % for % was paid at %: that can not be changed',
        old.id, old.organization_id, old.month, old.paid_at
        using errcode = 'integrity_constraint_violation';
end $$;

create trigger refuse_paid_at_change before update of paid_at on invoices
    for each row when (old.status = 'paid' and new.status = 'paid' and new.paid_at <> old.paid_at)
    execute function refuse_paid_at_change();

-- Numbers are gapless, so a number is given only when an invoice is finalized.
create function number_invoice() returns trigger language plpgsql as $$
begin
    select coalesce(max(number), 0) + 1 into new.number from invoices where organization_id = new.organization_id;
    return new;
end $$;

-- Before the trigger that compares old and new, in the order of names.
create trigger number_invoice before update on invoices
    for each row when (old.status = 'open' and new.status <> 'open') execute function number_invoice();

-- An organization whose payer is billed for it must not be billed itself as well.
create function refuse_final_invoice_of_linked() returns trigger language plpgsql as $$
declare
    payer text;
begin
    select l.payer_id into payer
    from organization_links as l
    where l.organization_id = new.organization_id and daterange(l.first_month, l.last_month, '[]') @> new.month;
    if found then
        raise exception 'in % % is on the invoice of its payer %: it can not have a final invoice itself',
            to_char(new.month, 'YYYY-MM'), new.organization_id, payer
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

create trigger refuse_final_invoice_of_linked before update on invoices
    for each row when (old.status = 'open' and new.status <> 'open') execute function refuse_final_invoice_of_linked();

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
        select credit_grant_id, case when amount < 0 then 'drawn' else 'given_back' end, sum(amount), new.id
        from invoice_items where invoice_id = new.id and credit_grant_id is not null
        group by 1, 2;
    end if;
    if new.status = 'void' then
        update invoice_items set is_void = true where invoice_id = new.id;
        insert into credit_entries (grant_id, kind, amount, invoice_id)
        select grant_id, 'returned', -sum(amount), new.id
        from credit_entries where invoice_id = new.id and kind in ('drawn', 'given_back')
        group by grant_id
        having sum(amount) <> 0;
    end if;
    return null;
end $$;

create trigger follow_invoice_change after update on invoices
    for each row when (old.status <> new.status) execute function follow_invoice_change();
