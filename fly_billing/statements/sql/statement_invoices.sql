-- One row per month and revision that the statement lists, of those in which the organization has an invoice of its own,
-- or its payer has one, or billing failed. The newest month is first; in a month, void invoices are last. Listed are the
-- :newest months (all if it is null), :shown with its neighbours, and every month that may count in an amount owed, or
-- whose billing failed. The others are counted in `earlier_months`, the same in each row.
-- If another organization pays, `total_cents` is the organization's own share; the due date, the state in Stripe and the
-- customer are null, as only the payer sees them. The details are those of the finalization; `has_details` is false if
-- there are none. `trouble` is a sentence for the customer: :waiting if the invoice was finalized before :late_since and
-- is not in Stripe, whatever the reason.
with holders as (
    select id as holder_id, name as holder_name, daterange(null, null) as months, false as is_linked
    from organizations where id = :organization_id
    union all
    select payer.id, payer.name, daterange(l.first_month, l.last_month, '[]'), true
    from organization_links as l
    join organizations as payer on payer.id = l.payer_id
    where l.organization_id = :organization_id
),

lines as materialized (
    select h.holder_id, h.holder_name, h.is_linked, m.*
    from holders as h
    join lateral (
        select
            coalesce(invoice.month, failure.month) as month, invoice.id, invoice.status, invoice.currency,
            invoice.total_cents, failure.customer_text as failure_text
        from (
            select id, month, status, currency, total_cents from invoices where organization_id = h.holder_id
        ) as invoice
        full join (select month, customer_text from billing_failures where organization_id = h.holder_id) as failure
            on failure.month = invoice.month
    ) as m on h.months @> m.month
),

-- In a currency without an entry in the ledger, every invoice counts (`rules.balance`).
booked as (
    select own.currency
    from (select distinct currency from lines where not is_linked) as own
    where exists (
        select from ledger_entries as e where e.organization_id = :organization_id and e.currency = own.currency
    )
),

-- A payer's invoice is settled for the organization once it is final: whether it is paid is the payer's affair.
settled as (
    select
        month, row_number() over (order by month desc) as place,
        bool_and((
            failure_text is null
            and case
                when is_linked then status <> 'open'
                when total_cents = 0 then status in ('finalized', 'paid', 'void')
                else status in ('paid', 'void') and currency in (select currency from booked)
            end
        ) is true) as is_settled
    from lines
    group by month
),

listing as materialized (
    select
        s.month,
        not s.is_settled or cast(:newest as integer) is null or s.place <= cast(:newest as integer)
        or coalesce(
            abs(s.place - (select shown.place from settled as shown where shown.month = cast(:shown as date))) <= 1,
            false
        ) as is_listed
    from settled as s
)

select
    i.id, m.month, m.holder_id, m.is_linked, m.holder_name, i.status, i.number,
    case when i.id is null then (select currency from organizations where id = :organization_id) else i.currency end
        as currency,
    case when m.is_linked then coalesce(own.total_cents, 0) else i.total_cents end as total_cents,
    coalesce(
        i.finalized_at,
        case when confirmed.confirmed_at > i.computed_at then confirmed.confirmed_at else i.computed_at end
    ) as as_of,
    case when not m.is_linked then coalesce(s.stripe_due_on, i.due_on) end as due_on,
    s.stripe_invoice_id, s.stripe_due_cents, s.stripe_balance_cents, s.finalized_at as stripe_finalized_at,
    noted.noted_cents as stripe_noted_cents,
    case when not m.is_linked and i.status in ('finalized', 'uncollectible') then part_paid_of_invoice(i.id) end
        as stripe_part_paid_cents,
    not m.is_linked and i.origin = 'billed' and i.status = 'finalized' and i.total_cents <> 0
        and coalesce(s.state, 'pending') not in ('finalized', 'skipped_zero') as is_waiting,
    s.hosted_invoice_url, s.invoice_pdf_url, s.stripe_number,
    coalesce(
        m.failure_text,
        case
            when m.is_linked then null
            when s.failure_customer_text is not null then s.failure_customer_text
            when p.customer_text is not null then p.customer_text
            when i.status = 'finalized' and i.origin = 'billed' and i.total_cents <> 0 and i.finalized_at < :late_since
                and coalesce(s.state, 'pending') not in ('finalized', 'skipped_zero')
            then :waiting
        end
    ) as trouble,
    d.invoice_id is not null as has_details, d.name, d.legal_name, d.email, d.line1, d.line2, d.postal_code, d.city,
    d.state, d.country, d.tax_ids, d.collection, d.purchase_order, d.memo, d.footer,
    case when m.is_linked then (select seller from invoice_details where invoice_id = m.id) else d.seller end as seller,
    (select count(*) from listing as earlier where not earlier.is_listed) as earlier_months,
    (select min(earlier.month) from listing as earlier where not earlier.is_listed) as first_earlier_month
from lines as m
join listing on listing.month = m.month and listing.is_listed
left join invoices as i on i.id = m.id
left join invoice_confirmations as confirmed
    on confirmed.month = i.month and i.status = 'open' and i.origin = 'billed' and m.failure_text is null
left join stripe_invoices as s on s.invoice_id = m.id and not m.is_linked
left join invoice_details as d on d.invoice_id = m.id and not m.is_linked
left join lateral (
    select customer_text from payment_failures where invoice_id = m.id and i.status = 'finalized' and not m.is_linked
) as p on true
left join lateral (
    select cast(coalesce(sum(note.unpaid_cents), 0) as bigint) as noted_cents
    from stripe_money as note
    where note.invoice_id = i.id and note.stripe_invoice_id = s.stripe_invoice_id
        and note.kind = 'credit_note' and note.status = 'issued'
        and not exists (select from stripe_money as n where n.object_id = note.object_id and n.number > note.number)
) as noted on not m.is_linked
left join lateral (
    select cast(sum(t.amount_cents) as bigint) as total_cents
    from invoice_items as t
    where m.is_linked and t.invoice_id = i.id and t.organization_id = :organization_id
) as own on true
order by m.month desc, i.status is not distinct from 'void', i.revision desc
