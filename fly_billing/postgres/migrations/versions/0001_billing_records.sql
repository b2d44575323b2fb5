-- The schema is the first check: keys, foreign keys and check constraints make wrong states impossible,
-- and triggers refuse to change what was finalized.

-- Who is billed, and for what ---------------------------------------------------------------------------------------

create table organizations (
    id text primary key check (id ~ '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$' and length(id) <= 63 and id !~ '^tail-[0-9]+$'),
    name text not null check (name <> ''),
    currency char(3) not null default 'USD' check (currency ~ '^[A-Z]{3}$'),
    price_book text not null default 'fly',
    stripe_customer_id text unique,
    billing_group text not null,
    created_at timestamptz not null
);
comment on column organizations.id is 'not tail-NN: so the shared billing groups are called';
comment on column organizations.billing_group is 'key of the org partition dimension; never changes by itself';
create index on organizations (billing_group);

create table meters (
    key text primary key,
    name text not null,
    unit text not null,
    aggregation text not null check (aggregation in ('sum')),
    dimensions text[] not null default '{}'
);
comment on column meters.dimensions is 'every usage event of this meter must have these; rollups keep them apart';

create table prices (
    id uuid primary key,
    book text not null,
    key text not null,
    meter text references meters,
    product text not null,
    description text not null,
    unit text not null,
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    model text not null check (model in ('per_unit', 'graduated')),
    unit_amount numeric check (unit_amount >= 0),
    per numeric not null default 1 check (per > 0),
    tiers jsonb,
    free_allowance numeric not null default 0 check (free_allowance >= 0),
    match jsonb not null default '{}',
    effective_from timestamptz not null,
    effective_until timestamptz check (effective_until > effective_from),
    unique (book, key, effective_from),
    check ((model = 'graduated') = (tiers is not null)),
    check ((model = 'per_unit') = (unit_amount is not null))
);
comment on column prices.meter is 'null: a recurring fee per month';

create table subscriptions (
    id uuid primary key,
    organization_id text not null references organizations,
    price_key text not null,
    started_at timestamptz not null,
    ended_at timestamptz check (ended_at >= started_at)
);
create index on subscriptions (organization_id);

create table one_off_items (
    id uuid primary key,
    organization_id text not null references organizations,
    description text not null check (description <> ''),
    amount numeric not null,
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    occurred_at timestamptz not null
);
comment on column one_off_items.amount is 'below zero: a credit';
create index on one_off_items (organization_id, occurred_at);

-- Usage: what came in, and what it adds up to -----------------------------------------------------------------------

create table landing_days (
    landing_day date primary key,
    landed_at timestamptz not null,
    lake_version bigint not null
);
comment on column landing_days.lake_version is
    'version of the usage table from which on it holds this day: what was rolled up from an earlier one lacks it';
comment on table landing_days is
    'days whose folder was landed, with or without files; a month is closed only when all its days were landed after they ended';

create table landed_months (
    landing_day date references landing_days,
    month date not null check (extract(day from month) = 1),
    accepted bigint not null check (accepted >= 0),
    primary key (landing_day, month)
);
comment on table landed_months is
    'of which months a day brought accepted usage (0: it did once, and no longer does); so late usage is noticed';
create index on landed_months (month);

create table usage_files (
    landing_day date not null references landing_days,
    path text not null,
    sha256 text not null,
    bytes bigint not null check (bytes >= 0),
    landed bigint not null check (landed >= 0),
    accepted bigint not null check (accepted >= 0),
    duplicate bigint not null check (duplicate >= 0),
    rejected bigint not null check (rejected >= 0),
    primary key (landing_day, path),
    constraint every_row_is_accounted_for check (landed = accepted + duplicate + rejected)
);

create table rejected_usage (
    landing_day date not null,
    path text not null,
    line bigint not null,
    reason text not null,
    message text not null,
    source text,
    event_id text,
    meter text,
    organization_id text,
    raw text not null,
    primary key (landing_day, path, line),
    foreign key (landing_day, path) references usage_files on delete cascade
);
comment on column rejected_usage.line is '1-based line (JSONL, CSV) or row (Parquet); 0: the file itself';
comment on column rejected_usage.meter is 'as the row has it, known or not; so too organization_id';
create index on rejected_usage (reason);

create table usage_snapshots (
    id uuid primary key,
    organization_id text not null references organizations,
    month date not null check (extract(day from month) = 1),
    lake_version bigint not null,
    fingerprint text not null,
    events bigint not null check (events >= 0),
    rolled_up_at timestamptz not null,
    is_current boolean not null,
    unique (id, organization_id, month)
);
comment on table usage_snapshots is
    'an organization''s usage of a month as one version of the usage table had it; an invoice names the one it billed';
create unique index one_current_snapshot on usage_snapshots (month, organization_id) where is_current;

create table usage_rollups (
    id uuid primary key,
    snapshot_id uuid not null references usage_snapshots on delete cascade,
    meter text not null references meters,
    dimensions jsonb not null,
    segment_start timestamptz not null,
    segment_end timestamptz not null check (segment_end > segment_start),
    quantity numeric not null check (quantity >= 0),
    events bigint not null check (events > 0),
    unique (snapshot_id, meter, dimensions, segment_start)
);

