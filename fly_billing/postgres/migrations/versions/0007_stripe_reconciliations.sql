-- What Stripe held of a month when somebody looked: so that finance sees since when both sides agree, or do not.

create table stripe_reconciliations (
    id bigint generated always as identity primary key,
    month date not null check (extract(day from month) = 1),
    swept_at timestamptz not null,
    run_id text not null,
    invoices_here integer not null check (invoices_here >= 0),
    invoices_in_stripe integer not null check (invoices_in_stripe >= 0),
    totals_here jsonb not null,
    totals_in_stripe jsonb not null,
    discrepancies jsonb not null check (jsonb_typeof(discrepancies) = 'array')
);
comment on table stripe_reconciliations is 'one row per look at a month; totals: currency -> cents, voided invoices left out';
create index on stripe_reconciliations (month, swept_at desc);
