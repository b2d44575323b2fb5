-- What a human allowed, and what was changed in Stripe for no invoice of ours.

create table sync_approvals (
    id bigint generated always as identity primary key,
    month date not null check (extract(day from month) = 1),
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    total_cents bigint not null,
    approved_by text not null check (approved_by <> ''),
    approved_at timestamptz not null
);
comment on table sync_approvals is
    'totals of months that are out of line with the month before and may be sent all the same; the newest one counts';
create index on sync_approvals (month, currency, id);

create table stripe_repairs (
    id bigint generated always as identity primary key,
    stripe_invoice_id text not null,
    claimed_invoice_id text not null,
    step text not null check (step in ('discard')),
    idempotency_key text not null,
    request_hash text not null,
    run_id text not null,
    sent_at timestamptz not null,
    answered_at timestamptz,
    outcome text check (outcome in ('applied', 'not_applied', 'unknown')),
    http_status integer,
    stripe_request_id text,
    error_code text,
    error_message text,
    check ((outcome is null) = (answered_at is null))
);
comment on table stripe_repairs is
    'changes in Stripe to what says it is ours and is no invoice here, written before they are sent (see stripe_attempts)';
create index on stripe_repairs (stripe_invoice_id, id);

create trigger refuse_truncate before truncate on sync_approvals for each statement execute function refuse_truncate();
create trigger refuse_truncate before truncate on stripe_repairs for each statement execute function refuse_truncate();
