-- What an invoice says besides its items: who the customer is, how it pays, what its tax office needs. An organization's
-- details are current; a final invoice keeps those of its time.

create table billing_details (
    organization_id text primary key references organizations,
    legal_name text check (legal_name ~ '\S' and length(legal_name) <= 256 and legal_name !~ '[[:cntrl:]]'),
    email text check (email ~ '^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+$' and length(email) <= 512),
    line1 text check (line1 ~ '\S' and length(line1) <= 500 and line1 !~ '[[:cntrl:]]'),
    line2 text check (line2 ~ '\S' and length(line2) <= 500 and line2 !~ '[[:cntrl:]]'),
    postal_code text check (postal_code ~ '\S' and length(postal_code) <= 50 and postal_code !~ '[[:cntrl:]]'),
    city text check (city ~ '\S' and length(city) <= 200 and city !~ '[[:cntrl:]]'),
    state text check (state ~ '\S' and length(state) <= 200 and state !~ '[[:cntrl:]]'),
    country text check (country ~ '^[A-Z]{2}$'),
    tax_ids text[] not null default '{}'
    constraint tax_ids_have_a_type check (
        cardinality(tax_ids) <= 5 and are_keys(tax_ids)
        and array_to_string(tax_ids, E'\n') ~ '^([a-z]{2}_[a-z_]+:\S[^\n]*(\n|$))*$'
    ),
    collection text not null default 'charge_automatically'
    check (collection in ('charge_automatically', 'send_invoice')),
    net_days integer check (net_days between 0 and 365),
    purchase_order text
    check (purchase_order ~ '\S' and length(purchase_order) <= 140 and purchase_order !~ '[[:cntrl:]]'),
    memo text check (memo ~ '\S' and length(memo) <= 1000),
    footer text check (footer ~ '\S' and length(footer) <= 2500),
    constraint a_sent_invoice_has_an_address check (collection <> 'send_invoice' or email is not null),
    constraint an_address_has_a_country check (country is not null or num_nonnulls(line1, line2, postal_code, city, state) = 0)
);
comment on table billing_details is
'One row per organization: its details for the invoices that become final from now on. Final invoices keep theirs.';
comment on column billing_details.legal_name is 'The name on invoices. Null: the organization''s name.';
comment on column billing_details.email is 'Stripe sends invoices and receipts there. Null: the customer''s address in Stripe stays.';
comment on column billing_details.line1 is 'Street and number.';
comment on column billing_details.line2 is 'The rest of the street address.';
comment on column billing_details.country is 'ISO 3166, as DE. Needed for an address.';
comment on column billing_details.tax_ids is 'At most five, each as Stripe''s type, a colon and the value: eu_vat:DE123456789.';
comment on column billing_details.collection is
'charge_automatically: Stripe charges the customer''s payment method; send_invoice: Stripe mails the invoice.';
comment on column billing_details.net_days is 'Days from finalization to the due date. Null: the setting FLY_BILLING_DUE_DAYS.';
comment on column billing_details.purchase_order is 'The customer''s order number, shown on each invoice.';
comment on column billing_details.memo is 'A text for the customer on each invoice.';
comment on column billing_details.footer is 'The text below each invoice.';

create trigger refuse_truncate before truncate on billing_details
for each statement execute function refuse_truncate();
alter table billing_details enable always trigger refuse_truncate;

create table invoice_details (
    invoice_id uuid primary key references invoices,
    name text not null check (name <> ''),
    legal_name text,
    email text,
    line1 text,
    line2 text,
    postal_code text,
    city text,
    state text,
    country text,
    tax_ids text[] not null,
    collection text not null check (collection in ('charge_automatically', 'send_invoice')),
    net_days integer check (net_days between 0 and 365),
    purchase_order text,
    memo text,
    footer text
);
comment on table invoice_details is
'One row per final invoice: the customer''s billing details at that time. Invoices that were final before have none.';
comment on column invoice_details.name is 'The name on the invoice.';
comment on column invoice_details.legal_name is 'As in billing_details.';
comment on column invoice_details.email is 'As in billing_details.';
comment on column invoice_details.line1 is 'As in billing_details.';
comment on column invoice_details.line2 is 'As in billing_details.';
comment on column invoice_details.postal_code is 'As in billing_details.';
comment on column invoice_details.city is 'As in billing_details.';
comment on column invoice_details.state is 'As in billing_details.';
comment on column invoice_details.country is 'As in billing_details.';
comment on column invoice_details.tax_ids is 'As in billing_details.';
comment on column invoice_details.collection is 'As in billing_details.';
comment on column invoice_details.net_days is 'Days from finalization to the due date; null if the setting decided.';
comment on column invoice_details.purchase_order is 'As in billing_details.';
comment on column invoice_details.memo is 'As in billing_details.';
comment on column invoice_details.footer is 'As in billing_details.';

