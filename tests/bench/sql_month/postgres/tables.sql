-- The tables of the SQL month, with real keys. Organizations, prices, subscriptions and terms are the platform's own.
drop schema if exists sql_month cascade;
create schema sql_month;

create table sql_month.refused_usage (
    landing_file text, source text, id text, type text, subject text, time timestamptz, quantity text, data text,
    reason text not null
);

create table sql_month.usage_rollups (
    id bigint generated always as identity primary key,
    organization_id text not null references organizations (id),
    month date not null,
    meter text not null references meters (key),
    app text not null,
    region text not null,
    preset text not null,
    memory text not null,
    segment_start timestamptz not null,
    quantity numeric not null check (quantity >= 0),
    events bigint not null check (events > 0),
    unique (organization_id, month, meter, app, region, preset, memory, segment_start)
);

create table sql_month.invoices (
    id bigint generated always as identity primary key,
    organization_id text not null references organizations (id),
    month date not null,
    currency char(3) not null,
    amount numeric not null,
    total_cents bigint not null,
    unique (organization_id, month)
);

create table sql_month.invoice_items (
    id bigint generated always as identity primary key,
    invoice_id bigint not null references sql_month.invoices (id),
    kind text not null,
    product text not null,
    description text not null,
    quantity numeric not null,
    unit text not null,
    amount numeric not null,
    price_id uuid references prices (id),
    price_key text,
    meter text references meters (key),
    subscription_id uuid references subscriptions (id),
    one_off_item_id uuid references one_off_items (id),
    discount_id uuid references discounts (id),
    commitment_id uuid references commitments (id)
);
create unique index on sql_month.invoice_items (
    invoice_id, price_id, subscription_id, one_off_item_id, discount_id, commitment_id
) nulls not distinct;

-- Differences of final invoices, for the next invoice.
create table sql_month.adjustments (
    id bigint generated always as identity primary key,
    invoice_id bigint not null references sql_month.invoices (id),
    product text not null,
    description text not null,
    amount numeric not null check (amount <> 0)
);
