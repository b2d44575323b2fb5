-- name: approve_total
-- No rows. Records the approval of a month's total.
insert into sync_approvals (month, currency, total_cents, approved_by, approved_at)
values (:month, :currency, :total_cents, :approved_by, :now);

-- name: approved_totals
-- One row per currency: the newest approval of the month's total.
select distinct on (currency) currency, total_cents, approved_by, approved_at
from sync_approvals
where month = :month
order by currency, id desc;

-- name: invoices_to_send
-- One row per finalized invoice of the month, of all groups, that should be in Stripe and is not, by our journal. Same
-- invoices as `invoices_to_sync`, with the columns needed to count requests.
select
    invoices.organization_id, invoices.currency, invoices.total_cents, stripe_invoices.state,
    stripe_invoices.stripe_invoice_id is not null as has_draft,
    organizations.stripe_customer_id is not null as has_customer,
    (select count(*) from invoice_items where invoice_items.invoice_id = invoices.id) as items
from invoices
join organizations on organizations.id = invoices.organization_id
left join stripe_invoices on stripe_invoices.invoice_id = invoices.id
where invoices.month = :month
    and invoices.status = 'finalized' and invoices.origin = 'billed'
    and (stripe_invoices.state is null or stripe_invoices.state not in ('finalized', 'skipped_zero'))
order by invoices.organization_id, invoices.revision;

-- name: totals_beside_last_month
-- One row per organization and currency: the month's total, and the total of the month before (null if it has no final
-- invoice). The month includes open invoices, so that billing a single partition does not look like a collapse. The
-- month before includes final invoices only. Imported invoices count. Not here: void invoices, and amounts out of range
-- (`bounds`), one of which would distort the total.
select
    organization_id, currency,
    cast(coalesce(sum(total_cents) filter (where month = :month), 0) as bigint) as cents,
    cast(sum(total_cents) filter (where month = :last_month) as bigint) as last_cents
from invoices
where
    (
        (month = :month and status <> 'void')
        or (month = :last_month and status in ('finalized', 'paid', 'uncollectible'))
    )
    and abs(total_cents) < 1000000000000000
group by organization_id, currency
order by organization_id, currency;
