-- What Stripe asks for with an invoice, in each state in which it was read: with the customer's balance, credit notes and
-- payments. The total alone does not say it.

create table stripe_invoice_amounts (
    id bigint generated always as identity unique,
    stripe_invoice_id text not null check (stripe_invoice_id <> ''),
    number integer not null check (number > 0),
    invoice_id uuid references invoices (id),
    organization_id text not null references organizations (id),
    status text not null check (status in ('open', 'paid', 'void', 'uncollectible')),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    total_cents bigint not null check (abs(total_cents) < 1000000000000000),
    starting_balance_cents bigint not null check (abs(starting_balance_cents) < 1000000000000000),
    ending_balance_cents bigint check (abs(ending_balance_cents) < 1000000000000000),
    due_cents bigint not null check (due_cents >= 0 and due_cents < 1000000000000000),
    paid_cents bigint not null check (paid_cents >= 0 and paid_cents < 1000000000000000),
    remaining_cents bigint not null check (remaining_cents >= 0 and remaining_cents < 1000000000000000),
    out_of_band_cents bigint check (out_of_band_cents >= 0 and out_of_band_cents < 1000000000000000),
    overpaid_cents bigint not null check (overpaid_cents >= 0 and overpaid_cents < 1000000000000000),
    unpaid_credited_cents bigint not null check (
        unpaid_credited_cents >= 0 and unpaid_credited_cents < 1000000000000000
    ),
    paid_credited_cents bigint not null check (paid_credited_cents >= 0 and paid_credited_cents < 1000000000000000),
    read_at timestamptz not null check (read_at >= '1970-01-01Z' and read_at < '2200-01-01Z'),
    source text not null check (source in ('sync', 'webhook', 'polling', 'sweep')),
    primary key (stripe_invoice_id, number)
);
create index on stripe_invoice_amounts (organization_id, stripe_invoice_id, number);
create index on stripe_invoice_amounts (invoice_id, number);

comment on table stripe_invoice_amounts is
'One row per state of an invoice''s amounts at Stripe, as read. The last number is the newest. Drafts are left out.';
comment on column stripe_invoice_amounts.id is 'Grows with each state that is recorded.';
comment on column stripe_invoice_amounts.number is 'Counts the states of the Stripe invoice from 1.';
comment on column stripe_invoice_amounts.invoice_id is
'Our invoice. Null if the Stripe invoice is not the one we billed: made by hand, a duplicate, or an earlier try.';
comment on column stripe_invoice_amounts.organization_id is 'The organization of the Stripe customer.';
comment on column stripe_invoice_amounts.status is 'Stripe''s status.';
comment on column stripe_invoice_amounts.total_cents is 'What was billed, in the currency''s minor unit.';
comment on column stripe_invoice_amounts.starting_balance_cents is
'The customer balance before the invoice: below zero is credit, above zero was carried over from earlier invoices.';
comment on column stripe_invoice_amounts.ending_balance_cents is 'The customer balance after the invoice.';
comment on column stripe_invoice_amounts.due_cents is
'What Stripe asks for, paid or not: the total with the customer balance, less credit notes of unpaid amounts.';
comment on column stripe_invoice_amounts.paid_cents is 'The part of due_cents that is paid, out of band included.';
comment on column stripe_invoice_amounts.remaining_cents is 'The part of due_cents that is not paid: what Stripe asks for now.';
comment on column stripe_invoice_amounts.out_of_band_cents is
'The part of paid_cents that was paid outside Stripe. Null: Stripe''s API version did not say.';
comment on column stripe_invoice_amounts.overpaid_cents is 'What was paid beyond due_cents.';
comment on column stripe_invoice_amounts.unpaid_credited_cents is 'Credit notes issued before payment: they lowered due_cents.';
comment on column stripe_invoice_amounts.paid_credited_cents is
'Credit notes issued after payment: refunded, credited to the customer balance, or paid back out of band.';
comment on column stripe_invoice_amounts.read_at is
'The time of the state: when we read it, or when Stripe made the event that contained it.';
comment on column stripe_invoice_amounts.source is
'What it was read from: our own request, a webhook, a polled event, or the nightly comparison with Stripe.';

create trigger refuse_record_change before delete or update on stripe_invoice_amounts
for each row execute function refuse_record_change();
alter table stripe_invoice_amounts enable always trigger refuse_record_change;
create trigger refuse_truncate before truncate on stripe_invoice_amounts
for each statement execute function refuse_truncate();
alter table stripe_invoice_amounts enable always trigger refuse_truncate;

alter table stripe_money drop constraint stripe_money_source_check;
alter table stripe_money add constraint stripe_money_source_check check (
    source in ('sync', 'webhook', 'polling', 'sweep')
);
comment on column stripe_money.source is
'What made us read it: our own request, a webhook, a poll of the events, or the nightly comparison with Stripe.';