create function keep_invoice_details() returns trigger language plpgsql as $$
begin
    if not exists (select from new_invoices where status = 'finalized') then
        return null;
    end if;
    insert into invoice_details (
        invoice_id, name, legal_name, email, line1, line2, postal_code, city, state, country, tax_ids, collection,
        net_days, purchase_order, memo, footer
    )
    select
        n.id, coalesce(d.legal_name, g.name), d.legal_name, d.email, d.line1, d.line2, d.postal_code, d.city, d.state,
        d.country, coalesce(d.tax_ids, '{}'), coalesce(d.collection, 'charge_automatically'), d.net_days,
        d.purchase_order, d.memo, d.footer
    from new_invoices as n
    join old_invoices as o on o.id = n.id and o.status = 'open'
    join organizations as g on g.id = n.organization_id
    left join billing_details as d on d.organization_id = n.organization_id
    where n.status = 'finalized';
    return null;
end $$;
create trigger keep_invoice_details after update on invoices
referencing old table as old_invoices new table as new_invoices
for each statement execute function keep_invoice_details();
alter table invoices enable always trigger keep_invoice_details;

-- Details that Stripe refused may be corrected until it has an invoice with them.
create function refuse_change_of_details() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and new.invoice_id = old.invoice_id and exists (
        select from stripe_invoices as s
        where s.invoice_id = old.invoice_id and s.stripe_invoice_id is null
            and s.step in ('create_customer', 'update_customer', 'add_tax_id', 'remove_tax_id', 'create')
            and s.state in ('failed', 'needs_attention')
    ) then
        return new;
    end if;
    raise exception 'invoice_details are kept as they were when the invoice became final'
        using errcode = 'integrity_constraint_violation',
        hint = 'change billing_details: later invoices have the new details';
end $$;
create trigger refuse_change_of_details before delete or update on invoice_details
for each row execute function refuse_change_of_details();
alter table invoice_details enable always trigger refuse_change_of_details;
create trigger refuse_truncate before truncate on invoice_details
for each statement execute function refuse_truncate();
alter table invoice_details enable always trigger refuse_truncate;

-- The details that Stripe's customer has of us: what differs from them is sent before the next invoice.
create table stripe_customers (
    organization_id text primary key references organizations,
    sent jsonb not null constraint sent_is_an_object check (jsonb_typeof(sent) = 'object'),
    sent_at timestamptz not null
    constraint sent_at_is_a_time check (sent_at >= '1970-01-01Z' and sent_at < '2200-01-01Z')
);
comment on table stripe_customers is
'One row per organization whose details Stripe''s customer has. Fields that we never sent are left alone there.';
comment on column stripe_customers.sent is 'The details that were sent, by the names of Stripe''s parameters, and tax_ids.';
comment on column stripe_customers.sent_at is 'When they were sent.';
create trigger refuse_truncate before truncate on stripe_customers
for each statement execute function refuse_truncate();
alter table stripe_customers enable always trigger refuse_truncate;

-- The part of each tax that falls on each item: [position of the item, taxed cents, tax in cents].
alter table invoice_taxes add column shares jsonb
constraint shares_is_an_array check (jsonb_typeof(shares) = 'array');
comment on column invoice_taxes.shares is
'The tax by item: [position, taxed cents, tax cents]. Null on invoices that were final before this was recorded.';

-- A charge for a time of its own, such as a reserved year.
alter table one_off_items
add column period_start timestamptz
constraint period_start_is_a_time check (period_start >= '1970-01-01Z' and period_start < '2200-01-01Z'),
add column period_end timestamptz
constraint period_end_is_a_time check (period_end >= '1970-01-01Z' and period_end < '2200-01-01Z'),
add constraint period_has_two_ends check ((period_start is null) = (period_end is null)),
add constraint period_is_some_time check (period_end > period_start);
comment on column one_off_items.period_start is
'The time that it is for: [period_start, period_end), as for a reserved year. Null: the month that bills it.';
comment on column one_off_items.period_end is 'The end of that time.';
comment on column invoice_items.period_start is
'The time that a fee or a one-off item is for: [period_start, period_end). Null: the billed month, or the corrected one.';

alter table stripe_invoices
add column stripe_number text check (stripe_number <> ''),
add column invoice_pdf_url text check (invoice_pdf_url <> ''),
add column stripe_due_on date
constraint stripe_due_on_is_a_day check (stripe_due_on >= '1970-01-01' and stripe_due_on < '2200-01-01');
comment on column stripe_invoices.stripe_number is 'The invoice''s number in Stripe: ours, unless it is too long there.';
comment on column stripe_invoices.invoice_pdf_url is 'Stripe''s PDF of the invoice.';
comment on column stripe_invoices.stripe_due_on is 'The due date in Stripe, of an invoice that Stripe mails.';
alter table stripe_invoices drop constraint stripe_invoices_step_check;
alter table stripe_invoices add constraint stripe_invoices_step_check check (
    step in (
        'create_customer', 'update_customer', 'add_tax_id', 'remove_tax_id', 'create', 'add_lines', 'verify', 'finalize',
        'discard'
    )
);

drop trigger refuse_other_change on stripe_invoices;
create trigger refuse_other_change before update or delete on stripe_invoices
for each row execute function refuse_other_change(
    '{state,step,generation,stripe_invoice_id,stripe_total_cents,stripe_due_cents,stripe_balance_cents,'
    'hosted_invoice_url,invoice_pdf_url,stripe_number,stripe_due_on,failure_code,failure_customer_text,'
    'failure_operator_text,retryable,run_id,updated_at,finalized_at,alerted_code}'
);
alter table stripe_invoices enable always trigger refuse_other_change;
