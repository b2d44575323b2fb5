-- name: billed_totals
-- One row: organizations, and the finalized invoices of ours that have something to pay, with their items and total. Of one currency: cents of
-- different ones can't be added.
select
    (select count(*) from organizations) as organizations,
    count(*) as invoices,
    coalesce(
        sum((select count(*) from invoice_items where invoice_items.invoice_id = invoices.id)), 0
    )::bigint as items,
    coalesce(sum(total_cents), 0)::bigint as total_cents
from invoices
where status in ('finalized', 'paid', 'uncollectible') and origin = 'billed' and total_cents <> 0
    and currency = :currency;

-- name: months_in_stripe
-- One row per month (its start) with finalized invoices of ours.
select distinct cast(month as timestamp) at time zone 'UTC' as month
from invoices
where status <> 'open' and origin = 'billed'
order by month;

-- name: organization_summary
-- One row per organization, biggest first: finalized invoices of ours with something to pay, their items and total, and
-- what is open.
select
    o.id, o.name, o.currency,
    count(i.id) filter (where i.status <> 'open' and i.total_cents <> 0) as invoices,
    coalesce(sum(n.items) filter (where i.status <> 'open' and i.total_cents <> 0), 0)::bigint as items,
    coalesce(sum(i.total_cents) filter (where i.status <> 'open'), 0)::bigint as billed_cents,
    coalesce(sum(i.total_cents) filter (where i.status = 'open'), 0)::bigint as upcoming_cents
from organizations as o
left join invoices as i on i.organization_id = o.id and i.currency = o.currency and i.origin = 'billed'
    and i.status <> 'void'
left join lateral (select count(*) as items from invoice_items where invoice_items.invoice_id = i.id) as n on true
group by o.id
order by billed_cents desc, o.id;
