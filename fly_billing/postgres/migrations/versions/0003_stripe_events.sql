-- What Stripe told us. The key makes it once per event; a row stands or falls with what the event changed.

create table stripe_events (
    id text primary key,
    type text not null,
    created_at timestamptz not null,
    received_at timestamptz not null,
    source text not null check (source in ('webhook', 'polling')),
    object_id text not null,
    invoice_id uuid references invoices,
    livemode boolean not null,
    idempotency_key text,
    paid_at timestamptz,
    next_attempt_at timestamptz,
    error text,
    outcome text not null check (outcome in ('applied', 'superseded', 'ignored', 'waiting', 'conflict')),
    reason text not null,
    code text,
    customer_text text,
    operator_text text,
    alerted_at timestamptz,
    recovery_told_at timestamptz,
    check ((code is null) = (operator_text is null)),
    check (outcome = 'ignored' or invoice_id is not null),
    check (outcome in ('applied', 'conflict') or code is null),
    check (alerted_at is null or code is not null),
    check (recovery_told_at is null or alerted_at is not null)
);
comment on table stripe_events is 'events of Stripe, by webhook or polling; bodies are not kept: they name people';
comment on column stripe_events.outcome is 'waiting: for our own sync, which has not finished the invoice yet';
comment on column stripe_events.code is 'what a human is told of; alerted_at: when they were';
create index on stripe_events (invoice_id, created_at);
create index on stripe_events (created_at) where outcome = 'waiting';
create index on stripe_events (code) where alerted_at is null and code is not null;

create table stripe_events_polled (
    only_row boolean primary key default true check (only_row),
    until timestamptz not null
);
comment on table stripe_events_polled is 'one row: every event that Stripe made before then was read';

create view payment_failures as
select distinct on (e.invoice_id)
    e.invoice_id, e.id as event_id, e.code, e.error, e.customer_text, e.operator_text, e.created_at as failed_at,
    e.next_attempt_at
from stripe_events as e
join invoices as i on i.id = e.invoice_id
left join stripe_invoices as s on s.invoice_id = i.id
where e.outcome = 'applied' and i.status = 'finalized' and (
    e.type = 'invoice.payment_failed'
    or (e.type = 'invoice.finalization_failed' and s.state is distinct from 'finalized')
)
order by e.invoice_id, e.created_at desc, e.received_at desc, e.id;
comment on view payment_failures is
    'invoices whose payment (or finalization in Stripe) failed last, why, and what the customer is told; gone when over';

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

create trigger refuse_truncate before truncate on stripe_events for each statement execute function refuse_truncate();
