-- name: organization_of_customer
-- One row or none: the organization of a Stripe customer, locked until the transaction ends, so that the states of its
-- objects are recorded one after the other.
select id from organizations where stripe_customer_id = :customer for no key update;

-- name: record_stripe_money
-- One row if the state is new. None if the last recorded state is equal, or was read later. The tax and the lines of a
-- credit note never change. Its invoice takes back all tax when it becomes void, so a credit note that is read after that
-- has none.
with latest as (
    select * from stripe_money where object_id = :id order by number desc limit 1
)

insert into stripe_money (
    object_id, number, kind, status, organization_id, invoice_id, stripe_invoice_id, payment_intent, currency,
    amount_cents, unpaid_cents, refunded_cents, credited_cents, out_of_band_cents, tax_cents, credited_lines,
    balance_cents, reason, created_at, read_at, source
)
select
    :id, coalesce((select number from latest), 0) + 1, :kind, :status, :organization_id,
    (select s.invoice_id from stripe_invoices as s where s.stripe_invoice_id = :stripe_invoice_id),
    :stripe_invoice_id, :payment_intent, :currency,
    :amount_cents, :unpaid_cents, :refunded_cents, :credited_cents, :out_of_band_cents,
    case
        when exists (select from latest) then (select tax_cents from latest)
        when exists (
            select
            from stripe_invoices as s
            join invoices as i on i.id = s.invoice_id
            where s.stripe_invoice_id = :stripe_invoice_id and i.status = 'void'
        ) then case :kind when 'credit_note' then 0 end
        else :tax_cents
    end,
    case
        when exists (select from latest) then (select credited_lines from latest)
        else cast(:credited_lines as jsonb)
    end,
    :balance_cents, :reason, :created_at, :read_at, :source
where
    not exists (
        select
        from latest
        where
            read_at > :read_at
            or (status, amount_cents, unpaid_cents, refunded_cents, credited_cents, out_of_band_cents)
            is not distinct from (
                cast(:status as text), cast(:amount_cents as bigint), cast(:unpaid_cents as bigint),
                cast(:refunded_cents as bigint), cast(:credited_cents as bigint), cast(:out_of_band_cents as bigint)
            )
    )
returning number;

-- name: record_deleted_balances
-- One row per currency with a balance, as last read: the change that ends it, because its customer was deleted at Stripe
-- or replaced here by :customer.
insert into stripe_money (
    object_id, number, kind, status, organization_id, currency, amount_cents, balance_cents, reason, created_at,
    read_at, source
)
select
    'deleted ' || :customer || ' ' || n.currency, 1, 'customer_balance_transaction', :status, n.organization_id,
    n.currency, -n.balance_cents, 0, 'the balance ended with an earlier customer, or with ' || :customer, :deleted_at,
    :read_at, :source
from (
    select distinct on (m.currency) m.organization_id, m.currency, m.balance_cents
    from stripe_money as m
    where m.organization_id = :organization_id and m.kind = 'customer_balance_transaction'
    order by m.currency, m.id desc
) as n
where n.balance_cents <> 0
on conflict do nothing
returning object_id;

-- name: organization_of_stripe_invoice
-- One row or none: the organization that a Stripe invoice is for, by our journal, or else by its customer. Locked until
-- the transaction ends, so that the states of its objects are recorded one after the other.
select o.id
from organizations as o
where o.id = coalesce(
    (
        select i.organization_id
        from stripe_invoices as s
        join invoices as i on i.id = s.invoice_id
        where s.stripe_invoice_id = :stripe_invoice_id
    ),
    (select c.id from organizations as c where c.stripe_customer_id = :customer)
)
for no key update;

-- name: record_asked_amounts
-- One row if the state is new. None if the last recorded state is equal or newer: statuses only rise, and of two states
-- with the same status the later one is newer.
with latest as (
    select *, array_position(array['open', 'uncollectible', 'paid', 'void'], status) as rank
    from stripe_invoice_amounts where stripe_invoice_id = :stripe_invoice_id order by number desc limit 1
),

