-- name: organization_of_customer
-- One row or none: the organization of a Stripe customer, locked until the transaction ends, so that the states of its
-- objects are recorded one after the other.
select id from organizations where stripe_customer_id = :customer for no key update;

-- name: record_stripe_money
-- One row if the state is new. None if the last recorded state is equal, or was read later.
with latest as (
    select * from stripe_money where object_id = :id order by number desc limit 1
)

insert into stripe_money (
    object_id, number, kind, status, organization_id, invoice_id, stripe_invoice_id, payment_intent, currency,
    amount_cents, unpaid_cents, refunded_cents, credited_cents, out_of_band_cents, balance_cents, reason, created_at,
    read_at, source
)
select
    :id, coalesce((select number from latest), 0) + 1, :kind, :status, :organization_id,
    (select s.invoice_id from stripe_invoices as s where s.stripe_invoice_id = :stripe_invoice_id),
    :stripe_invoice_id, :payment_intent, :currency,
    :amount_cents, :unpaid_cents, :refunded_cents, :credited_cents, :out_of_band_cents, :balance_cents, :reason,
    :created_at, :read_at, :source
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