-- Invoices ----------------------------------------------------------------------------------------------------------

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
    unique (organization_id, month, revision),
    foreign key (usage_snapshot_id, organization_id, month) references usage_snapshots (id, organization_id, month),
    check ((status = 'open') = (finalized_at is null)),
    check (status = 'open' or due_on is not null),
    check ((status = 'paid') = (paid_at is not null))
);
comment on column invoices.amount is 'the exact sum of the items; total_cents is this, rounded half-up once';
comment on column invoices.origin is 'imported: made and settled before fly_billing; never synced';
create index on invoices (month, status);
create index on invoices (usage_snapshot_id);

create table invoice_items (
    id uuid primary key,
    invoice_id uuid not null references invoices on delete cascade,
    position integer not null check (position > 0),
    kind text not null check (kind in ('usage', 'subscription', 'one_off')),
    product text not null,
    description text not null,
    quantity numeric not null,
    unit text not null,
    amount numeric not null,
    amount_cents bigint not null,
    price_id uuid references prices,
    subscription_id uuid references subscriptions,
    one_off_item_id uuid unique references one_off_items,
    detail jsonb not null default '{}',
    unique (invoice_id, position),
    unique (id, invoice_id),
    check ((kind = 'usage') = (price_id is not null and subscription_id is null)),
    check ((kind = 'subscription') = (subscription_id is not null)),
    check ((kind = 'one_off') = (one_off_item_id is not null))
);
create index on invoice_items (price_id);
create unique index one_item_per_subscription on invoice_items (invoice_id, subscription_id);

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

-- The Stripe journal ------------------------------------------------------------------------------------------------

create table stripe_invoices (
    invoice_id uuid primary key references invoices,
    state text not null check (state in (
        'pending', 'drafted', 'filled', 'verified', 'finalized', 'skipped_zero', 'unknown', 'failed', 'needs_attention'
    )),
    step text check (step in ('create_customer', 'create', 'add_lines', 'verify', 'finalize', 'discard')),
    generation integer not null default 0 check (generation >= 0),
    stripe_invoice_id text unique,
    stripe_total_cents bigint,
    hosted_invoice_url text,
    failure_code text,
    failure_customer_text text,
    failure_operator_text text,
    retryable boolean,
    run_id text,
    updated_at timestamptz not null,
    finalized_at timestamptz,
    alerted_code text,
    check ((state = 'finalized') = (finalized_at is not null)),
    check (state not in ('drafted', 'filled', 'verified', 'finalized') or stripe_invoice_id is not null),
    check (state not in ('unknown', 'failed', 'needs_attention') or (failure_code is not null and step is not null)),
    check (state in ('unknown', 'failed', 'needs_attention') or failure_code is null)
);
comment on column stripe_invoices.alerted_code is
    'the failure that a human was told of; null again once they were told that it recovered';
create index on stripe_invoices (state) where state <> 'finalized';

create table stripe_attempts (
    id bigint generated always as identity primary key,
    invoice_id uuid not null references invoices,
    step text not null,
    generation integer not null,
    idempotency_key text not null,
    request_hash text not null,
    sent_at timestamptz not null,
    answered_at timestamptz,
    outcome text check (outcome in ('applied', 'not_applied', 'unknown')),
    http_status integer,
    stripe_request_id text,
    error_code text,
    error_message text,
    check ((outcome is null) = (answered_at is null))
);
comment on table stripe_attempts is
    'every request to Stripe, written before it is sent; outcome null: in flight, or the process died: unknown';
create index on stripe_attempts (invoice_id, id);
create index on stripe_attempts (idempotency_key);

-- What is finalized stays as it is ----------------------------------------------------------------------------------

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

create function refuse_finalized_item_change() returns trigger language plpgsql as $$
declare
    touched uuid;
begin
    select i.id into touched from changed_rows c join invoices i on i.id = c.invoice_id where i.status <> 'open' limit 1;
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

create function refuse_billed_rollup_change() returns trigger language plpgsql as $$
declare
    touched uuid;
begin
    select i.id into touched from changed_rows c join invoices i on i.usage_snapshot_id = c.snapshot_id
    where i.status <> 'open' limit 1;
    if found then
        raise exception 'invoice % is finalized: the usage it billed can not be changed', touched
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

create trigger refuse_insert_of_billed after insert on usage_rollups
    referencing new table as changed_rows for each statement execute function refuse_billed_rollup_change();
create trigger refuse_delete_of_billed after delete on usage_rollups
    referencing old table as changed_rows for each statement execute function refuse_billed_rollup_change();
create trigger refuse_update_of_billed after update on usage_rollups
    referencing old table as changed_rows for each statement execute function refuse_billed_rollup_change();
create trigger refuse_update_into_billed after update on usage_rollups
    referencing new table as changed_rows for each statement execute function refuse_billed_rollup_change();

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

create function refuse_truncate() returns trigger language plpgsql as $$
begin
    raise exception 'billing records are never truncated' using errcode = 'integrity_constraint_violation';
end $$;

create trigger refuse_truncate before truncate on invoices for each statement execute function refuse_truncate();
create trigger refuse_truncate before truncate on invoice_items for each statement execute function refuse_truncate();
create trigger refuse_truncate before truncate on invoice_item_rollups
    for each statement execute function refuse_truncate();
create trigger refuse_truncate before truncate on usage_snapshots for each statement execute function refuse_truncate();
create trigger refuse_truncate before truncate on usage_rollups for each statement execute function refuse_truncate();
create trigger refuse_truncate before truncate on stripe_invoices for each statement execute function refuse_truncate();
create trigger refuse_truncate before truncate on stripe_attempts for each statement execute function refuse_truncate();