ours as (
    select s.invoice_id from stripe_invoices as s where s.stripe_invoice_id = :stripe_invoice_id
)

insert into stripe_invoice_amounts (
    stripe_invoice_id, number, invoice_id, organization_id, status, currency, total_cents, starting_balance_cents,
    ending_balance_cents, due_cents, paid_cents, remaining_cents, out_of_band_cents, overpaid_cents,
    unpaid_credited_cents, paid_credited_cents, read_at, source, happened_at
)
select
    :stripe_invoice_id, coalesce((select l.number from latest as l), 0) + 1, (select o.invoice_id from ours as o),
    :organization_id, :status, :currency, :total_cents, :starting_balance_cents, :ending_balance_cents, :due_cents,
    :paid_cents, :remaining_cents, :out_of_band_cents, :overpaid_cents, :unpaid_credited_cents, :paid_credited_cents,
    :read_at, :source, cast(:happened_at as timestamptz)
where
    not exists (
        select
        from latest as l
        where
            l.rank > array_position(array['open', 'uncollectible', 'paid', 'void'], cast(:status as text))
            or (l.status = :status and l.read_at > :read_at)
            or (
                l.status, l.total_cents, l.starting_balance_cents, l.ending_balance_cents, l.due_cents, l.paid_cents,
                l.remaining_cents, l.out_of_band_cents, l.overpaid_cents, l.unpaid_credited_cents,
                l.paid_credited_cents, l.invoice_id
            )
            is not distinct from (
                cast(:status as text), cast(:total_cents as bigint), cast(:starting_balance_cents as bigint),
                cast(:ending_balance_cents as bigint), cast(:due_cents as bigint), cast(:paid_cents as bigint),
                cast(:remaining_cents as bigint), cast(:out_of_band_cents as bigint), cast(:overpaid_cents as bigint),
                cast(:unpaid_credited_cents as bigint), cast(:paid_credited_cents as bigint),
                (select o.invoice_id from ours as o)
            )
    )
returning number;

-- name: customers_of_organizations
-- One row per organization with a customer in Stripe.
select stripe_customer_id, id as organization_id from organizations where stripe_customer_id is not null;

-- name: known_asked_amounts
-- One row per Stripe invoice of this list with a recorded state: the newest one, if it names the invoice that we billed.
select distinct on (a.stripe_invoice_id)
    a.stripe_invoice_id, a.status, a.currency, a.total_cents, a.starting_balance_cents, a.ending_balance_cents,
    a.due_cents, a.paid_cents, a.remaining_cents, a.out_of_band_cents, a.overpaid_cents, a.unpaid_credited_cents,
    a.paid_credited_cents
from stripe_invoice_amounts as a
left join stripe_invoices as s on s.stripe_invoice_id = a.stripe_invoice_id
where a.stripe_invoice_id = any (:ids) and a.invoice_id is not distinct from s.invoice_id
order by a.stripe_invoice_id, a.number desc;

-- name: known_stripe_money
-- One row per object of this list with a recorded state: the newest one.
select distinct on (object_id)
    object_id as id, status, amount_cents, unpaid_cents, refunded_cents, credited_cents, out_of_band_cents
from stripe_money
where object_id = any (:ids)
order by object_id, number desc;

-- name: unsettled_stripe_money
-- One row per dispute or refund of this kind whose newest recorded state is not its last one.
select n.object_id
from (
    select distinct on (m.object_id) m.object_id, m.status
    from stripe_money as m
    where m.kind = :kind and m.kind in ('dispute', 'refund')
    order by m.object_id, m.number desc
) as n
where n.status not in ('won', 'lost', 'warning_closed', 'prevented', 'succeeded', 'failed', 'canceled')
order by n.object_id;

-- name: known_balances
-- One row per organization and currency with a recorded balance change: the balance after the newest one.
select distinct on (organization_id, currency) organization_id, currency, balance_cents
from stripe_money
where kind = 'customer_balance_transaction'
order by organization_id, currency, id desc;

-- name: has_stripe_customers
-- One row: whether an organization has a customer in Stripe.
select exists (select from organizations where stripe_customer_id is not null);
