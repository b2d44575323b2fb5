-- Credit notes, refunds, disputes and changes of customer balances at Stripe, as they were whenever they were read. They
-- change what a customer owes or has paid, and nothing here causes them.

create table stripe_money (
    id bigint generated always as identity unique,
    object_id text not null check (object_id <> ''),
    number integer not null check (number > 0),
    kind text not null check (kind in ('credit_note', 'refund', 'dispute', 'customer_balance_transaction')),
    status text not null check (status <> ''),
    organization_id text not null references organizations (id),
    invoice_id uuid references invoices (id),
    stripe_invoice_id text,
    payment_intent text,
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    amount_cents bigint not null check (abs(amount_cents) < 1000000000000000),
    unpaid_cents bigint check (unpaid_cents >= 0 and unpaid_cents < 1000000000000000),
    refunded_cents bigint check (refunded_cents >= 0 and refunded_cents < 1000000000000000),
    credited_cents bigint check (credited_cents >= 0 and credited_cents < 1000000000000000),
    out_of_band_cents bigint check (out_of_band_cents >= 0 and out_of_band_cents < 1000000000000000),
    balance_cents bigint check (abs(balance_cents) < 1000000000000000),
    reason text,
    created_at timestamptz not null check (created_at >= '1970-01-01Z' and created_at < '2200-01-01Z'),
    read_at timestamptz not null check (read_at >= '1970-01-01Z' and read_at < '2200-01-01Z'),
    source text not null check (source in ('webhook', 'polling')),
    primary key (object_id, number),
    constraint balance_has_its_sum check ((kind = 'customer_balance_transaction') = (balance_cents is not null)),
    constraint credit_note_has_its_parts check (
        case
            when kind = 'credit_note'
                then amount_cents = unpaid_cents + refunded_cents + credited_cents + out_of_band_cents
            else num_nonnulls(unpaid_cents, refunded_cents, credited_cents, out_of_band_cents) = 0
        end
    ),
    constraint only_a_balance_falls check (amount_cents >= 0 or kind = 'customer_balance_transaction')
);
create index on stripe_money (organization_id, kind, id);
create index on stripe_money (invoice_id);

comment on table stripe_money is
'One row per state of a credit note, refund, dispute or balance change at Stripe, as read. The last number is the newest.';
comment on column stripe_money.id is 'Grows with each state that is recorded.';
comment on column stripe_money.object_id is 'Stripe''s id of the object.';
comment on column stripe_money.number is 'Counts the states of the object from 1.';
comment on column stripe_money.status is 'Stripe''s status; of a balance change its type, such as adjustment.';
comment on column stripe_money.invoice_id is 'Our invoice. Null if there is none, or if Stripe''s invoice is not the one we billed.';
comment on column stripe_money.payment_intent is 'The payment of a refund or dispute.';
comment on column stripe_money.amount_cents is 'In minor units. A balance change is below zero if it gives the customer credit.';
comment on column stripe_money.unpaid_cents is 'The part of a credit note that lowered what an open invoice asks for.';
comment on column stripe_money.refunded_cents is 'The part of a credit note that refunds pay back.';
comment on column stripe_money.credited_cents is 'The part of a credit note that is credited to the customer balance.';
comment on column stripe_money.out_of_band_cents is 'The part of a credit note that is paid back outside Stripe.';
comment on column stripe_money.balance_cents is 'The customer balance after a balance change: below zero is credit.';
comment on column stripe_money.reason is 'Stripe''s reason, or the description of a balance change.';
comment on column stripe_money.created_at is 'When the object was created at Stripe.';
comment on column stripe_money.read_at is 'When we read it in this state.';
comment on column stripe_money.source is 'What made us read it: a webhook, or a poll of the events.';

create trigger refuse_record_change before delete or update on stripe_money
for each row execute function refuse_record_change();
alter table stripe_money enable always trigger refuse_record_change;
create trigger refuse_truncate before truncate on stripe_money
for each statement execute function refuse_truncate();
alter table stripe_money enable always trigger refuse_truncate;

-- Events about these objects are applied without an invoice of ours.
alter table stripe_events drop constraint stripe_events_check1;
alter table stripe_events add constraint stripe_events_of_invoices_have_one check (
    invoice_id is not null or outcome = 'ignored' or type not like 'invoice.%'
);
