-- One row per month and revision in which the organization has an invoice of its own, or its payer has one, or billing
-- failed. The newest month is first; in a month, void invoices are last. If another organization pays, `total_cents` is
-- the organization's own share; the due date and the state in Stripe are null, as only the payer sees them.
-- `trouble` is a sentence for the customer: :waiting if the invoice was finalized before :late_since and is not in
-- Stripe, whatever the reason.
with holders as (
    select id as holder_id, name as holder_name, daterange(null, null) as months, false as is_linked
    from organizations where id = :organization_id
    union all
    select payer.id, payer.name, daterange(l.first_month, l.last_month, '[]'), true
    from organization_links as l
    join organizations as payer on payer.id = l.payer_id
    where l.organization_id = :organization_id
),

held as (
    select h.*, m.month
    from holders as h
    join lateral (
        select month from invoices where organization_id = h.holder_id
        union
        select month from billing_failures where organization_id = h.holder_id
    ) as m on h.months @> m.month
)

select
    i.id, h.month, h.holder_id, h.is_linked, h.holder_name, i.status, i.number,
    case when i.id is null then o.currency else i.currency end as currency,
    case when h.is_linked then coalesce(own.total_cents, 0) else i.total_cents end as total_cents,
    coalesce(i.finalized_at, i.computed_at) as as_of, usage.lake_version, usage.rolled_up_at,
    case when not h.is_linked then coalesce(s.stripe_due_on, i.due_on) end as due_on,
    case when not h.is_linked then s.stripe_invoice_id end as stripe_invoice_id,
    case when not h.is_linked then s.stripe_due_cents end as stripe_due_cents,
    case when not h.is_linked then s.stripe_balance_cents end as stripe_balance_cents,
    case when not h.is_linked then s.finalized_at end as stripe_finalized_at,
    case when not h.is_linked then noted.noted_cents end as stripe_noted_cents,
    case when not h.is_linked and i.status in ('finalized', 'uncollectible') then part_paid_of_invoice(i.id) end
        as stripe_part_paid_cents,
    not h.is_linked and i.origin = 'billed' and i.status = 'finalized' and i.total_cents <> 0
        and coalesce(s.state, 'pending') not in ('finalized', 'skipped_zero') as is_waiting,
    case when not h.is_linked then s.hosted_invoice_url end as hosted_invoice_url,
    case when not h.is_linked then s.invoice_pdf_url end as invoice_pdf_url,
    case when not h.is_linked then s.stripe_number end as stripe_number,
    case
        when h.is_linked then null
        when kept.invoice_id is not null then to_jsonb(kept) - 'seller'
        when i.status = 'open' then to_jsonb(own_details)
    end as customer,
    kept.seller,
    coalesce(
        f.customer_text,
        case
            when h.is_linked then null
            when s.failure_customer_text is not null then s.failure_customer_text
            when p.customer_text is not null then p.customer_text
            when i.status = 'finalized' and i.origin = 'billed' and i.total_cents <> 0 and i.finalized_at < :late_since
                and coalesce(s.state, 'pending') not in ('finalized', 'skipped_zero')
            then :waiting
        end
    ) as trouble
from held as h
join organizations as o on o.id = :organization_id
left join invoices as i on i.organization_id = h.holder_id and i.month = h.month
left join billing_failures as f on f.organization_id = h.holder_id and f.month = h.month
left join stripe_invoices as s on s.invoice_id = i.id
left join payment_failures as p on p.invoice_id = i.id
left join invoice_details as kept on kept.invoice_id = i.id
left join billing_details as own_details on own_details.organization_id = h.holder_id
left join usage_snapshots as usage on usage.id = i.usage_snapshot_id
left join lateral (
    select cast(coalesce(sum(m.unpaid_cents), 0) as bigint) as noted_cents
    from stripe_money as m
    where m.invoice_id = i.id and m.stripe_invoice_id = s.stripe_invoice_id
        and m.kind = 'credit_note' and m.status = 'issued'
        and not exists (select from stripe_money as n where n.object_id = m.object_id and n.number > m.number)
) as noted on not h.is_linked
left join lateral (
    select cast(sum(t.amount_cents) as bigint) as total_cents
    from invoice_items as t
    where h.is_linked and t.invoice_id = i.id and t.organization_id = :organization_id
) as own on true
order by h.month desc, i.status is not distinct from 'void', i.revision desc
